"""GenModel: an idea with its acceptance test, and the chain of objects that makes and keeps it true."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from gencontract.task import Modality
from genops.core.blocks import ObjectMeta, Ref, Standing, UsageStatus
from genops.core.expr import (
    absent,
    all_of,
    among,
    any_of,
    at_most,
    contains,
    disjoint,
    equals,
    exactly_one,
    present,
    same,
    some,
    together,
    when,
)
from genops.core.schema import (
    AGE,
    Column,
    Constraint,
    Count,
    Definition,
    Digest,
    Finite,
    Key,
    Line,
    ListMap,
    Number,
    ObjectName,
    Op,
    Period,
    Rules,
    Seconds,
    SpecModel,
    StatusModel,
    Text,
    Time,
    Unique,
)
from genops.stages.dataset.spec import Licenses
from genops.stages.dataset.spec import Template as DatasetSpec
from genops.stages.deployment.spec import Template as DeploymentSpec
from genops.stages.evaluation.spec import MODALITIES, Gates, MetricName, Verdict
from genops.stages.evaluation.spec import Template as EvaluationSpec
from genops.stages.training.spec import Template as TrainingSpec

KIND = "GenModel"

# --- idea ------------------------------------------------------------------------------------------------------------


class CardRef(SpecModel):
    """A ConfigMap with the model card."""

    name: ObjectName = Field(description="Name of the ConfigMap, in the same namespace.")
    key: Key = Field("README.md", description="Key within it.")


class Card(SpecModel):
    """Where the model card is."""

    config_map_ref: CardRef = Field(description="The ConfigMap.")


class Intent(SpecModel):
    """The idea: what it is for, and whose it is."""

    use_case: Text = Field(min_length=1, description="What the model is for, in a sentence.")
    modality: Modality = Field(description="What it generates.")
    owner: Line | None = Field(None, description="Who answers for it: a team or an address.")
    risk_class: Literal["low", "limited", "high"] = Field("low", description="How much harm it could do.")
    licenses: Licenses | None = Field(None, description="Which licences the data may have.")
    card: Card | None = Field(None, description="Where the model card is.")


class Goal(SpecModel):
    """One line of the acceptance test, copied into every evaluation."""

    metric: MetricName = Field(description="What is measured.")
    op: Op = Field(description="How the value is compared with threshold.")
    threshold: Finite = Field(description="What the value must reach.")
    primary: bool = Field(False, description="Whether it is the score; one at most.")


# --- chain -----------------------------------------------------------------------------------------------------------


class DatasetTemplate(SpecModel):
    """A GenDataset to be made for each run."""

    metadata: ObjectMeta | None = Field(None, description="Its labels and annotations.")
    spec: DatasetSpec = Field(description="Its spec.")


class DatasetStage(SpecModel):
    """The data: a GenDataset that is there, or one to be made."""

    ref: Ref | None = Field(None, description="A GenDataset that is there.")
    template: DatasetTemplate | None = Field(None, description="A GenDataset to be made for each run.")

    rules: ClassVar[Rules] = (Constraint(exactly_one("ref", "template"), "exactly one of ref, template must be set"),)


class TrainingTemplate(SpecModel):
    """A GenTrainingJob to be made for each run."""

    metadata: ObjectMeta | None = Field(None, description="Its labels and annotations.")
    spec: TrainingSpec = Field(description="Its spec; the data is filled in.")


class TrainingStage(SpecModel):
    """The training."""

    template: TrainingTemplate = Field(description="A GenTrainingJob to be made for each run.")


class EvaluationTemplate(SpecModel):
    """A GenEvaluation to be made for each run."""

    metadata: ObjectMeta | None = Field(None, description="Its labels and annotations.")
    spec: EvaluationSpec = Field(
        EvaluationSpec(),
        description="Its spec; subject, baseline, data, decision and the success criteria are filled in.",
    )


class EvaluationStage(SpecModel):
    """The evaluation."""

    dataset_ref: Ref | None = Field(
        None, description="A GenDataset to judge every run by. Left out, the one that the run was trained on."
    )
    template: EvaluationTemplate = Field(EvaluationTemplate(), description="A GenEvaluation to be made for each run.")


class DeploymentTemplate(SpecModel):
    """The GenDeployment."""

    metadata: ObjectMeta | None = Field(None, description="Its labels and annotations.")
    spec: DeploymentSpec = Field(DeploymentSpec(), description="Its spec; the model and its verdict are filled in.")


class DeploymentStage(SpecModel):
    """The serving."""

    template: DeploymentTemplate = Field(description="The GenDeployment to be made.")


# --- policy ----------------------------------------------------------------------------------------------------------


class Promotion(SpecModel):
    """When a run that was judged is served."""

    mode: Literal["Auto", "Manual"] = Field("Auto", description="At once when it passed, or after a person approved.")
    requires: Gates = Field(["Quantitative"], description="What must pass: numbers, people, or both.")


class Retrain(SpecModel):
    """When a new run is minted."""

    causes: Annotated[list[Literal["Drift", "Schedule", "NewData"]], Unique()] = Field(
        min_length=1, max_length=3, description="What asks for a new run, besides a person by annotation."
    )
    schedule: str | None = Field(
        None,
        min_length=9,
        max_length=100,
        pattern=r"^[-0-9*/,A-Za-z]+( [-0-9*/,A-Za-z]+){4}$",
        description="Cron line of five fields, in UTC, with cause Schedule.",
    )
    min_new_samples: int | None = Field(
        None, ge=1, le=2**53, description="How many new samples ask for a run, with cause NewData."
    )
    cooldown_seconds: Seconds = Field(3600, description="Seconds between the end of a run and the next one.")
    max_runs: int | None = Field(None, ge=1, le=1000, description="How many runs at most within windowSeconds.")
    window_seconds: Period | None = Field(None, description="The window of maxRuns.")
    approve: Literal["Auto", "Manual"] = Field(
        "Auto", description="Whether a run starts at once, or after a person approved."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            any_of(
                all_of(contains("causes", "Schedule"), present("schedule")),
                all_of(~contains("causes", "Schedule"), absent("schedule")),
            ),
            "schedule is required when causes has Schedule, and allowed only then",
            "schedule",
        ),
        Constraint(
            any_of(
                all_of(contains("causes", "NewData"), present("minNewSamples")),
                all_of(~contains("causes", "NewData"), absent("minNewSamples")),
            ),
            "minNewSamples is required when causes has NewData, and allowed only then",
            "minNewSamples",
        ),
        Constraint(together("maxRuns", "windowSeconds"), "maxRuns and windowSeconds must be set together", "maxRuns"),
    )


class Budget(SpecModel):
    """What all runs together may use."""

    gpu_hours: float | None = Field(None, ge=0, le=1e9, description="Hours of GPUs.")
    cpu_hours: float | None = Field(None, ge=0, le=1e9, description="Hours of processors.")
    per_seconds: Period = Field(2_592_000, description="The window, in seconds; 30 days unless said otherwise.")

    rules: ClassVar[Rules] = (
        Constraint(any_of(present("gpuHours"), present("cpuHours")), "gpuHours or cpuHours must be set"),
    )


DRIFT = "deployment.template.spec.drift"
FAMILY = "training.template.spec.family"
HUMAN = "evaluation.template.spec.human"
METRIC_LIST = "evaluation.template.spec.metrics"


def _measured_on(modality: Modality) -> tuple[Constraint, Constraint]:
    """Refuse the metrics that a modality does not have."""
    others = [m for m, has in MODALITIES.items() if modality not in has]
    says = f"{', '.join(others)} cannot be measured on {modality}"
    here = equals("intent.modality", modality)
    return (
        Constraint(
            when(here, ~some("success", among("metric", *others))),
            f"success: metric {says}",
            "success",
            "FieldValueForbidden",
        ),
        Constraint(
            when(here, ~some(METRIC_LIST, among("name", *others))),
            f"evaluation: metric {says}",
            "evaluation",
            "FieldValueForbidden",
        ),
    )


class Spec(SpecModel):
    """The idea, its acceptance test, and how it is made and kept true."""

    intent: Intent = Field(description="The idea: what it is for, and whose it is.")
    success: Annotated[list[Goal], ListMap("metric")] = Field(
        min_length=1, max_length=16, description="The idea's acceptance test, copied into every evaluation."
    )
    dataset: DatasetStage = Field(description="The data.")
    training: TrainingStage = Field(description="The training.")
    evaluation: EvaluationStage = Field(EvaluationStage(), description="The evaluation.")
    deployment: DeploymentStage | None = Field(None, description="The serving. Left out, nothing is served.")
    promotion: Promotion = Field(Promotion(), description="When a run that was judged is served.")
    retrain: Retrain | None = Field(None, description="When a new run is minted. Left out, never.")
    budget: Budget | None = Field(None, description="What all runs together may use. Left out, there is no limit.")
    history_limit: int = Field(5, ge=1, le=100, description="How many finished runs are kept, the served one besides.")
    suspend: bool = Field(False, description="Whether to hold everything until it is false. What is served goes on.")

    rules: ClassVar[Rules] = (
        Constraint(
            same("dataset.template.spec.format", "intent.modality"),
            "dataset.template.spec.format must be the same as intent.modality",
            "dataset",
        ),
        Constraint(
            when(among("intent.modality", "images", "tabular"), ~among(FAMILY, "gpt", "music")),
            "training.template.spec.family must be vae, gan, diffusion, flow, custom unless modality is text or music",
            "training",
        ),
        Constraint(
            when(equals("intent.modality", "text"), among(FAMILY, "gpt", "custom")),
            "training.template.spec.family must be gpt or custom when modality is text",
            "training",
        ),
        Constraint(
            when(equals("intent.modality", "music"), among(FAMILY, "gpt", "music", "custom")),
            "training.template.spec.family must be music, gpt or custom when modality is music",
            "training",
        ),
        *(rule for modality in get_args(Modality) for rule in _measured_on(modality)),
        Constraint(at_most("success", 1, equals("primary", True)), "success: at most one may be primary", "success"),
        Constraint(
            when(some("success", equals("primary", True)), ~some(METRIC_LIST, equals("primary", True))),
            "evaluation: no metric may be primary when one of success is",
            "evaluation",
        ),
        Constraint(
            disjoint("success", "metric", METRIC_LIST, "name"),
            "evaluation: metrics must not name what success asks for",
            "evaluation",
        ),
        Constraint(
            when(contains("promotion.requires", "Human"), present(HUMAN)),
            "evaluation.template.spec.human is required when promotion.requires has Human",
            "evaluation",
            "FieldValueRequired",
        ),
        Constraint(
            when(present(HUMAN), contains("promotion.requires", "Human")),
            "evaluation.template.spec.human is allowed only when promotion.requires has Human",
            "evaluation",
            "FieldValueForbidden",
        ),
        Constraint(
            when(contains("retrain.causes", "Drift"), some(DRIFT, equals("action", "Retrain"))),
            "retrain.causes: Drift needs a watch of deployment.template.spec.drift with action Retrain",
            "retrain",
        ),
        Constraint(
            when(some(DRIFT, equals("action", "Retrain")), contains("retrain.causes", "Drift")),
            "deployment.template.spec.drift: action Retrain needs cause Drift in retrain.causes",
            "deployment",
        ),
        Constraint(
            when(
                contains("retrain.causes", "NewData"),
                any_of(present("dataset.ref"), present("dataset.template.spec.source.capture")),
            ),
            "retrain.causes: NewData needs dataset.ref, or a template whose source is capture: nothing else grows",
            "retrain",
        ),
        Constraint(
            when(equals("promotion.mode", "Manual"), present("deployment")),
            "promotion.mode Manual needs a deployment",
            "promotion",
        ),
    )


# --- status ----------------------------------------------------------------------------------------------------------


class Digests(StatusModel):
    """What a run was made of and what came of it, by content."""

    dataset: Digest | None = Field(None, description="Digest of the data.")
    base: Digest | None = Field(None, description="Digest of the weights it started from.")
    weights: Digest | None = Field(None, description="Digest of the weights.")
    report: Digest | None = Field(None, description="Digest of the evaluation's report.")
    engine: Digest | None = Field(None, description="Digest of the engine.")
    code: str | None = Field(None, max_length=253, description="Version of the trainers.")
    image: str | None = Field(None, max_length=512, description="Image of the trainers, by digest.")


class Current(StatusModel):
    """The run that is served, or the newest one when none is."""

    run: Count | None = Field(None, description="Its number.")
    dataset: str | None = Field(None, max_length=253, description="Its GenDataset.")
    training: str | None = Field(None, max_length=253, description="Its GenTrainingJob.")
    evaluation: str | None = Field(None, max_length=253, description="Its GenEvaluation.")
    deployment: str | None = Field(None, max_length=253, description="The GenDeployment.")
    verdict: Verdict | None = Field(None, description="What its evaluation said.")
    digests: Digests | None = Field(None, description="What it was made of, by content.")


class Run(StatusModel):
    """One run, kept for its lineage."""

    number: Count = Field(description="Its number, from 1.")
    cause: Literal["Initial", "SpecChanged", "Drift", "Schedule", "NewData", "Manual"] | None = Field(
        None, description="What asked for it."
    )
    inputs: str | None = Field(None, max_length=64, description="Hash of all that decided what the run makes.")
    outcome: (
        Literal["Running", "Promoted", "Rejected", "Failed", "RolledBack", "Superseded", "WaitingForApproval"] | None
    ) = Field(None, description="What came of it.")
    started_at: Time | None = Field(None, description="When it was minted.")
    finished_at: Time | None = Field(None, description="When it ended.")
    message: str | None = Field(None, max_length=4096, description="Why, for people.")
    digests: Digests | None = Field(None, description="What it was made of, by content.")
    samples: Count | None = Field(None, description="How many samples its data had.")
    usage: UsageStatus | None = Field(None, description="What its own objects used.")


class SpentStatus(StatusModel):
    """What a run used that history let go, while the budget's window lasts."""

    run: Count = Field(description="Its number.")
    at: Time = Field(description="When it ended.")
    cpu_seconds: Number | None = Field(None, description="Processor seconds.")
    gpu_seconds: Number | None = Field(None, description="GPU seconds.")


class Status(Standing):
    """Where the idea is, and what it rests on."""

    phase: (
        Literal["Ideation", "Data", "Training", "Evaluating", "Deploying", "Serving", "Retraining", "Halted"] | None
    ) = Field(None, description="Where the model is, in one word for people.")
    current: Current | None = Field(None, description="The run that is served, or the newest one when none is.")
    runs: Annotated[list[Run], ListMap("number")] = Field(
        [], max_length=200, description="The runs, for their lineage."
    )
    usage: UsageStatus | None = Field(
        None, description="What all runs used within the budget's window; 30 days without one."
    )
    spent: Annotated[list[SpentStatus], ListMap("run")] = Field(
        [], max_length=1000, description="Runs that history let go and the budget still counts."
    )


DEFINITION = Definition(
    kind=KIND,
    plural="genmodels",
    short_names=("gm",),
    description="An idea with its acceptance test, and the chain of objects that makes and keeps it true.",
    spec=Spec,
    status=Status,
    columns=(
        Column("Phase", ".status.phase", description="Where the model is"),
        Column("Run", ".status.current.run", "integer", "Number of the run that is served"),
        Column("Serving", ".status.current.deployment", description="The GenDeployment"),
        Column("Verdict", ".status.current.verdict", description="What its evaluation said"),
        AGE,
    ),
)
