"""Read a prepared dataset: check it once, then map its arrays.

Knows the layout that trainers/gentrainers/README.md describes, and nothing of how a dataset is made.
"""

import json
import tokenize
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.codes import Code
from gentrainers import artifact
from gentrainers.errors import JobError


@dataclass(frozen=True)
class Split:
    """One split. Arrays are memory-mapped, read-only; see the README for names, types and shapes."""

    name: str
    samples: int
    folder: Path = field(repr=False)

    def __len__(self) -> int:
        return self.samples

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays of the split by file name without `.npy`."""
        return {p.stem: _mapped(p) for p in sorted(self.folder.glob("*.npy"))}

    @cached_property
    def captions(self) -> list[str] | None:
        """One caption per sample, or None where the dataset has none."""
        path = self.folder / "captions.json"
        return [str(c) for c in json.loads(path.read_text())] if path.is_file() else None

    def batch(self, indices: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """Copy rows of `x` and, where there are classes, `y`. Shapes [len(indices), ...]; types as stored."""
        return {name: self.arrays[name][indices] for name in ("x", "y") if name in self.arrays}

    def document(self, index: int) -> NDArray[Any]:
        """Return the tokens of one document, as a view."""
        first, last = (int(o) for o in self.arrays["offsets"][index : index + 2])
        found: NDArray[Any] = self.arrays["tokens"][first:last]
        return found

    def windows(self, starts: NDArray[np.integer[Any]], length: int) -> NDArray[Any]:
        """Copy windows of the token stream: [len(starts), length]. A start must be at most `len(tokens) - length`."""
        found: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(self.arrays["tokens"], length)[starts]
        return found


def _mapped(path: Path) -> NDArray[Any]:
    """Map an array. Raises JobError(BAD_DATA) for a file that is none, also one that would run something if read."""
    try:
        found: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise JobError(Code.BAD_DATA, f"{path} is not an array that can be read ({error}); prepare it again") from None
    return found


@dataclass(frozen=True)
class Dataset:
    """An opened dataset. `body` is what the manifest says of it."""

    path: Path
    body: dict[str, Any]
    digest: str

    def split(self, name: str) -> Split:
        """Return a split by name. Raises JobError(MISSING_INPUT) that lists the names there are."""
        known = self.body["splits"]
        if name not in known:
            raise JobError(Code.MISSING_INPUT, f"split {name!r} is not in the dataset; there are {', '.join(known)}")
        return Split(name, int(known[name]["samples"]), self.path / name)

    def json(self, name: str) -> Any:
        """Read one of the dataset's JSON files, such as tokenizer.json or reference.json."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            raise JobError(Code.MISSING_INPUT, f"dataset {self.path} has no {name}; prepare it again") from None


def open_dataset(uri: str, digest: str | None = None) -> Dataset:
    """Open a dataset and check every file. Raises JobError as `artifact.open_artifact` does."""
    opened = artifact.open_artifact(uri, "dataset", digest)
    return Dataset(opened.path, opened.body, opened.digest)
