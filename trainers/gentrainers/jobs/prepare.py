"""Make a dataset: fetch, read, clean, split, write, describe.

Composes the stages of `gentrainers.data`; it must not know what a picture or a text is.
"""

import hashlib
from typing import Any

import numpy as np

from gencontract.codes import Code
from gencontract.report import Artifact, Report, SplitReport
from gencontract.task import PrepareTask
from gentrainers import artifact
from gentrainers.data import splits as splitting
from gentrainers.data.builtin import digits
from gentrainers.data.npy import NpyWriter
from gentrainers.errors import JobError
from gentrainers.pod import Pod


def run(task: PrepareTask, pod: Pod) -> Report:
    """Prepare a dataset at `task.output`."""
    if task.source.kind != "builtin" or task.source.name != "digits":
        raise JobError(Code.UNSUPPORTED, f"source {task.source.kind} {task.source.name}: not yet; use builtin digits")
    body: dict[str, Any] = {
        "format": task.format,
        "code": "gentrainers/1",
        "source": {"kind": "builtin", "name": "digits"},
    }
    found = sorted(((hashlib.sha256(s.value.tobytes()).digest(), s) for s in digits.samples()), key=lambda p: p[0])
    places = splitting.place((key for key, _ in found), task.splits)
    names = sorted({s.label for _, s in found if s.label})
    body |= {"image": {"height": 8, "width": 8, "channels": 1, "classes": names, **digits.IMAGE}}
    body["splits"] = table = {}
    with artifact.writing(task.output, "dataset", body) as folder:
        for number, split in enumerate(splitting.NAMES):
            rows = [p for p, place in zip(found, places, strict=True) if place == number]
            with NpyWriter(folder / split / "x.npy", np.uint8, (8, 8, 1)) as x:
                x.append(np.stack([s.value for _, s in rows]))
            with NpyWriter(folder / split / "y.npy", np.int64) as y:
                y.append(np.array([names.index(s.label or "") for _, s in rows]))
            with NpyWriter(folder / split / "keys.npy", np.uint8, (32,)) as keys:
                keys.append(np.stack([np.frombuffer(k, np.uint8) for k, _ in rows]))
            table[split] = {"samples": len(rows), "digest": artifact.sha256_file(folder / split / "x.npy")}
    digest = artifact.digest_of(task.output)
    return Report(
        verb=task.verb,
        code=Code.DONE,
        samples=len(found),
        artifact=Artifact(uri=task.output, digest=digest),
        splits=[SplitReport(name=n, samples=s["samples"], digest=s["digest"]) for n, s in table.items()],
    )
