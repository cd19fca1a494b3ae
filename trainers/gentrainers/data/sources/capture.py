"""What a GenDeployment recorded of its traffic: each sample that was served is a row."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers import captured
from gentrainers.captured import Record
from gentrainers.data.sources.base import Fetched, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod

READ = ("images", "text", "tabular")


def fetch(task: PrepareTask, scratch: Any, pod: Pod) -> Fetched:
    """List the records that are finished now; those that come later are of another revision."""
    uri: str = need(task.source, "uri")
    if task.format not in READ:
        raise JobError(Code.UNSUPPORTED, f"format {task.format} is not read of records; {', '.join(READ)} are")
    found = captured.records(uri)
    if not found:
        raise JobError(
            Code.MISSING_INPUT, f"{uri} has no finished record yet; send requests, or wait for rotateSeconds"
        )
    names = "\n".join(r.name for r in found)
    revision = "sha256:" + hashlib.sha256(names.encode()).hexdigest()
    about = {"kind": "capture", "records": len(found)}
    return Fetched(revision, license_of(task.source), records=lambda: rows(uri, found, task, pod), about=about)


def rows(uri: str, found: Sequence[Record], task: PrepareTask, pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each sample as a row of a hub's dataset would be."""
    for record in found:
        pod.give_way()
        read = captured.read(uri, record)
        for number, row in enumerate(read.rows):
            sample = None if read.samples is None else read.samples[number]
            yield f"{record.name} line {number + 1}", _row(row, sample, task)


def _row(row: Mapping[str, Any], sample: Any, task: PrepareTask) -> Mapping[str, Any]:
    if task.format == "images" and sample is not None and sample.dtype == np.uint8:
        from PIL import Image

        return {**row, "image": Image.fromarray(np.array(sample).squeeze(-1) if sample.shape[-1] == 1 else sample)}
    if task.format == "tabular" and sample is not None:
        return {**row, **_cells(sample, task)}
    return row


def _cells(sample: Any, task: PrepareTask) -> dict[str, float]:
    """Name the numbers of a generated row by the columns that the task declares, in their order."""
    named = [c.name for c in task.columns if c.type != "string"]
    if len(named) != len(sample):
        message = f"columns: {len(named)} are declared and served rows have {len(sample)}; declare them in order"
        raise JobError(Code.BAD_CONFIG, message)
    return {name: float(value) for name, value in zip(named, sample, strict=True)}
