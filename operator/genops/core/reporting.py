"""How what pods say becomes status. Measurements are strings with a number pattern, as Kubernetes' API rules ask."""

from dataclasses import dataclass, field

from gencontract.report import Artifact, Checkpoint, CheckReport, Progress, Usage
from genops.core.conditions import Condition
from genops.core.model import Happening, Manifest
from genops.core.podspec import store_uri


@dataclass(frozen=True)
class Said:
    """Everything that a stage tells about its object."""

    status: Manifest = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    happening: Happening | None = None


def number(value: float, digits: int = 6) -> str:
    """Write a measured number with at most `digits` significant digits.

    >>> number(2.0), number(1234567.0), number(0.000123456789)
    ('2', '1.23457e+06', '0.000123457')
    """
    return f"{value:.{digits}g}"


def progress_status(progress: Progress | None) -> Manifest | None:
    """Write a heartbeat as `status.progress`."""
    if progress is None:
        return None
    said: Manifest = {
        "stage": progress.stage or None,
        "percent": min(100, progress.step * 100 // progress.total) if progress.total else None,
        "step": progress.step,
        "totalSteps": progress.total or None,
        "samplesPerSecond": _maybe(progress.samples_per_second),
        "etaSeconds": None if progress.eta_seconds is None else max(0, round(progress.eta_seconds)),
        "metrics": [{"name": k, "value": number(v)} for k, v in sorted(progress.metrics.items())] or None,
        "updatedAt": progress.updated_at or None,
    }
    return {k: v for k, v in said.items() if v is not None}


def checkpoint_status(checkpoint: Checkpoint | None) -> Manifest | None:
    """Write a checkpoint as `status.checkpoint`."""
    if checkpoint is None:
        return None
    return {"uri": store_uri(checkpoint.uri), "step": checkpoint.step, "digest": checkpoint.digest}


def artifact_status(artifact: Artifact | None) -> Manifest | None:
    """Write an artifact as its place and digest."""
    return {"uri": store_uri(artifact.uri), "digest": artifact.digest} if artifact else None


def usage_status(usage: Usage) -> Manifest:
    """Write what was used."""
    return {
        "cpuSeconds": number(usage.cpu_seconds),
        "gpuSeconds": number(usage.gpu_seconds),
        "peakMemoryBytes": usage.peak_memory_bytes,
    }


def check_status(check: CheckReport) -> Manifest:
    """Write how one check came out."""
    said = {
        "name": check.name,
        "passed": check.passed,
        "action": check.action,
        "value": _maybe(check.value),
        "message": check.message or None,
    }
    return {k: v for k, v in said.items() if v is not None}


def _maybe(value: float | None) -> str | None:
    return None if value is None else number(value)
