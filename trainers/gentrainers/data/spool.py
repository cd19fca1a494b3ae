"""Keep samples on disk between reading and writing, and only numbers about them in memory.

Reading back goes by pread, not by a memory map, so that a set larger than memory never counts as resident. Knows bytes
and columns; it must not know formats.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gencontract.wire import canonical
from gentrainers.data.sample import Sample

V = TypeVar("V")
DIGEST = 32
TICK = 1000
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """What is known of every spooled sample: one row each, in the order of arrival."""

    digests: NDArray[np.uint8]  # [n, 32] of the value
    groups: NDArray[np.uint8]  # [n, 32] of the document it is a part of
    parts: NDArray[np.uint32]
    ties: NDArray[np.uint64]  # hash of what is beside the value: makes the order total
    labels: NDArray[np.int64]  # into label_names, -1 for none
    label_names: list[str]
    facts: dict[str, NDArray[np.float64]]
    marks: NDArray[np.uint8]  # what the stages noted, such as a PII finding
    spans: NDArray[np.int64]  # [n, 3]: where the value starts, its bytes, and those of what is beside it
    captioned: bool  # whether any sample has a caption

    def __len__(self) -> int:
        return len(self.parts)


class Spool:
    """Append samples to one file; keep offsets and digests."""

    def __init__(self, folder: Path, dump: Callable[[Any], bytes]) -> None:
        self._path = folder / "samples.spool"
        self._file = self._path.open("wb", buffering=1 << 20)
        self._dump = dump
        self._starts, self._sizes, self._sides = array("Q"), array("Q"), array("L")
        self._digests, self._groups = bytearray(), bytearray()
        self._parts, self._ties, self._labels, self._marks = array("I"), array("Q"), array("q"), bytearray()
        self._facts: dict[str, array[float]] = {}
        self._names: dict[str, int] = {}
        self._captioned = False
        self._end = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, sample: Sample, mark: int = 0) -> None:
        """Keep a sample; `sample.facts` must have the same names every time."""
        data = self._dump(sample.value)
        side, tie = _side(sample.label, sample.caption, sample.key)
        digest = hashlib.sha256(data).digest()
        self._file.write(data)
        self._file.write(side)
        self._starts.append(self._end)
        self._sizes.append(len(data))
        self._sides.append(len(side))
        self._end += len(data) + len(side)
        self._digests += digest
        self._groups += sample.group or digest
        self._parts.append(sample.part)
        self._ties.append(tie)
        self._captioned |= sample.caption is not None
        self._labels.append(self._label(sample.label))
        self._marks.append(mark)
        for name, number in sample.facts.items():
            self._facts.setdefault(name, array("d")).append(number)

    def _label(self, label: str | None) -> int:
        return -1 if label is None else self._names.setdefault(label, len(self._names))

    def table(self) -> Table:
        """Return the columns; nothing can be added after. Labels are numbered in sorted order."""
        self._file.close()
        names = sorted(self._names)
        rank = np.array([names.index(n) for n in self._names] or [0], np.int64)
        labels = np.array(self._labels, np.int64)
        return Table(
            digests=np.frombuffer(self._digests, np.uint8).reshape(-1, DIGEST),
            groups=np.frombuffer(self._groups, np.uint8).reshape(-1, DIGEST),
            parts=np.frombuffer(self._parts, np.uint32) if self._parts else np.zeros(0, np.uint32),
            ties=np.array(self._ties, np.uint64),
            labels=np.where(labels < 0, -1, rank[labels]),
            label_names=names,
            facts={name: np.array(column) for name, column in self._facts.items()},
            marks=np.frombuffer(self._marks, np.uint8),
            spans=np.stack([np.array(c, np.int64) for c in (self._starts, self._sizes, self._sides)], axis=1),
            captioned=self._captioned,
        )

    def reader(
        self, table: Table, rows: Indices, load: Callable[[bytes], V], tick: Callable[[], None] = lambda: None
    ) -> "Reader[V]":
        """Return a view of some rows, in the order given. `tick` is called for every thousandth value that is read."""
        return Reader(self._path, table, rows, load, tick)


@dataclass(frozen=True)
class Side:
    """What is kept beside a value."""

    label: str | None
    caption: str | None
    key: str | None


class Reader(Generic[V]):
    """Some rows of a spool, read from disk as they are asked for."""

    def __init__(
        self, path: Path, table: Table, rows: Indices, load: Callable[[bytes], V], tick: Callable[[], None]
    ) -> None:
        self.table, self.rows = table, rows
        self._load, self._tick, self._read = load, tick, 0
        self._descriptor = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return len(self.rows)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __iter__(self) -> Iterator[V]:
        return (self.value(i) for i in range(len(self)))

    def value(self, index: int) -> V:
        """Read one value."""
        start, size, _ = self._span(index)
        self._read += 1
        if self._read % TICK == 0:
            self._tick()
        return self._load(os.pread(self._descriptor, size, start))

    def side(self, index: int) -> Side:
        """Read what is kept beside one value."""
        start, size, side = self._span(index)
        return Side(*json.loads(os.pread(self._descriptor, side, start + size)))

    def sides(self) -> Iterator[Side]:
        """Read all sides in order."""
        return (self.side(i) for i in range(len(self)))

    def labels(self) -> NDArray[np.int64]:
        """Return the class of each row, -1 for none."""
        found: NDArray[np.int64] = self.table.labels[self.rows]
        return found

    def sizes(self) -> NDArray[np.int64]:
        """Return the size of each dumped value in bytes."""
        found: NDArray[np.int64] = self.table.spans[self.rows, 1]
        return found

    def follows(self, index: int) -> bool:
        """Say whether the next row continues the document of this one."""
        if index + 1 >= len(self):
            return False
        here, there = self.rows[index], self.rows[index + 1]
        same = bool((self.table.groups[here] == self.table.groups[there]).all())
        return same and int(self.table.parts[there]) == int(self.table.parts[here]) + 1

    def _span(self, index: int) -> Sequence[int]:
        found: list[int] = self.table.spans[self.rows[index]].tolist()
        return found


@lru_cache(4096)
def _side(label: str | None, caption: str | None, key: str | None) -> tuple[bytes, int]:
    """Encode what is beside a value, and hash it to a number."""
    side = canonical([label, caption, key])
    return side, int.from_bytes(hashlib.sha256(side).digest()[:8], "big")
