"""What is measured of a request: numbers and classes of its inputs, its prompt and its outputs. Pure; knows no Triton.

A number is binned as its reference is; a class is one of a bounded set of values. Nothing here can hold a payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CLASSES = 64  # values of a class feature at most; the rest is "other"
OTHER = "other"
PICTURE = ("brightness", "contrast", "entropy")
END = 0  # id of the token that ends a sequence, in every tokenizer
# Upper bounds of bins where no reference says better ones.
BOUNDS = {
    "brightness": [12.75 * i for i in range(1, 20)],  # mean of the bytes
    "contrast": [6.375 * i for i in range(1, 20)],  # their standard deviation
    "entropy": [i / 2.5 for i in range(1, 20)],  # bits of their histogram
    "length": [float(2**i) for i in range(13)],  # tokens of a prompt, or bytes of a caption
}


def images(samples: Array) -> dict[str, Array]:
    """Measure pictures [n, height, width, channels] of bytes: each feature is [n]."""
    flat = samples.reshape(len(samples), -1)
    return {
        "brightness": flat.mean(axis=1, dtype=np.float64),
        "contrast": flat.std(axis=1, dtype=np.float64),
        "entropy": np.array([_entropy(row) for row in flat]),
    }


def _entropy(row: Array) -> float:
    counts = np.bincount(row, minlength=256)
    shares = counts[counts > 0] / row.size
    return abs(float(-(shares * np.log2(shares)).sum()))


def said(tokens: Array, high: int) -> list[Array]:
    """Cut each row [n, length] behind its end, and leave out what is no token, such as places that are free."""
    rows = []
    for row in tokens:
        ends = np.flatnonzero((row == END) | (row >= high))
        cut = row[: ends[0] + 1] if len(ends) else row
        rows.append(cut[(cut >= 0) & (cut < high)])
    return rows


@dataclass(frozen=True)
class Numeric:
    """A number of each sample, by bins: a value equal to a bound lies below it."""

    bounds: Array
    counts: tuple[int, ...] = ()  # of the training data, one more than bounds; empty where nobody knows them
    samples: int = 0  # of the training data

    @property
    def bins(self) -> list[str]:
        """Name the bins by their upper bounds."""
        return [*(f"{b:.9g}" for b in self.bounds), "+Inf"]

    def count(self, values: Array) -> Array:
        """Count values per bin."""
        return np.bincount(np.searchsorted(self.bounds, values, side="left"), minlength=len(self.bounds) + 1)


@dataclass(frozen=True)
class Classes:
    """Classes in each sample: by id, the commonest of the training data each in a bin, all others in one."""

    names: tuple[str, ...]  # by bin
    places: Mapping[int, int]  # bin by id
    counts: tuple[int, ...] = ()
    samples: int = 0

    @property
    def bins(self) -> list[str]:
        """Name the bins."""
        return [*self.names, OTHER]

    def count(self, values: Array) -> Array:
        """Count ids per bin."""
        out = np.zeros(len(self.names) + 1, dtype=np.int64)
        for value, n in zip(*np.unique(values, return_counts=True), strict=True):
            out[self.places.get(int(value), len(self.names))] += n
        return out


Feature = Numeric | Classes


def watched(spec: Mapping[str, Any]) -> dict[tuple[str, str], Feature]:
    """List what is measured of an engine's requests, by (side, feature), out of its engine.json."""
    known = spec.get("reference") or {}
    samples = int(known.get("samples", 0))
    draws = {s["draw"]: s for s in spec["inputs"]}
    out: dict[tuple[str, str], Feature] = {}
    if "label" in draws:
        names = [str(i) for i in range(int(draws["label"]["high"]))]
        out["input", "label"] = _classes(known.get("label"), names, samples)
    if "prompt" in draws or "caption" in draws:
        out["prompt", "length"] = _numeric("length", None, 0)
    if "prompt" in draws:
        out["prompt", "token"] = _classes(known.get("token"), [], samples)
    if spec["sample"]["format"] == "images":
        for name in PICTURE:
            out["output", name] = _numeric(name, known.get(name), samples)
    elif "prompt" in draws:
        out["output", "token"] = _classes(known.get("token"), [], samples)
    return out


def _numeric(name: str, known: Mapping[str, Any] | None, samples: int) -> Numeric:
    if not known:
        return Numeric(np.array(BOUNDS[name]))
    return Numeric(np.array(known["le"], dtype=np.float64), tuple(known["counts"]), samples)


def _classes(known: Mapping[str, Any] | None, names: list[str], samples: int) -> Classes:
    """Give a bin to each of the commonest values of the reference, else to the first of `names`."""
    if not known:
        kept = tuple(names[:CLASSES])
        return Classes(kept, {int(n): i for i, n in enumerate(kept)})
    pairs = [(v, int(n)) for v, n in zip(known["values"], known["counts"], strict=True) if v != OTHER]
    common = {v for v, _ in sorted(pairs, key=lambda p: -p[1])[:CLASSES]}
    kept = tuple(v for v, _ in pairs if v in common)
    counts = [n for v, n in pairs if v in common]
    rest = sum(int(n) for n in known["counts"]) - sum(counts)
    return Classes(kept, {int(v): i for i, v in enumerate(kept)}, (*counts, rest), samples)


def measure(
    spec: Mapping[str, Any], samples: Array, given: Mapping[str, Array | None]
) -> dict[tuple[str, str], tuple[int, Array]]:
    """Measure one request and its answer: by (side, feature), how many samples it tells of, and their values."""
    out: dict[tuple[str, str], tuple[int, Array]] = {}
    for port in spec["inputs"]:
        value = given.get(port["name"])
        if value is not None:
            out |= _asked(port, value)
    if spec["sample"]["format"] == "images":
        return out | {("output", name): (len(samples), values) for name, values in images(samples).items()}
    high = next((int(s["high"]) for s in spec["inputs"] if s["draw"] == "prompt"), 0)
    return out | ({("output", "token"): (len(samples), np.concatenate(said(samples, high)))} if high else {})


def _asked(port: Mapping[str, Any], value: Array) -> dict[tuple[str, str], tuple[int, Array]]:
    if port["draw"] == "label":
        return {("input", "label"): (value.size, value.reshape(-1))}
    if port["draw"] == "caption":
        texts = value.reshape(-1)
        return {("prompt", "length"): (len(texts), np.array([_size(text) for text in texts], dtype=np.float64))}
    if port["draw"] != "prompt":
        return {}
    rows = said(value.reshape(len(value), -1), int(port["high"]))
    lengths = np.array([len(row) for row in rows], dtype=np.float64)
    return {("prompt", "length"): (len(rows), lengths), ("prompt", "token"): (len(rows), np.concatenate(rows))}


def _size(text: Any) -> int:
    return len(text if isinstance(text, bytes) else str(text).encode())
