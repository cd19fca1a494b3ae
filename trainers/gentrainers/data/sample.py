"""What flows through preparation: blobs (files that a source found) and samples (what a format read from them).

Plain values; this module must not know of any format or source.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Blob:
    """One file on local disk. `name` is its path inside the source, with forward slashes, on any machine."""

    name: str
    path: Path


@dataclass(slots=True)
class Sample:
    """One item on its way into a dataset.

    `group` and `part` keep the pieces of one long document together and in order; a sample that stands alone leaves
    them out. `facts` are numbers that normalising would lose, such as the size a picture came in.
    """

    value: Any
    where: str
    label: str | None = None
    caption: str | None = None
    key: str | None = None
    license: str | None = None
    group: bytes | None = None
    part: int = 0
    facts: dict[str, float] = field(default_factory=dict)


class Reject(Exception):
    """A format could not read a file or row. `kind` says which check counts it: decodable or schema."""

    def __init__(self, where: str, reason: str, kind: str = "decodable") -> None:
        super().__init__(f"{where}: {reason}")
        self.kind = kind
