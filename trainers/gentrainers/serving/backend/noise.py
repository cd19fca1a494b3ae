"""Noise and conditions as a pure function of a request's seed, the same in the export check and in the server.

Each sample has a seed of its own, so it gets the same numbers whatever else is in its batch. The generator is Philox,
which counts instead of remembering; its stream is the same under numpy 1.26 and 2.
"""

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MASK = (1 << 64) - 1


class WrongInput(ValueError):
    """A request asks for what the model does not have; the message names input, value and what is allowed."""


class _Kept(threading.local):
    """One generator per thread: making one asks the system for entropy first, as dear as the noise of ten samples."""

    def __init__(self) -> None:
        self.bits = np.random.Philox(key=0)
        self.state = self.bits.state
        self.generator = np.random.Generator(self.bits)


_kept = _Kept()


def source(seed: int, stream: int) -> np.random.Generator:
    """Return the generator of one input (its place among the inputs is the stream) of one sample.

    It is good until the same thread asks for the next one.
    """
    _kept.state["state"]["key"][:] = int(seed) & MASK, stream
    _kept.bits.state = _kept.state
    return _kept.generator


def draw(
    spec: Mapping[str, Any], seeds: Sequence[int], given: Array | None, stream: int, shares: Sequence[float]
) -> Array:
    """Make one input of the generation: [len(seeds), ...]. Noise is drawn; a condition is as given, else drawn."""
    shape = tuple(int(n) for n in spec["shape"][1:])
    kind = spec["draw"]
    if kind in ("normal", "uniform"):
        return _noise(kind, shape, seeds, stream)
    if kind == "label":
        return _labels(spec, seeds, given, stream, shares)
    return _bytes(spec, seeds, given) if kind == "caption" else _prompts(spec, seeds, given)


def _noise(kind: str, shape: tuple[int, ...], seeds: Sequence[int], stream: int) -> Array:
    out = np.empty((len(seeds), *shape), dtype=np.float32)
    for row, seed in enumerate(seeds):
        made = source(seed, stream)
        fill = made.standard_normal if kind == "normal" else made.random
        fill(out=out[row : row + 1], dtype=np.float32)
    return out


def _labels(
    spec: Mapping[str, Any], seeds: Sequence[int], given: Array | None, stream: int, shares: Sequence[float]
) -> Array:
    high = int(spec["high"])
    if given is not None:
        return checked(spec["name"], np.asarray(given, dtype=np.int64).reshape(-1), 0, high)
    edges = list(accumulate(shares if len(shares) == high else [1 / high] * high))
    points = (source(s, stream).random() * edges[-1] for s in seeds)
    return np.array([min(bisect_right(edges, point), high - 1) for point in points], dtype=np.int64)


def checked(name: str, values: Array, low: int, high: int) -> Array:
    """Return values that are all in low .. high - 1. Raises WrongInput that names the first that is not."""
    wrong = values[(values < low) | (values >= high)]
    if wrong.size:
        raise WrongInput(f"input {name!r}: {int(wrong[0])} is not in {low}..{high - 1}")
    return values


def _bytes(spec: Mapping[str, Any], seeds: Sequence[int], given: Array | None) -> Array:
    """Captions as UTF-8 bytes, cut or filled up with zeros."""
    out = np.zeros((len(seeds), int(spec["shape"][1])), dtype=np.int64)
    texts = np.asarray([] if given is None else given, dtype=object)
    for row, text in enumerate(texts.reshape(-1)):
        data = (text if isinstance(text, bytes) else str(text).encode())[: out.shape[1]]
        out[row, : len(data)] = np.frombuffer(data, dtype=np.uint8)
    return out


def _prompts(spec: Mapping[str, Any], seeds: Sequence[int], given: Array | None) -> Array:
    """Prompts as tokens; -1 stands where the model is free."""
    out = np.full((len(seeds), int(spec["shape"][1])), -1, dtype=np.int64)
    if given is None:
        return out
    tokens = np.asarray(given, dtype=np.int64).reshape(len(seeds), -1)
    if tokens.shape[1] > out.shape[1]:
        raise WrongInput(f"input {spec['name']!r}: {tokens.shape[1]} tokens, the model takes at most {out.shape[1]}")
    if spec["high"]:
        checked(spec["name"], tokens, -1, int(spec["high"]))
    out[:, : tokens.shape[1]] = tokens
    return out
