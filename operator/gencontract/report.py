"""What a pod answers: Progress while it works, one Report when it ends.

Both are small: a Report must fit Kubernetes' termination message (wire.py sees to it), so anything big is an
artifact that the Report names.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from gencontract.codes import Code
from gencontract.task import Digest


class Answer(BaseModel):
    """A model that comes back: fields that a newer side added are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Artifact(Answer):
    """A folder with a manifest; `digest` is the manifest's SHA-256."""

    uri: str
    digest: Digest


class Checkpoint(Answer):
    uri: str
    step: int
    digest: Digest


class Progress(Answer):
    """How far a job is. Sent at most every HEARTBEAT_SECONDS."""

    stage: str = ""  # a word for people: "deduplicating", "training", "building onnx"
    step: int = 0
    total: int = 0
    samples_per_second: float | None = None
    eta_seconds: float | None = None
    metrics: dict[str, float] = {}
    mfu: float | None = None
    checkpoint: Checkpoint | None = None
    updated_at: str = ""  # RFC 3339, UTC


class SplitReport(Answer):
    name: str
    samples: int
    digest: Digest


class CheckReport(Answer):
    name: str
    passed: bool
    action: Literal["Block", "Warn"] = "Block"
    value: float | None = None
    message: str = ""


class MetricReport(Answer):
    """One number with its interval. `passed` is None where nothing was asked of it, or the data did not decide."""

    name: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    baseline: float | None = None
    passed: bool | None = None
    primary: bool = False
    message: str = ""


class EngineReport(Answer):
    """One engine that was built, or the reason why it was not."""

    target: str
    precision: str = "fp32"
    key: str = ""
    cached: bool = False
    build_seconds: float | None = None
    max_abs_error: float | None = None
    quality: float | None = None  # sliced Wasserstein distance from its samples to the dataset, where one was given
    p50_ms: float | None = None
    p95_ms: float | None = None
    throughput: float | None = None  # samples per second at the largest batch
    chosen: bool = False
    reason: str = ""


class Usage(Answer):
    cpu_seconds: float = 0
    gpu_seconds: float = 0
    peak_memory_bytes: int = 0


class Report(Answer):
    """How a job ended. `message` says what, where and what to do; it is short and has no stack trace."""

    verb: str
    code: Code
    message: str = ""
    artifact: Artifact | None = None
    samples: int | None = None
    bytes: int | None = None
    revision: str | None = None
    reference: str | None = None  # prepare: URI of the drift reference
    splits: list[SplitReport] = []
    checks: list[CheckReport] = []
    verdict: Literal["Passed", "Failed", "Inconclusive"] | None = None
    metrics: list[MetricReport] = []
    engines: list[EngineReport] = []
    checkpoint: Checkpoint | None = None
    step: int | None = None
    usage: Usage = Usage()
