"""How what pods say becomes status. Measurements are strings with a number pattern, as Kubernetes' API rules ask."""

from dataclasses import dataclass, field
from math import isfinite

from gencontract.report import Artifact, Checkpoint, CheckReport, EngineReport, MetricReport, Progress, Usage
from genops.core.conditions import Condition, is_true
from genops.core.model import Happening, Key, Manifest, Seen
from genops.core.podspec import store_uri


@dataclass(frozen=True)
class Said:
    """Everything that a stage tells about its object."""

    status: Manifest = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    happening: Happening | None = None


@dataclass(frozen=True)
class Handover:
    """What another object hands over: where it is and what it must be, or why it is not there yet."""

    what: str  # for people: GenTrainingJob/digits, or an address
    uri: str = ""
    digest: str = ""
    why_not: str = ""


def data_of(key: Key, seen: Seen) -> Handover:
    """Read the data that a GenDataset hands over."""
    found = seen.references.get(key)
    status = (found or {}).get("status") or {}
    if is_true(status, "Ready") and status.get("uri") and status.get("digest"):
        return Handover(_what(key), status["uri"], status["digest"])
    return Handover(_what(key), why_not=_why_not(key, found, "Ready"))


def weights_of(key: Key, seen: Seen) -> Handover:
    """Read the weights that a GenTrainingJob hands over."""
    found = seen.references.get(key)
    output = ((found or {}).get("status") or {}).get("output") or {}
    if output.get("uri") and output.get("digest"):
        return Handover(_what(key), output["uri"], output["digest"])
    return Handover(_what(key), why_not=_why_not(key, found, "Failed"))


def _what(key: Key) -> str:
    return f"{key.kind}/{key.name}"


def _why_not(key: Key, found: Manifest | None, telling: str) -> str:
    """Say what is waited for, in the words of the condition that tells."""
    if found is None:
        return f"{_what(key)} does not exist in this namespace; create it, or mend the reference"
    status = found.get("status") or {}
    said: Manifest = next((c for c in status.get("conditions", ()) if c.get("type") == telling), {})
    detail = f": {said['reason']}: {said.get('message', '')}".rstrip(": ") if said.get("reason") else ""
    return f"Waits for {_what(key)}{detail}"


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


def metric_status(metric: MetricReport) -> Manifest:
    """Write one measured metric with its interval."""
    said = {
        "name": metric.name,
        "value": _maybe(metric.value),
        "low": _maybe(metric.low),
        "high": _maybe(metric.high),
        "samples": metric.samples,
        "baseline": _maybe(metric.baseline),
        "passed": metric.passed,
        "message": metric.message or None,
    }
    return {k: v for k, v in said.items() if v is not None}


def engine_status(engine: EngineReport) -> Manifest:
    """Write one engine that was built, or why it was not."""
    said = {
        "target": engine.target,
        "key": engine.key or None,
        "cached": engine.cached,
        "buildSeconds": _maybe(engine.build_seconds),
        "maxAbsError": _maybe(engine.max_abs_error),
        "p50Ms": _maybe(engine.p50_ms),
        "p95Ms": _maybe(engine.p95_ms),
        "throughput": _maybe(engine.throughput),
        "chosen": engine.chosen,
        "reason": engine.reason or None,
    }
    return {k: v for k, v in said.items() if v is not None}


def _maybe(value: float | None) -> str | None:
    """Write a measurement; what is not finite is no number to the API server, and stays out."""
    return None if value is None or not isfinite(value) else number(value)
