"""Build engines for a model, prove that they are right, good and fast, and lay the best one out for Triton.

One target after the other: build (or take from the cache under a key of everything that matters), compare with the
model itself, compare what it generates with the dataset, time it. The best by the task's objective is written as a
Triton model repository. This module knows the order of these steps; runtimes stand in exporters/, files in serving/.
"""

import hashlib
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gencontract.codes import Code
from gencontract.report import Artifact, EngineReport, Progress, Report
from gencontract.task import OptimizeTask
from gencontract.wire import canonical
from gentrainers import artifact, exporters
from gentrainers.artifact import Opened, open_artifact, sha256_bytes
from gentrainers.data.dataset import Dataset, open_dataset
from gentrainers.errors import JobError
from gentrainers.exporters import Built, Exporter, Graph, NotBuilt, Options
from gentrainers.exporters import _check as check
from gentrainers.exporters._base import code_version, runtime_version
from gentrainers.exporters._errors import first_line
from gentrainers.pod import Pod
from gentrainers.serving import repository
from gentrainers.serving.backend import engine as engines
from gentrainers.serving.backend.engine import Engine
from gentrainers.serving.backend.metrics import BUCKETS

Array = NDArray[Any]
GOLDEN = 4  # samples that a server must make again before it is ready
CALIBRATION = (8, 16)  # batches, and samples in each
JUDGED = 256  # samples that the quality check compares with the dataset
WORSE = 1.10  # an engine may be so many times as far from the dataset as the model itself
NEAR = 0.01  # or farther by this much
LAST_RESORT = "torch"


@dataclass(frozen=True)
class Subject:
    """The model, and what all its engines are built and checked with."""

    task: OptimizeTask
    digest: str  # of weights and config
    graph: Graph
    spec: dict[str, Any]  # what engine.json says of every engine of this model
    real: Array | None  # samples of the dataset
    dataset: str  # its digest

    @property
    def generation(self) -> Any:
        return self.graph.generation

    @cached_property
    def drawer(self) -> Engine:
        """Draws inputs as a server does; runs nothing."""
        return Engine(self.spec, lambda inputs: inputs)

    @cached_property
    def probes(self) -> list[check.Probe]:
        return check.probes(self.generation, self.drawer, self.task.batch_sizes)

    @cached_property
    def options(self) -> Options:
        batches, size = CALIBRATION
        feeds = [self.drawer.inputs(range(10_000 + size * i, 10_000 + size * (i + 1)), {}) for i in range(batches)]
        return Options(
            self.task.precision,
            tuple(sorted(self.task.batch_sizes)),
            capabilities(self.task.hardware),
            tuple(feeds) if self.task.precision == "int8" else (),
        )

    @cached_property
    def distance(self) -> float:
        """How far the model's own samples are from the dataset."""
        return self.distance_of(Engine(self.spec, lambda inputs: check.eager(self.generation, inputs)))

    def distance_of(self, engine: Engine) -> float:
        """Sliced Wasserstein distance from what an engine generates to the dataset."""
        from gentrainers.metrics.sliced_wasserstein import sliced

        assert self.real is not None
        size = max(self.task.batch_sizes)
        made = [engine.generate(range(at, min(at + size, len(self.real)))) for at in range(0, len(self.real), size)]
        return float(sliced(_unit(np.concatenate(made)), _unit(self.real)))


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


def run(task: OptimizeTask, pod: Pod) -> Report:
    """Build every target, choose one, write the repository. Raises JobError where none can be used."""
    server = repository.dials(task.server)
    if min(task.batch_sizes, default=0) < 1:
        raise JobError(Code.BAD_CONFIG, f"batchSizes: {task.batch_sizes} must be one or more numbers from 1")
    capabilities(task.hardware)
    with tempfile.TemporaryDirectory(prefix="genops-optimize-") as scratch:
        subject = open_subject(task, Path(scratch))
        candidates = attempt_all(subject, pod, Path(scratch))
        best = choose(task, candidates)
        table = [c.report.model_copy(update={"chosen": c is best}) for c in candidates]
        made = write(subject, best, table, candidates, server)
    return Report(
        verb="optimize", code=Code.DONE, message=_summary(task, best, candidates), artifact=made, engines=table
    )


def _summary(task: OptimizeTask, best: Candidate, candidates: Sequence[Candidate]) -> str:
    first = candidates[0].report
    fell_back = f"; {first.target} was not: {first.reason}" if first.reason else ""
    return f"{best.report.target} {best.report.precision} was chosen for {task.objective}{fell_back}"


# --- the subject -----------------------------------------------------------------------------------------------------


def open_subject(task: OptimizeTask, scratch: Path) -> Subject:
    """Open the model and the dataset, checked against their digests."""
    from gentrainers import model

    opened = open_artifact(task.model.uri, "model", task.model.digest)
    loaded = model.load(task.model.uri, task.model.digest)
    return subject_of(task, loaded.generation(), loaded.data, weights_digest(opened), scratch)


def subject_of(task: OptimizeTask, generation: Any, data: Any, digest: str, scratch: Path) -> Subject:
    """Describe a generation for its engines."""
    dataset = open_dataset(task.dataset.uri, task.dataset.digest) if task.dataset else None
    spec = describe(generation, data) | {"reference": dataset and reference(dataset)}
    graph = Graph(generation, scratch / "graph", max(task.batch_sizes))
    return Subject(task, digest, graph, spec, _real(dataset), dataset.digest if dataset else "")


def weights_digest(opened: Opened) -> str:
    """Hash what a generation is made of: the weights and what the manifest says of the model, not how it was made."""
    made_of = {key: opened.body.get(key) for key in ("family", "size", "config", "data")}
    return sha256_bytes(canonical([artifact.sha256_file(opened.path / "weights.safetensors"), made_of]))


def reference(dataset: Dataset) -> dict[str, Any]:
    """Read the dataset's drift reference as a server exports it: bounds `le`, and the `share` of samples up to each."""
    out = {}
    for name, feature in dataset.json("reference.json")["features"].items():
        if feature["kind"] == "numeric" and name in BUCKETS and feature["edges"]:
            counts = np.cumsum(feature["counts"])
            out[name] = {"le": feature["edges"], "share": [round(float(c / counts[-1]), 6) for c in counts[:-1]]}
    return out


def _real(dataset: Dataset | None) -> Array | None:
    """Return images of the train split, spread over all of it."""
    x = dataset.split("train").arrays.get("x") if dataset else None
    if x is None or x.dtype != np.uint8:
        return None
    return np.ascontiguousarray(x[:: max(1, len(x) // JUDGED)][:JUDGED])


def describe(generation: Any, data: Any) -> dict[str, Any]:
    """Say in JSON what a generation takes and gives, and what its sample looks like to people."""
    inputs, outputs = ([_port(s) for s in side] for side in (generation.inputs, generation.outputs))
    shape, dtype = outputs[0]["shape"][1:], outputs[0]["dtype"]
    if data.format == "images":
        shape, dtype = [*shape[1:], shape[0]], "uint8"
    sample = {"format": data.format, "levels": data.levels, "shape": shape, "dtype": dtype}
    return {"inputs": inputs, "outputs": outputs, "shares": list(generation.shares), "sample": sample}


def _port(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape), "draw": spec.draw, "high": spec.high}


def _unit(samples: Array) -> NDArray[np.float64]:
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    return flat / 255 if samples.dtype == np.uint8 else flat


# --- one target ------------------------------------------------------------------------------------------------------


def attempt_all(subject: Subject, pod: Pod, scratch: Path) -> list[Candidate]:
    """Attempt every target in order; where all fail and falling back is allowed, PyTorch too."""
    task, out = subject.task, list[Candidate]()
    targets = list(dict.fromkeys(task.targets))
    for place, target in enumerate(targets):
        pod.give_way()
        pod.progress(Progress(stage=f"building {target}", step=place, total=len(targets) + 1))
        out.append(attempt(subject, target, scratch / target))
        if out[-1].report.reason and not task.fallback:
            raise JobError(out[-1].code, f"{target}: {out[-1].report.reason}; set fallback, or mend the cause")
    if not any(c.good for c in out) and LAST_RESORT not in targets and task.fallback:
        pod.progress(Progress(stage=f"building {LAST_RESORT}", step=len(targets), total=len(targets) + 1))
        out.append(attempt(subject, LAST_RESORT, scratch / LAST_RESORT))
    return out


def attempt(subject: Subject, target: str, folder: Path) -> Candidate:
    """Build or find one engine, and check it. Never raises for what this runtime cannot do."""
    runtime = exporters.exporter(target)
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


def host() -> str:
    """Name this machine's kind: the CPU's instructions, and the GPU if there is one."""
    gpu = "sm{}{}".format(*torch.cuda.get_device_capability()) if torch.cuda.is_available() else "no gpu"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    return f"{platform.machine()} {hashlib.sha256(flags.encode()).hexdigest()[:16]} {gpu}"


def capabilities(hardware: str) -> tuple[str, ...]:
    """Read compute capabilities out of `sm_89`, or `sm80,sm120`; `host` is whatever is here.

    >>> capabilities("sm_89,sm120")
    ('89', '120')
    """
    if hardware == "host":
        return ()
    names = [name.strip().lower().removeprefix("sm").removeprefix("_") for name in hardware.split(",")]
    if not all(name.isdigit() for name in names):
        raise JobError(Code.BAD_CONFIG, f"hardware: {hardware!r} is neither host nor a list such as sm_89,sm_120")
    return tuple(names)


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
    """Open a cached engine; a damaged one counts as none, and is built again in its place."""
    try:
        return open_artifact(place, "engine")
    except JobError as error:
        if error.code in (Code.MISSING_INPUT, Code.DIGEST_MISMATCH, Code.BAD_DATA):
            return None
        raise


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


# --- the choice ------------------------------------------------------------------------------------------------------


def choose(task: OptimizeTask, candidates: Sequence[Candidate]) -> Candidate:
    """Choose the best engine that passed. Raises JobError that says of each target why it did not."""
    good = [c for c in candidates if c.good]
    if not good:
        codes = {c.code for c in candidates}
        code = Code.OUT_OF_TOLERANCE if Code.OUT_OF_TOLERANCE in codes else Code.NO_ENGINE
        raise JobError(code, "; ".join(f"{c.report.target}: {c.report.reason}" for c in candidates))
    if task.objective == "throughput":
        return max(good, key=lambda c: c.report.throughput or 0)
    return min(good, key=lambda c: c.report.p50_ms or float("inf"))


def write(
    subject: Subject,
    best: Candidate,
    table: Sequence[EngineReport],
    candidates: Sequence[Candidate],
    server: repository.Server,
) -> Artifact:
    """Write the chosen engine as a Triton model repository with a first generation to compare a server with."""
    task = subject.task
    assert best.exporter is not None
    assert best.engine is not None
    assert best.folder is not None
    body = {
        "model": task.model_name,
        "version": task.model_version,
        "modelDigest": task.model.digest or artifact.digest_of(task.model.uri),
        "chosen": best.report.target,
        "engines": [e.model_dump(mode="json", by_alias=True, exclude_none=True) for e in table],
        "speeds": {c.report.target: [vars(s) for s in c.speeds] for c in candidates if c.speeds},
        "host": host(),
    }
    with artifact.writing(task.output, "engines", body) as folder:
        repository.write(folder, served(task, best, server))
        golden(folder / task.model_name / str(task.model_version), best.engine, max(task.batch_sizes))
    return Artifact(uri=task.output, digest=artifact.digest_of(task.output))


def served(task: OptimizeTask, best: Candidate, server: repository.Server) -> repository.Served:
    """Say how the chosen engine is served."""
    assert best.exporter is not None
    assert best.folder is not None
    return repository.Served(
        model=task.model_name,
        version=task.model_version,
        engine=best.folder,
        spec=best.spec,
        native=best.exporter.native,
        model_file=best.exporter.model_file,
        max_batch=max(task.batch_sizes),
        server=server,
        gpu=torch.cuda.is_available(),
    )


def golden(folder: Path, engine: Engine, max_batch: int) -> None:
    """Keep a first generation: what this very engine answers to a few seeds."""
    seeds = np.arange(min(GOLDEN, max_batch), dtype=np.int64).reshape(-1, 1)
    np.save(folder / "golden-seed.npy", seeds)
    np.save(folder / "golden-sample.npy", engine.generate(seeds.reshape(-1).tolist()), allow_pickle=False)
