"""Ask an engine the three questions that decide whether it may be used: is it right, is it good, is it fast.

Knows loaded engines and arrays. It must not know runtimes, tasks or files.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gentrainers.serving.backend.engine import Engine

Array = NDArray[Any]
SEEDS = (0, 1, 2)
FLIPPED = 0.05
ENOUGH_SECONDS = 0.5  # of measuring per batch size


@dataclass(frozen=True)
class Probe:
    """Inputs, and what the model itself answers to them: all its outputs."""

    inputs: list[Array]
    expected: list[Array]


@dataclass(frozen=True)
class Speed:
    """How long one batch takes, in milliseconds."""

    batch: int
    p50: float
    p95: float

    @property
    def throughput(self) -> float:
        """Samples per second."""
        return 1000 * self.batch / self.p50


def eager(generation: Any, inputs: Sequence[Array]) -> list[Array]:
    """Run the model itself."""
    with torch.inference_mode():
        out = generation(*(torch.from_numpy(x) for x in inputs))
    return [y.numpy() for y in (out if isinstance(out, (tuple, list)) else (out,))]


def probes(generation: Any, drawer: Engine, batches: Sequence[int], seeds: Sequence[int] = SEEDS) -> list[Probe]:
    """Make probes for every batch size and seed, with the noise that a server would draw."""
    out = []
    for batch in batches:
        for seed in seeds:
            inputs = drawer.inputs([seed * 1000 + i for i in range(batch)], {})
            out.append(Probe(inputs, eager(generation, inputs)))
    return out


def worst(engine: Engine, probes: Sequence[Probe], atol: float, rtol: float) -> tuple[float, float]:
    """Return the largest absolute error over all probes, and the largest excess over atol + rtol * |expected|.

    Infinite where shapes differ or numbers are not finite. Sequences are drawn token by token, so that one rounding at
    a boundary changes all that follows: numbers are compared where all tokens are equal, and at most FLIPPED of all
    sequences (or atol, where that is more) may have another token.
    """
    pairs = [(engine.raw(p.inputs), p.expected) for p in probes]
    if any([y.shape for y in got] != [y.shape for y in expected] for got, expected in pairs):
        return float("inf"), float("inf")
    kept = [_equal_rows(got, expected) for got, expected in pairs]
    errors = [
        _error(g[k], e[k], atol, rtol)
        for (got, exp), k in zip(pairs, kept, strict=True)
        for g, e in zip(got, exp, strict=True)
    ]
    flipped = 1 - float(np.concatenate(kept).mean())
    allowed = max(atol, FLIPPED)
    if flipped > allowed:
        return flipped, flipped - allowed
    return max(e for e, _ in errors), max(x for _, x in errors)


def _equal_rows(got: Sequence[Array], expected: Sequence[Array]) -> Array:
    """Say of each row whether all its whole numbers are equal: [rows] of bool."""
    rows = np.ones(len(expected[0]), dtype=bool)
    for g, e in zip(got, expected, strict=True):
        if e.dtype.kind in "iu":
            rows &= (g == e).reshape(len(e), -1).all(axis=1)
    return rows


def _error(got: Array, expected: Array, atol: float, rtol: float) -> tuple[float, float]:
    if not np.isfinite(got).all():
        return float("inf"), float("inf")
    error = np.abs(got.astype(np.float64) - expected)
    excess = error - atol - rtol * np.abs(expected)
    return float(error.max(initial=0)), float(excess.max(initial=-1))


def measure(engine: Engine, batch: int, enough: float = ENOUGH_SECONDS) -> Speed:
    """Time batches after a warm-up: at least 10, then until enough seconds have passed."""
    inputs = engine.inputs(range(batch), {})
    for _ in range(3):
        engine.raw(inputs)
    times: list[float] = []
    while len(times) < 10 or (sum(times) < enough and len(times) < 500):
        started = time.perf_counter()
        engine.raw(inputs)
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return Speed(batch, float(p50), float(p95))
