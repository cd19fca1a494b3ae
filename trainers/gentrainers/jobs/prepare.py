"""Make a dataset: fetch, collect, choose, judge, write.

Composes the stages of `gentrainers.data`; it must not know what a picture or a text is.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.report import Artifact, CheckReport, Progress, Report, SplitReport
from gencontract.task import PrepareTask
from gentrainers import artifact
from gentrainers.data import checks, formats, sources, splits
from gentrainers.data.formats.base import Format
from gentrainers.data.pipeline import OWN_KEYS, Chooser, Collector, Prepared
from gentrainers.data.sources.base import Fetched
from gentrainers.data.write import body_of, write
from gentrainers.pod import Pod


def run(task: PrepareTask, pod: Pod) -> Report:
    """Prepare a dataset at `task.output`. A check that blocks ends it with all verdicts and without an artifact."""
    splits.bounds(task.splits)
    key = None if task.splits.key in OWN_KEYS else task.splits.key
    format_ = formats.make(task.format, task.options, task.columns, key)
    artifact.check_place(task.output, "dataset")
    with workspace(task.output) as scratch:
        pod.progress(Progress(stage="fetching"))
        fetched = sources.fetch(task, scratch, pod)
        collected = Collector(task, format_, scratch, pod)
        collected.run(fetched)
        pod.progress(Progress(stage="deduplicating", step=len(collected.spool)))
        prepared = Chooser(collected, fetched.draws).run()
        judged = [checks.judge(check, prepared.findings) for check in task.checks]
        if blocked := [c for c in judged if not c.passed and c.action == "Block"]:
            return _refused(task, judged, blocked)
        return _written(task, pod, format_, fetched, prepared, judged)


def _written(
    task: PrepareTask,
    pod: Pod,
    format_: Format[Any],
    fetched: Fetched,
    prepared: Prepared,
    judged: list[CheckReport],
) -> Report:
    def tick() -> None:
        pod.give_way()
        pod.progress(Progress(stage="writing", total=prepared.findings.kept))

    tick()
    body = body_of(task, fetched, prepared)
    with artifact.writing(task.output, "dataset", body) as folder:
        write(folder, body, task, format_, fetched, prepared, judged, tick)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    done = prepared.findings.kept
    pod.progress(Progress(stage="writing", step=done, total=done))
    return Report(
        verb=task.verb,
        code=Code.DONE,
        artifact=Artifact(uri=task.output, digest=artifact.digest_of(task.output)),
        samples=done,
        bytes=size,
        revision=fetched.revision,
        reference=f"{task.output.rstrip('/')}/reference.json",
        splits=[SplitReport(name=n, **s) for n, s in body["splits"].items()],
        checks=judged,
    )


def _refused(task: PrepareTask, judged: list[CheckReport], blocked: list[CheckReport]) -> Report:
    message = "; ".join(f"check {c.name} did not pass: {c.message}" for c in blocked)
    return Report(verb=task.verb, code=Code.CHECK_BLOCKED, message=message, checks=judged)


@contextmanager
def workspace(output: str) -> Iterator[Path]:
    """Give a scratch folder on the output's own disk and remove it in the end; leftovers of a killed try too."""
    if artifact.is_remote(output):
        with tempfile.TemporaryDirectory(prefix="genops-prepare-") as name:
            yield Path(name)
        return
    target = artifact.local_path(output)
    prefix = f".preparing-{target.name}-"
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(prefix + "*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as name:
        yield Path(name)
