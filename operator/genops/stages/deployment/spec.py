"""GenDeployment: a model served by its fastest faithful engine, rolled out with care and watched for drift."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gencontract.task import Precision, Runtime
from genops.core.blocks import PodTemplate, Ref, Resources, Standing, Store, UsageStatus
from genops.core.expr import (
    absent,
    all_of,
    among,
    any_of,
    compare,
    equals,
    every,
    exactly_one,
    ordered,
    present,
    rising,
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
    Image,
    Label,
    ListMap,
    MetaMap,
    Number,
    Op,
    Period,
    PositiveShare,
    ReadUri,
    Rules,
    Scale,
    Seconds,
    SpecModel,
    StatusModel,
    Time,
    Unique,
    Word,
)

KIND = "GenDeployment"

# --- model and gate --------------------------------------------------------------------------------------------------


class Model(SpecModel):
    """The weights to serve."""

    training_job_ref: Ref | None = Field(None, description="The GenTrainingJob that made them.")
    uri: ReadUri | None = Field(
        None, description="Where they are: s3://, gs://, az://, https:// or pvc://CLAIM/FOLDER."
    )
    digest: Digest | None = Field(None, description="Digest that they must have.")

    rules: ClassVar[Rules] = (
        Constraint(exactly_one("trainingJobRef", "uri"), "exactly one of trainingJobRef, uri must be set"),
    )


class Selector(SpecModel):
    """Objects by their labels."""

    match_labels: MetaMap = Field(min_length=1, description="Labels that the object must have.")


class Requires(SpecModel):
    """The verdict without which nothing is served."""

    evaluation_ref: Ref | None = Field(None, description="The GenEvaluation.")
    selector: Selector | None = Field(None, description="The newest GenEvaluation of these weights with these labels.")
    verdict: Literal["Passed"] = Field("Passed", description="What it must say.")

    rules: ClassVar[Rules] = (
        Constraint(exactly_one("evaluationRef", "selector"), "exactly one of evaluationRef, selector must be set"),
    )


# --- engine and server -----------------------------------------------------------------------------------------------


class Shapes(SpecModel):
    """Shapes that the engine is built and measured for."""

    batch_sizes: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Unique()] = Field(
        [1, 16], min_length=1, max_length=16, description="Batch sizes; the largest is the server's limit."
    )


class Tolerance(SpecModel):
    """How far an engine's answers may be from the model's."""

    atol: float = Field(1e-3, ge=0, le=1e6, description="Absolute difference.")
    rtol: float = Field(1e-3, ge=0, le=1e6, description="Relative difference.")


class Optimize(SpecModel):
    """Which engines are built, and which of them is taken."""

    targets: Annotated[list[Runtime], Unique()] = Field(
        min_length=1, max_length=6, description="Runtimes to build for, the favourite first."
    )
    precision: Precision = Field("fp32", description="Number format; int8 is calibrated on data.")
    shapes: Shapes = Field(Shapes(), description="Shapes that the engine is built and measured for.")
    tolerance: Tolerance = Field(Tolerance(), description="How far its answers may be from the model's.")
    fallback: bool = Field(
        True, description="Whether the next target is taken when one cannot be built or is not faithful."
    )
    objective: Literal["latency", "throughput"] = Field("latency", description="What the chosen engine is best at.")
    dataset_ref: Ref | None = Field(
        None, description="GenDataset to calibrate and to check by. Left out, the one the model was trained on."
    )
    resources: Resources | None = Field(None, description="Compute resources of the building pod; a GPU for TensorRT.")
    template: PodTemplate | None = Field(None, description="What the building pod carries besides.")


class Batching(SpecModel):
    """How requests are put together."""

    max_queue_delay_microseconds: int = Field(
        100, ge=0, le=60_000_000, description="How long a request waits for others."
    )
    preferred_batch_sizes: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Unique()] = Field(
        [], max_length=16, description="Batch sizes to aim at."
    )


class Server(SpecModel):
    """The inference server."""

    runtime: Literal["triton"] = Field("triton", description="Which server: Triton Inference Server.")
    image: Image | None = Field(None, description="Container image. Left out, the operator's server image.")
    resources: Resources | None = Field(None, description="Compute resources of each server pod.")
    instances: int = Field(1, ge=1, le=64, description="Copies of the engine in each pod.")
    dynamic_batching: Batching | None = Field(
        None, description="How requests are put together. Left out, they are not."
    )
    template: PodTemplate | None = Field(None, description="What the server pods carry besides.")


# --- scale and roll-out ----------------------------------------------------------------------------------------------


class ScaleSpec(SpecModel):
    """How many servers run. Without max, exactly min: `kubectl scale` and autoscalers of your own write it."""

    min: int = Field(
        1, ge=0, le=1000, description="How many at least; without max, how many exactly. 0 parks the model."
    )
    max: int | None = Field(None, ge=1, le=1000, description="How many at most; set it to have the operator autoscale.")
    metric: Literal["queueTime", "cpu", "query"] | None = Field(
        None,
        description="What it goes by: milliseconds in Triton's queue, per cent of the CPU requested, or query.",
    )
    query: str | None = Field(
        None, min_length=1, max_length=2048, description="PromQL that gives one number, with metric query."
    )
    target: float | None = Field(None, gt=0, le=1e12, description="Value of the metric for each server to keep to.")
    idle_to_zero_after_seconds: Period | None = Field(
        None,
        description="Seconds without a request after which the last server goes. Needs KEDA's HTTP add-on and min 0.",
    )

    rules: ClassVar[Rules] = (
        Constraint(ordered("min", "<=", "max"), "min must be at most max", "min"),
        Constraint(together("max", "metric", "target"), "max, metric and target must be set together", "max"),
        Constraint(
            any_of(
                all_of(equals("metric", "query"), present("query")),
                all_of(~equals("metric", "query"), absent("query")),
            ),
            "query is required when metric is query, and allowed only then",
            "query",
        ),
        Constraint(
            when(present("idleToZeroAfterSeconds"), all_of(compare("min", "==", 0), present("max"))),
            "idleToZeroAfterSeconds needs min 0 and a max",
            "idleToZeroAfterSeconds",
        ),
        Constraint(
            when(all_of(compare("min", "==", 0), present("max")), present("idleToZeroAfterSeconds")),
            "idleToZeroAfterSeconds is required when min is 0 and max is set",
            "idleToZeroAfterSeconds",
            "FieldValueRequired",
        ),
        Constraint(
            when(present("idleToZeroAfterSeconds"), ~equals("metric", "cpu")),
            "metric must be queueTime or query with idleToZeroAfterSeconds: a server that is gone uses no cpu",
            "metric",
        ),
    )


class Step(SpecModel):
    """One step of a canary."""

    weight: int = Field(ge=1, le=100, description="Per cent of the requests for the new version.")
    seconds: Seconds = Field(60, description="How long it is watched at this weight.")


class Analysis(SpecModel):
    """A number that the new version must keep to while it is watched."""

    name: Word = Field(description="Name of the number, as it stands in status.")
    query: str | None = Field(
        None,
        min_length=1,
        max_length=2048,
        description="PromQL that gives one number; {{version}} and {{stable}} become the label genops_dev_version.",
    )
    builtin: Literal["errorRate", "latencyP95", "queueTime"] | None = Field(
        None, description="A number of Triton's own: share of failed requests, milliseconds, milliseconds."
    )
    op: Op = Field(description="How the value is compared with threshold.")
    threshold: Finite = Field(description="What the value must keep to.")
    interval_seconds: Period = Field(15, description="Seconds between two looks.")
    failure_limit: int = Field(1, ge=0, le=1000, description="How many looks may fail before it is rolled back.")

    rules: ClassVar[Rules] = (Constraint(exactly_one("query", "builtin"), "exactly one of query, builtin must be set"),)


class GatewayRef(SpecModel):
    """A Gateway of the Gateway API in the same namespace."""

    name: Label = Field(description="Name of the Gateway.")
    section_name: Label | None = Field(None, description="Its listener. Left out, all.")
    hostname: (
        Annotated[str, Field(min_length=1, max_length=253, pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] | None
    ) = Field(None, description="Host name that the route answers to.")


class Rollout(SpecModel):
    """How a new version takes the traffic over."""

    strategy: Literal["Canary", "BlueGreen", "Recreate", "Shadow"] = Field(
        "Canary",
        description=(
            "Canary: by steps of weight. BlueGreen: at once, after it was watched without traffic. Recreate: the old "
            "one goes first. Shadow: it gets copies of the requests while it is watched, and never answers."
        ),
    )
    steps: list[Step] = Field([], max_length=20, description="Steps of a canary, with rising weight. Left out, 10, 50.")
    hold_seconds: Period | None = Field(None, description="How long it is watched, with BlueGreen and Shadow.")
    mirror_percent: int | None = Field(None, ge=1, le=100, description="Per cent of the requests copied, with Shadow.")
    metrics: Annotated[list[Analysis], ListMap("name")] = Field(
        [], max_length=16, description="Numbers that the new version must keep to."
    )
    auto_rollback: bool = Field(
        True, description="Whether a version that fails goes back by itself, or waits for a person."
    )
    gateway_ref: GatewayRef | None = Field(
        None, description="Gateway to split the traffic by. Left out, weights are kept by the number of pods."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            when(present("steps"), equals("strategy", "Canary")),
            "steps is allowed only when strategy is Canary",
            "steps",
            "FieldValueForbidden",
        ),
        Constraint(rising("steps", "weight"), "steps: weight must rise from each to the next", "steps"),
        Constraint(
            when(present("holdSeconds"), among("strategy", "BlueGreen", "Shadow")),
            "holdSeconds is allowed only when strategy is BlueGreen or Shadow",
            "holdSeconds",
            "FieldValueForbidden",
        ),
        Constraint(
            when(present("mirrorPercent"), equals("strategy", "Shadow")),
            "mirrorPercent is allowed only when strategy is Shadow",
            "mirrorPercent",
            "FieldValueForbidden",
        ),
        Constraint(
            when(equals("strategy", "Shadow"), present("gatewayRef")),
            "gatewayRef is required when strategy is Shadow: only a Gateway can copy requests",
            "gatewayRef",
            "FieldValueRequired",
        ),
        Constraint(
            when(equals("strategy", "BlueGreen"), every("metrics", absent("builtin"))),
            "metrics: builtin is allowed only when strategy is Canary or Shadow: with BlueGreen no request reaches the "
            "new version while it is watched; use query",
            "metrics",
            "FieldValueForbidden",
        ),
        Constraint(
            when(equals("strategy", "Recreate"), absent("metrics")),
            "metrics must be left out when strategy is Recreate: the old version is gone by then",
            "metrics",
            "FieldValueForbidden",
        ),
    )


# --- watch -----------------------------------------------------------------------------------------------------------


class CaptureSpec(SpecModel):
    """What is recorded of the traffic. Nothing leaves a pod unless this is set."""

    sample_rate: PositiveShare = Field(description="Share of the requests that is recorded; above 0, at most 1.")
    store: Store = Field(description="Where it is kept.")
    redact: Literal["redact", "drop", "keep"] = Field(
        "redact", description="Personal data in prompts: replaced, the request dropped, or left as it is."
    )
    max_per_minute: int = Field(
        600, ge=1, le=1_000_000, description="How many requests each server pod records in a minute at most."
    )
    rotate_seconds: Period = Field(
        300, description="Seconds after which a record is finished, and may be read by others."
    )
    retention_seconds: Period = Field(604_800, description="Seconds after which a record is removed; 7 days.")


class Drift(SpecModel):
    """A watch on one distribution against the reference of the training data."""

    name: Word = Field(description="Name of the watch, as it stands in status.")
    of: Literal["input", "output", "prompt", "feature"] = Field(description="What is watched.")
    feature: Word | None = Field(None, description="Which feature, when of is feature.")
    test: Literal["psi", "js", "ks", "mmd"] = Field(
        description="Population stability, Jensen-Shannon, Kolmogorov-Smirnov, or mean discrepancy of embeddings."
    )
    reference_ref: Ref | None = Field(
        None, description="GenDataset to compare with. Left out, the one the model was trained on."
    )
    window_seconds: Period = Field(3600, description="Length of a window.")
    min_samples: int = Field(100, ge=1, le=100_000_000, description="Requests that a window needs to count.")
    threshold: float | None = Field(None, gt=0, le=1e6, description="Statistic above which a window drifts.")
    alpha: float | None = Field(None, gt=0, lt=1, description="p-value below which a window drifts, with ks and mmd.")
    consecutive: int = Field(2, ge=1, le=100, description="How many windows in a row make a drift.")
    action: Literal["Alert", "Retrain", "Rollback"] = Field(
        "Alert", description="Only say so, ask the GenModel for a new run, or go back to the version before."
    )

    rules: ClassVar[Rules] = (
        Constraint(exactly_one("threshold", "alpha"), "exactly one of threshold, alpha must be set"),
        Constraint(
            when(present("alpha"), among("test", "ks", "mmd")),
            "alpha is allowed only when test is ks or mmd; psi and js take threshold",
            "alpha",
            "FieldValueForbidden",
        ),
        Constraint(
            any_of(
                all_of(equals("of", "feature"), present("feature")),
                all_of(~equals("of", "feature"), absent("feature")),
            ),
            "feature is required when of is feature, and allowed only then",
            "feature",
        ),
        Constraint(
            when(all_of(equals("test", "mmd"), present("alpha")), compare("alpha", ">=", 0.0001)),
            "alpha must be at least 0.0001 when test is mmd, whose p-value is counted",
            "alpha",
        ),
        Constraint(
            when(equals("test", "mmd"), ~equals("of", "feature")),
            "test mmd compares embeddings: of must be input, output or prompt",
            "test",
        ),
    )


# --- the spec --------------------------------------------------------------------------------------------------------


class Template(SpecModel):
    """A GenDeployment as it stands inside a GenModel, which fills in the model and its verdict."""

    optimize: Optimize | None = Field(None, description="Which engines are built. Left out, the model runs in torch.")
    server: Server = Field(Server(), description="The inference server.")
    scale: ScaleSpec = Field(ScaleSpec(), description="How many servers run.")
    rollout: Rollout = Field(Rollout(), description="How a new version takes the traffic over.")
    capture: CaptureSpec | None = Field(None, description="What is recorded of the traffic. Left out, nothing.")
    drift: Annotated[list[Drift], ListMap("name")] = Field([], max_length=32, description="Watches on distributions.")

    rules: ClassVar[Rules] = (
        Constraint(
            when(present("scale.idleToZeroAfterSeconds"), absent("rollout.gatewayRef")),
            "rollout.gatewayRef must be left out with scale.idleToZeroAfterSeconds: the requests come through KEDA's "
            "HTTP add-on",
            "rollout",
            "FieldValueForbidden",
        ),
        Constraint(
            when(some("drift", equals("test", "mmd")), present("capture")),
            "capture is required by a drift watch with test mmd, which needs samples",
            "capture",
            "FieldValueRequired",
        ),
    )


class Spec(Template):
    """What is served, how, and how it is watched. Everything may change."""

    model: Model = Field(description="The weights to serve.")
    requires: Requires | None = Field(None, description="The verdict without which nothing is served.")
    suspend: bool = Field(False, description="Whether to leave everything as it is until it is false.")

    rules: ClassVar[Rules] = (
        *Template.rules,
        Constraint(
            when(all_of(present("model.uri"), equals("optimize.precision", "int8")), present("optimize.datasetRef")),
            "optimize.datasetRef is required by precision int8 with model.uri: nothing else says what to calibrate on",
            "optimize",
            "FieldValueRequired",
        ),
        Constraint(
            when(present("model.uri"), every("drift", present("referenceRef"))),
            "drift: referenceRef is required with model.uri: nothing else says what to compare with",
            "drift",
            "FieldValueRequired",
        ),
    )


# --- status ----------------------------------------------------------------------------------------------------------


class StableStatus(StatusModel):
    """The version that answers."""

    digest: Digest | None = Field(None, description="Digest of its weights.")
    engine: str | None = Field(None, max_length=63, description="Runtime that it runs in.")
    engine_digest: Digest | None = Field(None, description="Digest of the engine.")
    evaluation: str | None = Field(None, max_length=253, description="The GenEvaluation that it passed.")


class AnalysisStatus(StatusModel):
    """How one number of the new version stands."""

    name: str = Field(max_length=253, description="Name of the number.")
    value: Number | None = Field(None, description="Its newest value; absent when Prometheus had none.")
    time: Time | None = Field(None, description="When it was looked at last.")
    failures: Count | None = Field(None, description="Looks that failed so far.")
    passed: bool | None = Field(None, description="Whether it keeps to its threshold; absent when that is not known.")
    message: str | None = Field(None, max_length=4096, description="What was found.")


class CanaryStatus(StatusModel):
    """The version that is being rolled out."""

    digest: Digest | None = Field(None, description="Digest of its weights.")
    engine: str | None = Field(None, max_length=63, description="Runtime that it runs in.")
    engine_digest: Digest | None = Field(None, description="Digest of the engine.")
    weight: int | None = Field(
        None, ge=0, le=100, description="Per cent of the requests it gets; without a gateway, of the servers it has."
    )
    step: Count | None = Field(None, description="Which step it is at, from 0; one past the last when all are done.")
    since: Time | None = Field(None, description="When the step began; absent while its servers start.")
    analysis: Annotated[list[AnalysisStatus], ListMap("name")] = Field(
        [], max_length=32, description="How its numbers stand."
    )


class EngineStatus(StatusModel):
    """One engine that was built, or the reason why it was not."""

    target: str = Field(max_length=63, description="Runtime.")
    key: str | None = Field(None, max_length=253, description="Key that it is kept under.")
    cached: bool | None = Field(None, description="Whether it was found rather than built.")
    build_seconds: Number | None = Field(None, description="How long building took.")
    max_abs_error: Number | None = Field(None, description="Largest difference to the model's answers.")
    p50_ms: Number | None = Field(None, alias="p50Ms", description="Median of the latency at batch 1, in milliseconds.")
    p95_ms: Number | None = Field(None, alias="p95Ms", description="95th percentile of the latency at batch 1.")
    throughput: Number | None = Field(None, description="Samples per second at the largest batch.")
    chosen: bool | None = Field(None, description="Whether it is the one that serves.")
    reason: str | None = Field(None, max_length=4096, description="Why it was not built or not chosen.")


class MeasuredStatus(StatusModel):
    """One window as a Job found it: its numbers, or the reason why there are none."""

    end: Time = Field(description="When the window ended.")
    samples: Count | None = Field(None, description="Samples that were recorded in it.")
    value: Number | None = Field(None, description="The statistic.")
    p_value: Number | None = Field(None, description="How often chance alone is as far off.")
    reason: str | None = Field(None, max_length=1024, description="Why there are no numbers, in one word.")
    message: str | None = Field(None, max_length=4096, description="Why, for people.")


class DriftStatus(StatusModel):
    """How one watch stands."""

    name: str = Field(max_length=253, description="Name of the watch.")
    value: Number | None = Field(None, description="Newest value of the statistic.")
    threshold: Number | None = Field(None, description="Value above which it drifts.")
    windows: Count | None = Field(None, description="Windows in a row that drifted.")
    since: Time | None = Field(None, description="When the drift began; absent when there is none.")
    message: str | None = Field(None, max_length=4096, description="What was found.")
    key: str | None = Field(None, max_length=64, description="Hash of what the measured windows depend on.")
    measured: Annotated[list[MeasuredStatus], ListMap("end")] = Field(
        [], max_length=101, description="Windows that a Job measured, with test mmd; the newest first."
    )


class Status(Standing):
    """What is served now."""

    phase: (
        Literal[
            "Pending",
            "Building",
            "Starting",
            "RollingOut",
            "Serving",
            "Degraded",
            "Parked",
            "Failed",
            "Suspended",
            "Deleting",
        ]
        | None
    ) = Field(None, description="Where the deployment is, in one word for people.")
    url: str | None = Field(None, max_length=2048, description="Where to send requests.")
    replicas: Count | None = Field(None, description="Server pods.")
    ready_replicas: Count | None = Field(None, description="Server pods that answer.")
    selector: str | None = Field(
        None, max_length=1024, description="Label selector of the server pods, for autoscalers."
    )
    stable: StableStatus | None = Field(None, description="The version that answers.")
    canary: CanaryStatus | None = Field(None, description="The version that is being rolled out.")
    quarantined: Annotated[list[Digest], Unique()] = Field(
        [], max_length=64, description="Weights that were rolled back and are not tried again."
    )
    engines: Annotated[list[EngineStatus], ListMap("target")] = Field([], max_length=16, description="The engines.")
    drift: Annotated[list[DriftStatus], ListMap("name")] = Field([], max_length=64, description="The watches.")
    usage: UsageStatus | None = Field(None, description="What was used so far.")


DEFINITION = Definition(
    kind=KIND,
    plural="gendeployments",
    short_names=("gdp",),
    description="A model served by its fastest faithful engine, rolled out with care and watched for drift.",
    spec=Spec,
    status=Status,
    scale=Scale(".spec.scale.min", ".status.replicas", ".status.selector"),
    columns=(
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether it answers"),
        Column("Phase", ".status.phase", description="Where the deployment is"),
        Column("Engine", ".status.stable.engine", description="Runtime that answers"),
        Column("Canary", ".status.canary.weight", "integer", "Per cent of the requests for the new version"),
        Column("Drift", '.status.conditions[?(@.type=="Drifted")].status', description="Whether something drifted"),
        Column("URL", ".status.url", description="Where to send requests"),
        AGE,
    ),
)
