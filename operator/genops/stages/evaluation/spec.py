"""GenEvaluation: a verdict on a model, by numbers with intervals and by people."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from gencontract.deck import MAX_PAIRS
from gencontract.task import Modality
from genops.core.blocks import (
    ArtifactStatus,
    PodTemplate,
    ProgressStatus,
    Ref,
    Resources,
    Retry,
    Standing,
    UsageStatus,
)
from genops.core.expr import (
    all_of,
    among,
    any_of,
    at_most,
    at_most_one,
    compare,
    contains,
    equals,
    exactly_one,
    present,
    some,
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
    Dials,
    Digest,
    Finite,
    Image,
    ListMap,
    Number,
    Op,
    Period,
    ReadUri,
    Rules,
    Seconds,
    Seed,
    Share,
    SpecModel,
    StatusModel,
    Unique,
    Word,
)

KIND = "GenEvaluation"

MetricName = Literal[
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "slicedWasserstein",
    "novelty",
    "nearestRatio",
    "longestCopy",
    "nll",
    "bitsPerByte",
    "clip",
    "latencyP95",
    "throughput",
    "oracleAccuracy",
    "oracleGap",
]
METRICS: tuple[str, ...] = get_args(MetricName)
# What the other metrics measure is there in every modality.
MODALITIES: dict[str, tuple[Modality, ...]] = {
    "bitsPerByte": ("images", "text"),
    "clip": ("images",),
    "longestCopy": ("text", "music"),
    "nearestRatio": ("images", "tabular"),
    "oracleAccuracy": ("images", "music"),
    "oracleGap": ("text", "music"),
}
Gate = Literal["Quantitative", "Human"]
Gates = Annotated[list[Gate], Unique(), Field(min_length=1, max_length=2)]
Verdict = Literal["Passed", "Failed", "Inconclusive"]


class Subject(SpecModel):
    """A model: what a run made, what is served, or weights by their address."""

    training_job_ref: Ref | None = Field(None, description="The GenTrainingJob that made it.")
    deployment_ref: Ref | None = Field(None, description="The GenDeployment that serves it; its stable version counts.")
    uri: ReadUri | None = Field(None, description="Where its weights are.")
    digest: Digest | None = Field(None, description="Digest that the weights must have, with uri.")

    rules: ClassVar[Rules] = (
        Constraint(
            exactly_one("trainingJobRef", "deploymentRef", "uri"),
            "exactly one of trainingJobRef, deploymentRef, uri must be set",
        ),
        Constraint(
            when(present("digest"), present("uri")), "digest is allowed only with uri", "digest", "FieldValueForbidden"
        ),
    )


class CustomMetric(SpecModel):
    """A metric of your own: a container that gets the task file and reports the number."""

    image: Image = Field(description="Container image.")
    command: Command = Field(description="Its command.")


class Metric(SpecModel):
    """A number, and what is asked of it: a threshold, no regression against the baseline, or nothing."""

    name: Word = Field(description=f"Which one: {', '.join(METRICS)}; or a name of your own, with custom.")
    op: Op | None = Field(None, description="How the value is compared with threshold.")
    threshold: Finite | None = Field(None, description="What the value must reach.")
    max_regression: float | None = Field(
        None, ge=0, le=1e12, description="By how much the value may be worse than the baseline's."
    )
    primary: bool = Field(False, description="Whether it is the score; one metric at most.")
    options: Dials = Field({}, description="Dials of the metric.")
    custom: CustomMetric | None = Field(None, description="The container that measures a metric of your own.")

    rules: ClassVar[Rules] = (
        Constraint(
            any_of(among("name", *METRICS), present("custom")),
            f"name must be one of {', '.join(METRICS)}, or custom must be set",
            "name",
        ),
        Constraint(
            ~all_of(among("name", *METRICS), present("custom")),
            "custom is allowed only with a name that is not built in",
            "custom",
            "FieldValueForbidden",
        ),
        Constraint(together("op", "threshold"), "op and threshold must be set together", "threshold"),
        Constraint(
            at_most_one("threshold", "maxRegression"), "at most one of threshold, maxRegression may be set", "threshold"
        ),
    )


class Human(SpecModel):
    """What is asked of people, who judge blinded pairs."""

    pairs: int = Field(
        ge=1,
        le=MAX_PAIRS,
        description="How many pairs are judged; a tenth more are shown again, and a tenth are gold cards.",
    )
    raters: int = Field(1, ge=1, le=10, description="How many people judge each pair; more may share the work.")
    min_agreement: Share | None = Field(
        None, description="Krippendorff's alpha that the raters must reach. Left out, it is only reported."
    )
    min_win_rate: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of pairs, ties counted half, that the subject must be shown to win more than.",
    )
    question: str = Field(
        "Which one is better?", min_length=1, max_length=500, description="What the raters are asked."
    )
    timeout_seconds: Period | None = Field(None, description="Seconds to wait for verdicts. Left out, for ever.")
    on_timeout: Literal["Inconclusive", "Fail"] = Field(
        "Inconclusive", description="What the verdict is when the time is over."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            when(present("minAgreement"), compare("raters", ">=", 2)),
            "raters must be at least 2 with minAgreement: one person agrees with nobody",
            "raters",
        ),
    )


class Decision(SpecModel):
    """What must pass."""

    requires: Gates = Field(["Quantitative"], description="Numbers, people, or both.")


class Template(SpecModel):
    """A GenEvaluation as it stands inside a GenModel, which fills in subject, baseline, data and decision."""

    split: Literal["train", "validation", "test"] = Field("test", description="Split of the data to judge by.")
    samples: int = Field(1000, ge=1, le=10_000_000, description="How many samples are generated for each seed.")
    seeds: Annotated[list[Seed], Unique()] = Field(
        [0, 1, 2, 3, 4], min_length=1, max_length=64, description="Seeds of the generation; they give the interval."
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Chance of a wrong verdict, over all metrics together.")
    metrics: Annotated[list[Metric], ListMap("name")] = Field(
        [], max_length=32, description="Numbers, and what is asked of them."
    )
    human: Human | None = Field(None, description="What is asked of people.")
    image: Image | None = Field(None, description="Container image. Left out, the operator's trainer image.")
    resources: Resources | None = Field(None, description="Compute resources of the evaluating pod.")
    template: PodTemplate | None = Field(None, description="What the evaluating pod carries besides.")
    retry: Retry = Field(Retry(), description="When a failed attempt is made again.")
    active_deadline_seconds: Period | None = Field(None, description="Seconds after which measuring is given up.")
    ttl_seconds_after_finished: Seconds | None = Field(
        None, description="Seconds after which the finished Job is removed. The verdict stays."
    )

    rules: ClassVar[Rules] = (
        Constraint(at_most("metrics", 1, equals("primary", True)), "metrics: at most one may be primary", "metrics"),
    )


class Spec(Template):
    """What is judged, by what. Nothing but the TTL may change."""

    subject: Subject = Field(description="The model that is judged.")
    baseline: Subject | None = Field(None, description="The model it is compared with, usually the one served now.")
    dataset_ref: Ref | None = Field(None, description="The GenDataset to judge by.")
    dataset_uri: ReadUri | None = Field(None, description="Prepared data outside of any GenDataset.")
    decision: Decision = Field(Decision(), description="What must pass.")

    mutable: ClassVar[frozenset[str]] = frozenset({"ttlSecondsAfterFinished"})
    rules: ClassVar[Rules] = (
        *Template.rules,
        Constraint(exactly_one("datasetRef", "datasetUri"), "exactly one of datasetRef, datasetUri must be set"),
        Constraint(
            when(some("metrics", present("maxRegression")), present("baseline")),
            "baseline is required by a metric with maxRegression",
            "baseline",
            "FieldValueRequired",
        ),
        Constraint(
            when(
                contains("decision.requires", "Quantitative"),
                some("metrics", any_of(present("threshold"), present("maxRegression"))),
            ),
            "metrics: one needs threshold or maxRegression when decision.requires has Quantitative",
            "metrics",
            "FieldValueRequired",
        ),
        Constraint(
            when(contains("decision.requires", "Human"), present("human")),
            "human is required when decision.requires has Human",
            "human",
            "FieldValueRequired",
        ),
        Constraint(
            when(present("human"), contains("decision.requires", "Human")),
            "human is allowed only when decision.requires has Human",
            "human",
            "FieldValueForbidden",
        ),
    )


# --- status ----------------------------------------------------------------------------------------------------------


class MetricStatus(StatusModel):
    """One number with its interval."""

    name: str = Field(max_length=253, description="Name of the metric.")
    value: Number | None = Field(None, description="What was measured.")
    low: Number | None = Field(None, description="Lower end of the interval.")
    high: Number | None = Field(None, description="Upper end of the interval.")
    samples: Count | None = Field(None, description="How many samples it was measured on.")
    baseline: Number | None = Field(None, description="What the baseline came to.")
    passed: bool | None = Field(None, description="Whether it passed; absent when the data did not decide.")
    message: str | None = Field(None, max_length=4096, description="What the number means here.")


class HumanStatus(StatusModel):
    """What people said. Who won is not known, to anyone, before all have spoken."""

    received: Count | None = Field(None, description="Verdicts that count.")
    required: Count | None = Field(None, description="Verdicts that are needed.")
    ignored: Count | None = Field(None, description="Verdicts that do not count: a second one, or one too many.")
    win_rate: Number | None = Field(None, description="Share of pairs that the subject won, ties counted half.")
    win_rate_low: Number | None = Field(None, description="Lower end of its interval.")
    win_rate_high: Number | None = Field(None, description="Upper end of its interval.")
    agreement: Number | None = Field(None, description="Krippendorff's alpha.")
    agreement_low: Number | None = Field(None, description="Lower end of its interval.")
    agreement_high: Number | None = Field(None, description="Upper end of its interval.")
    consistency: Number | None = Field(None, description="Share of repeated cards that were judged as before.")
    gold: Number | None = Field(None, description="Share of gold cards that were judged rightly.")
    set_aside: Count | None = Field(None, description="People whose verdicts do not count, for their gold cards.")


class Inputs(StatusModel):
    """What was judged, by content."""

    subject_digest: Digest | None = Field(None, description="Digest of the subject's weights.")
    baseline_digest: Digest | None = Field(None, description="Digest of the baseline's weights.")
    dataset_digest: Digest | None = Field(None, description="Digest of the data.")


class Status(Standing):
    """The verdict, and what it rests on."""

    phase: Literal["Pending", "Running", "WaitingForHumans", "Complete", "Failed", "Deleting"] | None = Field(
        None, description="Where the evaluation is, in one word for people."
    )
    verdict: Verdict | None = Field(None, description="The verdict; Inconclusive when a person has to decide.")
    score: Number | None = Field(None, description="Value of the primary metric.")
    subject: str | None = Field(None, max_length=1024, description="What was judged, for people: kind/name or address.")
    inputs: Inputs | None = Field(None, description="What was judged, by content.")
    metrics: Annotated[list[MetricStatus], ListMap("name")] = Field([], max_length=64, description="The numbers.")
    human: HumanStatus | None = Field(None, description="What people said so far.")
    report: ArtifactStatus | None = Field(None, description="The whole report, with pictures.")
    progress: ProgressStatus | None = Field(None, description="How far measuring is.")
    usage: UsageStatus | None = Field(None, description="What was used so far.")


DEFINITION = Definition(
    kind=KIND,
    plural="genevaluations",
    short_names=("gev",),
    description="A verdict on a model, by numbers with intervals and by people.",
    spec=Spec,
    status=Status,
    columns=(
        Column("Verdict", ".status.verdict", description="Passed, Failed or Inconclusive"),
        Column("Score", ".status.score", description="Value of the primary metric"),
        Column("Subject", ".status.subject", description="What was judged"),
        Column("Phase", ".status.phase", description="Where the evaluation is", priority=1),
        AGE,
    ),
)
