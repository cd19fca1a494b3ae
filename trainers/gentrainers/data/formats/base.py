"""What the stages of preparation ask of a modality.

A new modality is one file beside this one with a subclass of Format, and one entry in `formats.FORMATS`. A format knows
its values; it must not know sources, splits or checks.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from gencontract.codes import Code
from gencontract.task import Column, Wire
from gencontract.wire import explain
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.spool import Reader
from gentrainers.errors import JobError

V = TypeVar("V")
O = TypeVar("O", bound=Wire)  # noqa: E741 - the options of one format
Readers = Mapping[str, Reader[V]]


class Format(ABC, Generic[V]):
    """One modality: read files into values, measure and sketch values, write them as arrays."""

    name: ClassVar[str]
    suffixes: ClassVar[frozenset[str]]
    near_method: ClassVar[str]  # how sketches compare: "minhash" or "hamming"; "" where near-duplicates have no meaning
    near_threshold: ClassVar[float] = 0.8  # for removing, where the task names none
    copy_threshold: ClassVar[float] = 0.8  # for the overlap check, where nothing is removed

    def __init__(self, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> None:
        self.columns = list(columns)
        self.key = key  # the column that says what must stay in one split

    def reads(self, blob: Blob) -> bool:
        """Say whether a file is one of ours, by its name."""
        return Path(blob.name).suffix.lower() in self.suffixes

    @abstractmethod
    def read(self, blob: Blob) -> Iterator[Sample | Reject]:
        """Yield the samples of one file, and a Reject for each record that is none.

        Raises Reject where the file as a whole cannot be read.
        """

    def row(self, row: Mapping[str, Any], where: str) -> Sample:
        """Make a sample of one record of a hub's dataset. Raises Reject where it lacks what the format needs."""
        raise JobError(Code.UNSUPPORTED, f"{where}: a source of records cannot be read as {self.name}")

    def admit(self, sample: Sample) -> Sample:
        """Bring a value that a built-in source made into this format's normal form."""
        return sample

    def empty(self, value: V) -> bool:
        """Say whether a value holds nothing; such samples are left out."""
        return False

    @abstractmethod
    def dump(self, value: V) -> bytes:
        """Encode a value; equal values give equal bytes on any machine."""

    @abstractmethod
    def load(self, data: bytes) -> V:
        """Undo `dump`."""

    def map_text(self, value: V, change: Callable[[str], str]) -> V:
        """Apply a change to all free text in a value."""
        return value

    @abstractmethod
    def measure(self, value: V) -> dict[str, float]:
        """Return the named numbers that filters bound and the drift reference counts. Same names for every value."""

    def sketch(self, values: Sequence[V]) -> NDArray[np.unsignedinteger[Any]]:
        """Return one near-duplicate sketch per value: [n, k]."""
        raise NotImplementedError

    @abstractmethod
    def write(self, folder: Path, splits: Readers[V]) -> dict[str, Any]:
        """Write all splits below `folder`; fit what must be fitted on train only. Returns this format's body."""

    def tallies(self, folder: Path) -> dict[str, dict[str, int]]:
        """Count what is categorical in the written train split, for the drift reference."""
        return {}

    def show(self, reader: Reader[V]) -> "Shown":
        """Make something to look at from a few samples."""
        return Shown()


def samples(
    rows: Iterable[tuple[str, Mapping[str, Any] | Reject]], make: Callable[[Mapping[str, Any], str], Sample]
) -> Iterator[Sample | Reject]:
    """Make samples of records; what is refused comes out in its place."""
    for where, row in rows:
        try:
            yield row if isinstance(row, Reject) else make(row, where)
        except Reject as refused:
            yield refused


class Shown:
    """What a card shows of samples: a picture [height, width, 3] uint8, and texts."""

    def __init__(self, picture: NDArray[np.uint8] | None = None, texts: Sequence[str] = ()) -> None:
        self.picture = picture
        self.texts = list(texts)


def parse(kind: type[O], options: Mapping[str, Any]) -> O:
    """Check a format's options. Raises JobError(BAD_CONFIG) that names each wrong one and the nearest known."""
    known = sorted(f.alias or n for n, f in kind.model_fields.items())
    for name in sorted(set(options) - set(known)):
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise JobError(Code.BAD_CONFIG, f"options.{name} is not known; known are {', '.join(known)}{hint}")
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        raise JobError(Code.BAD_CONFIG, f"options: {explain(error)}") from None
