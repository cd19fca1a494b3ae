"""One target after the other: build an engine or take it from the cache, and ask whether it is right, good and fast.

A candidate carries what was found out, or the reason why it cannot be used; nothing that a runtime cannot do is raised.
This module must not know how one is chosen, or served.
"""

import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gencontract.codes import Code
from gencontract.report import EngineReport
from gencontract.task import OptimizeTask
from gencontract.wire import canonical
from gentrainers import artifact
from gentrainers.artifact import Opened, open_artifact
from gentrainers.errors import JobError
from gentrainers.exporters import _check as check
from gentrainers.exporters._base import Built, Exporter, code_version, exporter, runtime_version
from gentrainers.exporters._errors import NotBuilt, first_line
from gentrainers.exporters._subject import Subject, capabilities, host
from gentrainers.serving import repository
from gentrainers.serving.backend import engine as engines
from gentrainers.serving.backend.engine import Engine

WORSE = 1.10  # an engine may be so many times as far from the dataset as the model itself
NEAR = 0.01  # or farther by this much


@dataclass(frozen=True)
class Candidate:
    """One target after its attempt. `folder` holds the engine where there is one."""

    report: EngineReport
    exporter: Exporter | None = None
    folder: Path | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    engine: Engine | None = None
    speeds: list[check.Speed] = field(default_factory=list)
    code: Code = Code.NO_ENGINE

    @property
    def good(self) -> bool:
        return self.engine is not None and not self.report.reason

    def failed(self, reason: str, code: Code = Code.NO_ENGINE, **more: Any) -> "Candidate":
        """Say why this one cannot be used."""
        return replace(self, report=self.report.model_copy(update={"reason": reason, **more}), code=code)


def attempt(subject: Subject, target: str, folder: Path) -> Candidate:
    """Build or find one engine, and check it. Never raises for what this runtime cannot do."""
    runtime = exporter(target)
    report = EngineReport(target=target, precision=subject.task.precision)
    candidate = Candidate(report, runtime)
    if subject.task.precision not in runtime.precisions:
        return candidate.failed(f"{target} has {', '.join(runtime.precisions)}, not {subject.task.precision}")
    reason = runtime.available()
    if reason:
        return candidate.failed(reason)
    key = engine_key(subject, runtime)
    candidate = replace(candidate, report=report.model_copy(update={"key": key}))
    try:
        return judged(subject, obtained(subject, candidate, folder))
    except NotBuilt as error:
        return candidate.failed(str(error))


def engine_key(subject: Subject, runtime: Exporter) -> str:
    """Name an engine by all that it depends on: the same key is never built twice."""
    task = subject.task
    return hashlib.sha256(
        canonical(
            {
                "weights": subject.digest,
                "runtime": [runtime.name, runtime_version(runtime)],
                "hardware": [task.hardware, "" if capabilities(task.hardware) else host()],
                "precision": task.precision,
                "calibration": subject.dataset if task.precision == "int8" else "",
                "batches": sorted(task.batch_sizes),
                "shapes": [subject.spec["inputs"], subject.spec["outputs"]],
                "code": code_version(runtime),
            }
        )
    ).hexdigest()


def obtained(subject: Subject, candidate: Candidate, folder: Path) -> Candidate:
    """Take the engine from the cache where a whole one is; else build it and keep it there. Raises NotBuilt."""
    place = f"{subject.task.cache.rstrip('/')}/{candidate.report.key}" if subject.task.cache else str(folder)
    known = _cached(place) if subject.task.cache else None
    if known is None:
        build(subject, candidate, place)
        known = open_artifact(place, "engine")
        return _with(candidate, known, cached=False)
    return _with(candidate, known, cached=True)


def _cached(place: str) -> Opened | None:
    """Open a cached engine; a damaged one counts as none, and makes room for one that is built again."""
    try:
        return open_artifact(place, "engine")
    except JobError as error:
        if error.code not in (Code.MISSING_INPUT, Code.DIGEST_MISMATCH, Code.BAD_DATA, Code.BAD_SIGNATURE):
            raise
        artifact.remove(place)
        return None


def build(subject: Subject, candidate: Candidate, place: str) -> None:
    """Build one engine as an artifact at `place`. Raises NotBuilt."""
    assert candidate.exporter is not None
    body: dict[str, Any] = {"key": candidate.report.key, "runtime": candidate.exporter.name}
    with artifact.writing(place, "engine", body) as folder:
        started = time.monotonic()
        built = _guarded(candidate.exporter, subject, folder)
        body |= {
            "buildSeconds": round(time.monotonic() - started, 3),
            "batches": list(built.pinned),
            "compiled": built.compiled,
            "elsewhere": built.elsewhere,
            "more": built.more,
        }


def _guarded(runtime: Exporter, subject: Subject, folder: Path) -> Built:
    """Build; whatever a runtime raises is a reason why it could not, except what concerns the whole job."""
    try:
        return runtime.build(subject.graph, subject.options, folder)
    except (NotBuilt, JobError, OSError, MemoryError):
        raise
    except Exception as error:
        raise NotBuilt(f"the build failed: {first_line(error)}") from error


def _with(candidate: Candidate, opened: Opened, cached: bool) -> Candidate:
    report = candidate.report.model_copy(update={"cached": cached, "build_seconds": opened.body["buildSeconds"]})
    return replace(candidate, report=report, folder=opened.path, spec=dict(opened.body))


def judged(subject: Subject, candidate: Candidate) -> Candidate:
    """Ask a built engine whether it is right, good and fast."""
    if candidate.spec["elsewhere"]:
        return candidate.failed(f"{candidate.spec['elsewhere']}; the numeric check is not possible here")
    assert candidate.folder is not None
    spec = engine_spec(subject, candidate)
    try:
        engine = Engine(spec, engines.runner(candidate.folder, spec))
        error, excess = check.worst(engine, subject.probes, subject.task.tolerance.atol, subject.task.tolerance.rtol)
    except Exception as failure:  # a runtime refuses its own file in words of its own
        return candidate.failed(f"the engine does not run here: {first_line(failure)}")
    right = replace(candidate, engine=engine, spec=spec)
    if excess > 0:
        return right.failed(_off(subject.task, error), Code.OUT_OF_TOLERANCE, max_abs_error=_finite(error))
    return timed(subject, praised(subject, _told(right, max_abs_error=error)))


def _off(task: OptimizeTask, error: float) -> str:
    allowed = f"atol {task.tolerance.atol:g} and rtol {task.tolerance.rtol:g}"
    return f"answers differ from the model's by up to {error:.3g}, tolerance is {allowed}"


def _finite(error: float) -> float | None:
    return error if np.isfinite(error) else None


def _told(candidate: Candidate, **facts: Any) -> Candidate:
    return replace(candidate, report=candidate.report.model_copy(update=facts))


def praised(subject: Subject, candidate: Candidate) -> Candidate:
    """Compare what the engine generates with the dataset: not farther from it than the model itself is."""
    if subject.real is None or candidate.engine is None:
        return candidate
    own, model = subject.distance_of(candidate.engine), subject.distance
    if own > max(model * WORSE, model + NEAR):
        reason = f"samples are {own:.4g} from the dataset (sliced Wasserstein), the model's own are {model:.4g}"
        return candidate.failed(reason, Code.OUT_OF_TOLERANCE, quality=own)
    return _told(candidate, quality=own)


def timed(subject: Subject, candidate: Candidate) -> Candidate:
    """Time every batch size; p50 and p95 are of the smallest, the throughput of the largest."""
    if not candidate.good or candidate.engine is None:
        return candidate
    speeds = [check.measure(candidate.engine, batch) for batch in sorted(set(subject.task.batch_sizes))]
    first, last = speeds[0], speeds[-1]
    facts = {"p50_ms": round(first.p50, 4), "p95_ms": round(first.p95, 4), "throughput": round(last.throughput, 2)}
    return replace(_told(candidate, **facts), speeds=speeds)


def engine_spec(subject: Subject, candidate: Candidate) -> dict[str, Any]:
    """Make the engine.json of a built engine."""
    assert candidate.exporter is not None
    native = candidate.exporter.native
    ports = repository.native_ports(subject.spec, native) if native else ([], [])
    names = {side: [p.name for p in each] for side, each in zip(("inputs", "outputs"), ports, strict=True)}
    return subject.spec | {
        "key": candidate.report.key,
        "runtime": candidate.exporter.name,
        "precision": candidate.report.precision,
        "batches": candidate.spec["batches"],
        "compiled": candidate.spec["compiled"],
        "native": {"backend": native} | names if native else None,
        "maxBatch": max(subject.task.batch_sizes),
    }
