"""GenTrainingJob: one training run that goes on from its last checkpoint, whatever happens to its pods."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gencontract.task import FamilyName, Size
from genops.core.blocks import (
    ArtifactStatus,
    CheckpointStatus,
    MetricValue,
    PodTemplate,
    ProgressStatus,
    Ref,
    Resources,
    Retry,
    Standing,
    Store,
    UsageStatus,
)
from genops.core.expr import (
    absent,
    all_of,
    any_of,
    compare,
    disjoint,
    equals,
    every,
    exactly_one,
    ordered,
    present,
    together,
    when,
)
from genops.core.schema import (
    AGE,
    Column,
    Command,
    Constraint,
    Count,
    Definition,
    Dial,
    Dials,
    Digest,
    Finite,
    Image,
    LabelValue,
    ListMap,
    Number,
    Period,
    ReadUri,
    Rules,
    Seconds,
    Seed,
    SpecModel,
    StatusModel,
    StoreUri,
    Unique,
    Word,
)

KIND = "GenTrainingJob"


class Base(SpecModel):
    """Weights to start from."""

    training_job_ref: Ref | None = Field(None, description="The GenTrainingJob that made them.")
    uri: ReadUri | None = Field(
        None, description="Where they are: s3://, gs://, az://, https:// or pvc://CLAIM/FOLDER."
    )
    digest: Digest | None = Field(None, description="Digest that they must have.")

    rules: ClassVar[Rules] = (
        Constraint(exactly_one("trainingJobRef", "uri"), "exactly one of trainingJobRef, uri must be set"),
    )


class Scheduling(SpecModel):
    """How the pods come to their nodes."""

    queue_name: LabelValue | None = Field(None, min_length=1, description="Kueue's LocalQueue in the same namespace.")
    gang: Literal["None", "JobSet"] = Field(
        "None", description="JobSet to start all pods or none, where the cluster has JobSet."
    )


class Checkpoint(SpecModel):
    """How often the state is saved, and where."""

    every_seconds: int = Field(60, ge=1, le=86_400, description="Seconds between two checkpoints.")
    keep: int = Field(2, ge=2, le=100, description="How many checkpoints stay; at least 2, since one may be torn.")
    uri: StoreUri | None = Field(None, description="Folder to write below. Left out, beside the output.")


class Parameter(SpecModel):
    """A hyperparameter that the search moves: a list of values, or a range."""

    name: Word = Field(description="Name of the hyperparameter.")
    values: Annotated[list[Dial], Unique()] = Field([], max_length=64, description="Values to choose from.")
    min: Finite | None = Field(None, description="Smallest value of the range.")
    max: Finite | None = Field(None, description="Largest value of the range.")
    step: float | None = Field(None, gt=0, le=1e12, description="Distance of two values of the range.")
    log: bool = Field(False, description="Whether the range is looked at by ratio rather than by difference.")
    integer: bool = Field(False, description="Whether only whole numbers count.")

    rules: ClassVar[Rules] = (
        Constraint(exactly_one("values", "min"), "exactly one of values, min with max must be set"),
        Constraint(together("min", "max"), "min and max must be set together", "max"),
        Constraint(ordered("min", "<", "max"), "min must be below max", "min"),
        Constraint(when(present("step"), present("min")), "step needs min and max", "step"),
        Constraint(when(equals("log", True), compare("min", ">", 0.0)), "log needs a min above 0", "log"),
        Constraint(when(equals("integer", True), present("min")), "integer needs min and max", "integer"),
    )


class Search(SpecModel):
    """Several runs with different hyperparameters, of which the best counts."""

    metric: Word = Field(description="Metric to compare by, as trainers report it: loss, validationLoss, ...")
    goal: Literal["Minimize", "Maximize"] = Field("Minimize", description="Which end of the metric is better.")
    algorithm: Literal["random", "grid", "tpe"] = Field("random", description="How the next trial is chosen.")
    parameters: Annotated[list[Parameter], ListMap("name")] = Field(
        min_length=1, max_length=16, description="What is moved."
    )
    trials: int = Field(ge=1, le=1000, description="How many runs in all.")
    parallel: int = Field(1, ge=1, le=64, description="How many runs at a time.")
    seed: Seed = Field(0, description="Seed of the choice.")

    rules: ClassVar[Rules] = (
        Constraint(ordered("parallel", "<=", "trials"), "parallel must be at most trials", "parallel"),
        Constraint(
            when(equals("algorithm", "grid"), every("parameters", any_of(present("values"), present("step")))),
            "parameters: each needs values or step when algorithm is grid",
            "parameters",
        ),
    )


class Template(SpecModel):
    """A GenTrainingJob as it stands inside a GenModel, which fills in the data."""

    base_model: Base | None = Field(None, description="Weights to fine-tune. Left out, training starts from nothing.")
    family: FamilyName = Field(description="What is trained. With custom, image and command are yours.")
    size: Size = Field("xs", description="One dial for the net's size; hyperparameters override its parts.")
    hyperparameters: Dials = Field(
        {}, description='Named overrides: whole numbers, or text. A number with a fraction is text, as "3e-4".'
    )
    seed: Seed = Field(0, description="Seed of weights, noise and order of the data.")
    image: Image | None = Field(None, description="Container image. Left out, the operator's trainer image.")
    command: Command | None = Field(None, description="Command of your own trainer, with family custom.")
    resources: Resources | None = Field(None, description="Compute resources of each pod.")
    nodes: int = Field(1, ge=1, le=1024, description="How many pods train together.")
    procs_per_node: int = Field(1, ge=1, le=64, description="How many processes each pod runs, usually one a GPU.")
    template: PodTemplate | None = Field(None, description="What the pods carry besides.")
    scheduling: Scheduling | None = Field(None, description="How the pods come to their nodes.")
    checkpoint: Checkpoint = Field(Checkpoint(), description="How often the state is saved, and where.")
    resume: Literal["Auto", "Never"] = Field(
        "Auto", description="Whether a new attempt goes on from the last checkpoint."
    )
    retry: Retry = Field(Retry(), description="When a failed attempt is made again.")
    active_deadline_seconds: Period | None = Field(None, description="Seconds after which the run is given up.")
    ttl_seconds_after_finished: Seconds | None = Field(
        None, description="Seconds after which the finished Job is removed. The run is not made again."
    )
    search: Search | None = Field(None, description="Several runs with different hyperparameters.")
    output: Store | None = Field(None, description="Where the weights are kept. Left out, in the operator's store.")

    rules: ClassVar[Rules] = (
        Constraint(
            when(equals("family", "custom"), all_of(present("image"), present("command"))),
            "image and command are required when family is custom",
            "image",
            "FieldValueRequired",
        ),
        Constraint(
            when(~equals("family", "custom"), absent("command")),
            "command is allowed only when family is custom",
            "command",
            "FieldValueForbidden",
        ),
        Constraint(
            disjoint("search.parameters", "name", "hyperparameters"),
            "search.parameters must not name what hyperparameters fixes",
            "search",
        ),
    )


class Spec(Template):
    """One training run. Only suspend and the TTL may change."""

    dataset_ref: Ref | None = Field(None, description="The GenDataset to train on.")
    dataset_uri: ReadUri | None = Field(None, description="Prepared data outside of any GenDataset.")
    suspend: bool = Field(False, description="Whether to stop at the next checkpoint and to hold; Kueue sets it too.")
    managed_by: str | None = Field(
        None,
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        description="Controller that looks after the object instead of this operator, as kueue.x-k8s.io/multikueue.",
    )

    mutable: ClassVar[frozenset[str]] = frozenset({"suspend", "ttlSecondsAfterFinished"})
    rules: ClassVar[Rules] = (
        *Template.rules,
        Constraint(exactly_one("datasetRef", "datasetUri"), "exactly one of datasetRef, datasetUri must be set"),
    )


# --- status ----------------------------------------------------------------------------------------------------------


class Inputs(StatusModel):
    """What the run was made of, by content."""

    dataset_digest: Digest | None = Field(None, description="Digest of the data.")
    base_digest: Digest | None = Field(None, description="Digest of the weights it started from.")
    image_digest: str | None = Field(None, max_length=512, description="Image of the pods, by digest.")
    code_version: str | None = Field(None, max_length=253, description="Version of the trainers.")
    hyperparameters_digest: Digest | None = Field(None, description="Digest of family, size, seed and overrides.")


class Trial(StatusModel):
    """One run of the search."""

    number: Count = Field(description="Number of the trial, from 0.")
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Pruned"] | None = Field(
        None, description="Where the trial is."
    )
    parameters: Dials = Field({}, description="What it was given.")
    value: Number | None = Field(None, description="What the metric came to.")


class SearchStatus(StatusModel):
    """How far the search is."""

    finished: Count | None = Field(None, description="Trials that have ended.")
    failed: Count | None = Field(None, description="Trials that have failed.")
    best: Trial | None = Field(None, description="The best trial so far.")
    trials: Annotated[list[Trial], ListMap("number")] = Field([], max_length=1000, description="All trials.")


class Status(Standing):
    """How far the run is, and what came of it."""

    phase: Literal["Pending", "Queued", "Running", "Succeeded", "Failed", "Suspended", "Deleting"] | None = Field(
        None, description="Where the run is, in one word for people."
    )
    attempts: Count | None = Field(None, description="How many attempts were started.")
    start_time: str | None = Field(
        None, max_length=64, json_schema_extra={"format": "date-time"}, description="When the first pod started."
    )
    completion_time: str | None = Field(
        None, max_length=64, json_schema_extra={"format": "date-time"}, description="When the run ended."
    )
    progress: ProgressStatus | None = Field(None, description="How far the run is.")
    metrics: Annotated[list[MetricValue], ListMap("name")] = Field([], max_length=64, description="Final metrics.")
    checkpoint: CheckpointStatus | None = Field(None, description="The newest checkpoint.")
    output: ArtifactStatus | None = Field(None, description="The weights.")
    inputs: Inputs | None = Field(None, description="What the run was made of, by content.")
    search: SearchStatus | None = Field(None, description="How far the search is.")
    usage: UsageStatus | None = Field(None, description="What was used so far.")


DEFINITION = Definition(
    kind=KIND,
    plural="gentrainingjobs",
    short_names=("gtj",),
    description="One training run that goes on from its last checkpoint, whatever happens to its pods.",
    spec=Spec,
    status=Status,
    columns=(
        Column("Phase", ".status.phase", description="Where the run is"),
        Column("Progress", ".status.progress.percent", "integer", "Per cent of the steps that are done"),
        Column("ETA", ".status.progress.etaSeconds", "integer", "Seconds left"),
        Column("Loss", '.status.progress.metrics[?(@.name=="loss")].value', description="Newest loss"),
        Column("Attempts", ".status.attempts", "integer", "Attempts that were started", priority=1),
        AGE,
    ),
)
