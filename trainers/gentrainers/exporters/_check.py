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
ENOUGH_SECONDS = 0.5  # of measuring per batch size


@dataclass(frozen=True)
class Probe:
    """Inputs, and what the model itself answers to them."""

    inputs: list[Array]
    expected: Array


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


def eager(generation: Any, inputs: Sequence[Array]) -> Array:
    """Run the model itself."""
    with torch.inference_mode():
        out = generation(*(torch.from_numpy(x) for x in inputs))
    answer: Array = (out[0] if isinstance(out, (tuple, list)) else out).numpy()
    return answer


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

    For tokens the error of a probe is the share of sequences that differ, and its allowance is atol.
    Infinite where shapes differ or numbers are not finite.
    """
    pairs = [_error(engine.raw(p.inputs)[0], p.expected, atol, rtol) for p in probes]
    return max(e for e, _ in pairs), max(x for _, x in pairs)


def _error(got: Array, expected: Array, atol: float, rtol: float) -> tuple[float, float]:
    if got.shape != expected.shape:
        return float("inf"), float("inf")
    if expected.dtype.kind in "iu":
        rows = np.any((got != expected).reshape(len(got), -1), axis=1)
        return float(rows.mean()), float(rows.mean()) - atol
    got = got.astype(np.float64)
    if not np.isfinite(got).all():
        return float("inf"), float("inf")
    error = np.abs(got - expected)
    return float(error.max()), float((error - atol - rtol * np.abs(expected)).max())


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
