"""Records of a deployment's traffic: folders that a server pod finished one after the other, and how they are read.

A record is an artifact of kind `capture` below the deployment's folder. Its name says which seconds it tells of and
which engine answered, so that a window is found without opening what lies outside of it. `rows.jsonl` has one line per
sample (`at`, `seed`, and what was asked for), `samples.npy` the samples themselves in the same order; of text there is
no array, since it stands in the rows with what is personal replaced. Must not know who writes records, or what for.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.codes import Code
from gentrainers import artifact
from gentrainers.errors import JobError

KIND = "capture"
ROWS, SAMPLES = "rows.jsonl", "samples.npy"
NAME = re.compile(r"(\d{10})-(\d{10})-([0-9a-f]{12})-[0-9a-f]{8}")


@dataclass(frozen=True, order=True)
class Record:
    """One record by its name: samples of `first` <= time < `last`, in Unix seconds, of one engine."""

    name: str
    first: int
    last: int
    engine: str

    def overlaps(self, since: float, until: float) -> bool:
        """Say whether it may hold samples of that time."""
        return self.first < until and self.last > since


@dataclass(frozen=True)
class Read:
    """A record's content: rows, and the samples [n, ...] where they are not text."""

    rows: list[dict[str, Any]]
    samples: NDArray[Any] | None
    digest: str


def name_of(first: float, last: float, engine: str) -> str:
    """Name a new record. `engine` is a digest.

    >>> name_of(5.5, 7.25, "sha256:" + "a" * 64)[:35]
    '0000000005-0000000008-aaaaaaaaaaaa-'
    """
    return f"{int(first):010d}-{int(last) + 1:010d}-{short(engine)}-{uuid.uuid4().hex[:8]}"


def short(engine: str) -> str:
    """Shorten an engine's digest as names have it."""
    return engine.removeprefix("sha256:")[:12]


def records(uri: str) -> list[Record]:
    """List the finished records of a deployment, the oldest first; whatever else lies there is passed over."""
    found = (NAME.fullmatch(name) for name in artifact.listing(uri))
    return sorted(Record(m[0], int(m[1]), int(m[2]), m[3]) for m in found if m)


def read(uri: str, record: Record) -> Read:
    """Open one record and check its files. Raises JobError as `artifact.open_artifact` does."""
    opened = artifact.open_artifact(f"{uri.rstrip('/')}/{record.name}", KIND)
    rows = [json.loads(line) for line in (opened.path / ROWS).read_text().splitlines()]
    path = opened.path / SAMPLES
    samples = np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
    if samples is not None and len(samples) != len(rows):
        raise JobError(Code.BAD_DATA, f"{uri}/{record.name} has {len(rows)} rows and {len(samples)} samples; remove it")
    return Read(rows, samples, opened.digest)


def within(uri: str, since: float, until: float, engine: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield (row, sample or None) of one engine's answers with since <= time < until, the oldest record first."""
    for record in records(uri):
        if record.engine != short(engine) or not record.overlaps(since, until):
            continue
        found = read(uri, record)
        for number, row in enumerate(found.rows):
            if since <= row["at"] < until:
                yield row, None if found.samples is None else found.samples[number]
