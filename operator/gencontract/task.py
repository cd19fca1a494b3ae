"""What the operator asks of a pod: one TaskFile, one verb.

A pod knows nothing of Kubernetes: every location here is a path or an fsspec URL that the pod can open as it stands.
Field names are camelCase on the wire, snake_case in Python.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TASK_VERSION: Literal["genops.dev/task/v1"] = "genops.dev/task/v1"

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Modality = Literal["images", "text", "music", "tabular"]
FamilyName = Literal["vae", "gan", "diffusion", "flow", "gpt", "music", "custom"]
Size = Literal["xs", "s", "m", "l"]
Runtime = Literal["tensorrt", "tensorrt-rtx", "onnx", "torchscript", "tvm", "torch"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]


class Wire(BaseModel):
    """A model that crosses the boundary: strict, frozen, camelCase."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Input(Wire):
    """An artifact made by an earlier step, and the digest it must still have."""

    uri: str
    digest: Digest | None = None


# --- prepare ---------------------------------------------------------------------------------------------------------


class Source(Wire):
    """Where the raw data comes from. `kind` says which of the other fields count."""

    kind: Literal["builtin", "path", "http", "s3", "git", "huggingFace", "oci", "capture"]
    name: str | None = None  # builtin: its name; huggingFace: owner/repository
    path: str | None = None  # path: folder or file; git: sub-folder
    urls: list[str] = []  # http
    uri: str | None = None  # s3, git, oci; capture: the folder of a deployment's records
    endpoint: str | None = None  # s3: another endpoint than the default
    revision: str | None = None  # git, huggingFace, oci
    split: str | None = None  # huggingFace
    sha256: dict[str, str] = {}  # http: expected digest by URL
    samples: int | None = None  # builtin and procedural sources: how many
    seed: int = 0  # procedural sources
    license: str | None = None  # SPDX id the owner states for data that does not say it itself
    secret: str | None = None  # s3: folder with the credentials, a file for each key


class Near(Wire):
    """Near-duplicate removal: Jaccard similarity for text and music, share of equal hash bits for images."""

    threshold: float | None = Field(None, gt=0, le=1)  # None: what suits the format, 0.8 or for images 60/64


class Dedup(Wire):
    exact: bool = True
    near: Near | None = None


class Filter(Wire):
    """One built-in filter by name, with its numbers."""

    name: str
    min: float | None = None
    max: float | None = None
    values: list[str] = []


class Splits(Wire):
    """Shares of the data by hash of a stable key. They must add up to 1."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    key: str = "content"
    seed: int = 0


class Column(Wire):
    name: str
    type: Literal["string", "integer", "number", "boolean", "category"]
    map_to: str | None = None
    required: bool = True


class Check(Wire):
    name: str
    kind: Literal["rows", "schema", "duplicates", "pii", "license", "decodable", "overlap", "balance"]
    threshold: float | None = None
    action: Literal["Block", "Warn"] = "Block"


class PrepareTask(Wire):
    verb: Literal["prepare"] = "prepare"
    source: Source
    format: Modality
    filters: list[Filter] = []
    dedup: Dedup = Dedup()
    pii: Literal["redact", "drop", "flag", "off"] = "off"
    licenses: list[str] = []  # SPDX ids that are allowed; empty allows all
    splits: Splits = Splits()
    columns: list[Column] = []
    checks: list[Check] = []
    options: dict[str, Any] = {}  # format's own dials: image size, tokenizer, block length
    output: str


class SweepTask(Wire):
    """Remove what was prepared, all of it, and nothing besides."""

    verb: Literal["sweep"] = "sweep"
    locations: list[str] = Field(min_length=1)  # folders; one that is not there is fine


# --- train -----------------------------------------------------------------------------------------------------------


class Checkpointing(Wire):
    uri: str
    every_seconds: float = 60
    keep: int = Field(2, ge=2)


class TrainTask(Wire):
    verb: Literal["train"] = "train"
    dataset: Input
    base: Input | None = None
    family: FamilyName
    size: Size = "xs"
    hyperparameters: dict[str, Any] = {}
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint: Checkpointing
    resume: Literal["Auto", "Never"] = "Auto"
    output: str


# --- evaluate --------------------------------------------------------------------------------------------------------


class MetricGate(Wire):
    """A metric, and what it must reach: an absolute threshold, or no worse than the baseline by a margin."""

    name: str
    op: Literal[">=", "<=", ">", "<"] | None = None
    threshold: float | None = None
    max_regression: float | None = None
    primary: bool = False
    options: dict[str, Any] = {}


class EvaluateTask(Wire):
    verb: Literal["evaluate"] = "evaluate"
    subject: Input
    baseline: Input | None = None
    dataset: Input
    split: Literal["train", "validation", "test"] = "test"
    samples: int = Field(1000, ge=1)
    seeds: list[int] = [0, 1, 2, 3, 4]
    metrics: list[MetricGate]
    alpha: float = Field(0.05, gt=0, lt=1)
    pairs: int = Field(0, ge=0)  # how many pairs of samples are laid out for people; see gencontract/deck.py
    device: Literal["auto", "cpu", "cuda"] = "auto"
    output: str


# --- tally -----------------------------------------------------------------------------------------------------------


class TallyTask(Wire):
    """Count what people said about the deck in a report. `raters` and `ballots` are those of gencontract/deck.py."""

    verb: Literal["tally"] = "tally"
    report: Input
    raters: list[str]
    ballots: list[str]
    alpha: float = Field(0.05, gt=0, lt=1)
    min_win_rate: float = Field(0.5, ge=0, le=1)
    min_agreement: float | None = None


# --- optimize --------------------------------------------------------------------------------------------------------


class Tolerance(Wire):
    atol: float = Field(1e-3, ge=0, allow_inf_nan=False)
    rtol: float = Field(1e-3, ge=0, allow_inf_nan=False)


class OptimizeTask(Wire):
    verb: Literal["optimize"] = "optimize"
    model: Input
    dataset: Input | None = None  # for int8 calibration and the quality check
    targets: list[Runtime] = Field(min_length=1)
    precision: Precision = "fp32"
    batch_sizes: list[int] = [1, 16]
    tolerance: Tolerance = Tolerance()
    fallback: bool = True
    objective: Literal["latency", "throughput"] = "latency"
    hardware: str = "host"
    model_name: str = Field("generator", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    model_version: int = Field(1, ge=1)
    server: dict[str, Any] = {}  # instances, dynamicBatching
    cache: str | None = None
    output: str


# --- serve -----------------------------------------------------------------------------------------------------------


class Capture(Wire):
    """What a server records of its traffic, and where finished records go."""

    uri: str  # folder of this deployment's records
    rate: float = Field(gt=0, le=1)  # share of the requests
    per_minute: int = Field(600, ge=1)  # requests at most
    redact: Literal["redact", "drop", "keep"] = "redact"
    rotate_seconds: float = Field(300, gt=0)  # age at which a record is finished
    keep_seconds: float = Field(604_800, gt=0)  # age at which one is removed


class ServeTask(Wire):
    """Start Triton on a verified repository and say ready only after a first generation that matches the engine."""

    verb: Literal["serve"] = "serve"
    repository: Input
    address: str = "127.0.0.1"  # where the environment has POD_IP, that is taken instead
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    ready_port: int = 8080  # GET /readyz and /livez of the launcher, for probes
    drain_seconds: float = Field(5, ge=0)  # between saying not ready and stopping, for balancers to notice
    capture: Capture | None = None  # None: nothing leaves the pod


# --- drift -----------------------------------------------------------------------------------------------------------


class DriftTask(Wire):
    """Compare one window of a deployment's records with a dataset, by embeddings."""

    verb: Literal["drift"] = "drift"
    reference: Input  # a dataset; its train split counts
    captured: str  # folder of the deployment's records
    engine: Digest  # whose answers count
    of: Literal["input", "output", "prompt"]
    since: int  # Unix seconds; the window has its beginning and not its end
    until: int
    min_samples: int = Field(100, ge=2)  # with fewer, nothing is measured
    samples: int = Field(1000, ge=2)  # of each side at most, chosen by seed
    permutations: int = Field(999, ge=19)
    seed: int = 0


AnyTask = Annotated[
    PrepareTask | SweepTask | TrainTask | EvaluateTask | TallyTask | OptimizeTask | ServeTask | DriftTask,
    Field(discriminator="verb"),
]


class Run(Wire):
    """For whom the pod works; for logs and reports only."""

    kind: str = ""
    namespace: str = ""
    name: str = "local"
    uid: str = ""


class TaskFile(Wire):
    """The whole message from operator to pod."""

    version: Literal["genops.dev/task/v1"] = TASK_VERSION
    run: Run = Run()
    task: AnyTask
