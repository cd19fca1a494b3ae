"""See that the arrays of a dataset are what its manifest says: names, types, shapes and ranges.

A dataset may come from elsewhere, and its digests only say that it is the one that was meant. Knows the layout that
trainers/gentrainers/README.md describes, and nothing of models.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.codes import Code
from gentrainers.data.dataset import Dataset, Split
from gentrainers.errors import JobError

Array = NDArray[Any]
ROWS = 1 << 16  # looked at together


def check(data: Dataset) -> None:
    """Check every split that holds samples. Raises JobError(BAD_DATA) that names array, what it holds and what not."""
    for name, said in data.body["splits"].items():
        split = data.split(name)
        if not said["samples"]:
            continue
        if data.body["format"] in ("text", "music"):
            _sequences(split, int(data.body["tokens"]["vocab"]))
        elif data.body["format"] == "images":
            _images(split, data.body.get("image", {}))
        else:
            _rows(split, [str(c["name"]) for c in data.body["columns"]])


def differences(shape: Any, data: Dataset) -> list[tuple[str, Any, Any]]:
    """List how what a model makes (families.DataShape) differs from what a dataset holds: field, the one, the other."""
    body = data.body
    pairs = [("format", shape.format, body["format"])]
    if shape.format == body["format"] == "images":
        pairs += [(name, getattr(shape, name), body["image"][name]) for name in ("height", "width", "channels")]
    if shape.format == body["format"] == "tabular":
        pairs.append(("columns", shape.columns, len(body["columns"])))
    if shape.format == body["format"] and shape.format in ("text", "music"):
        pairs.append(("vocab", shape.vocab, body["tokens"]["vocab"]))
    return [pair for pair in pairs if pair[1] != pair[2]]


def _images(split: Split, image: dict[str, Any]) -> None:
    missing = [key for key in ("height", "width", "channels") if key not in image]
    if missing:
        raise JobError(Code.BAD_DATA, f"dataset: the manifest does not say image.{missing[0]}; prepare it again")
    x = _array(split, "x")
    shape = (split.samples, *(int(image[key]) for key in ("height", "width", "channels")))
    if x.dtype != np.uint8 or x.shape != shape:
        raise _wrong(split, "x", f"{x.dtype} {list(x.shape)}", f"uint8 {list(shape)}")
    _labels(split, len(image.get("classes", ())))


def _labels(split: Split, classes: int) -> None:
    if "y" not in split.arrays or not classes:
        return
    y = split.arrays["y"]
    if y.shape != (split.samples,) or y.dtype.kind not in "iu" or int(y.min()) < 0 or int(y.max()) >= classes:
        raise _wrong(
            split, "y", f"{y.dtype} {list(y.shape)} up to {y.max()}", f"{split.samples} classes below {classes}"
        )


def _rows(split: Split, columns: list[str]) -> None:
    x = _array(split, "x")
    if x.dtype != np.float32 or x.shape != (split.samples, len(columns)):
        raise _wrong(split, "x", f"{x.dtype} {list(x.shape)}", f"float32 {[split.samples, len(columns)]}")
    known = np.zeros(len(columns), dtype=bool)
    for first in range(0, len(x), ROWS):
        part = x[first : first + ROWS]
        known |= np.isfinite(part).any(axis=0)
        if np.isinf(part).any():
            raise _column(split, _first(columns, np.isinf(part)), "an infinite number; mend or leave out its rows")
    if split.name == "train" and not known.all():
        raise _column(split, _first(columns, ~known[None]), "no number at all; leave it out of schema.columns")


def _column(split: Split, name: str, holds: str) -> JobError:
    return JobError(Code.BAD_DATA, f"dataset: column {name} of {split.name} holds {holds}")


def _first(columns: list[str], where: NDArray[np.bool_]) -> str:
    return repr(columns[int(where.any(axis=0).argmax())])


def _sequences(split: Split, vocab: int) -> None:
    tokens, offsets = _array(split, "tokens"), _array(split, "offsets").astype(np.int64)
    ends = len(offsets) == split.samples + 1 and (offsets[0], offsets[-1]) == (0, len(tokens))
    if not ends or (np.diff(offsets) < 0).any():
        raise _wrong(split, "offsets", f"{len(offsets)} numbers", f"{split.samples + 1} rising from 0 to {len(tokens)}")
    highest = max((int(tokens[at : at + (1 << 24)].max()) for at in range(0, len(tokens), 1 << 24)), default=0)
    if tokens.dtype.kind != "u" or highest >= vocab:
        raise _wrong(split, "tokens", f"{tokens.dtype} up to {highest}", f"unsigned ones below {vocab}")


def _array(split: Split, name: str) -> Array:
    if name not in split.arrays:
        raise JobError(Code.BAD_DATA, f"dataset: {split.name}/{name}.npy is missing; prepare it again")
    return split.arrays[name]


def _wrong(split: Split, name: str, holds: str, wanted: str) -> JobError:
    return JobError(Code.BAD_DATA, f"dataset: {split.name}/{name}.npy holds {holds}, wanted are {wanted}")
