"""Build engines for a model, prove that they are right, good and fast, and lay the best one out for Triton.

    each target: build, or find in the cache ─► equal to the model? ─► as near the data? ─► how fast? ─► the best one

The best by the task's objective is written as a Triton model repository. This module knows the order of these steps;
runtimes and checks stand in exporters/, files in serving/.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gencontract.codes import Code
from gencontract.report import Artifact, EngineReport, Progress, Report
from gencontract.task import OptimizeTask
from gentrainers import artifact
from gentrainers.errors import JobError
from gentrainers.exporters._attempt import Candidate, attempt
from gentrainers.exporters._subject import Subject, capabilities, host, open_subject
from gentrainers.pod import Pod
from gentrainers.serving import repository
from gentrainers.serving.backend.engine import Engine

GOLDEN = 4  # samples that a server must make again before it is ready
LAST_RESORT = "torch"


def run(task: OptimizeTask, pod: Pod) -> Report:
    """Build every target, choose one, write the repository. Raises JobError where none can be used."""
    server = repository.dials(task.server)
    if min(task.batch_sizes, default=0) < 1:
        raise JobError(Code.BAD_CONFIG, f"batchSizes: {task.batch_sizes} must be one or more numbers from 1")
    capabilities(task.hardware)
    artifact.check_place(task.output, "engines")
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
        home = folder / task.model_name / str(task.model_version)
        golden(home, best.engine, max(task.batch_sizes))
        if subject.tokenizer:
            shutil.copyfile(subject.tokenizer, home / subject.tokenizer.name)
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
