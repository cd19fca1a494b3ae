"""Timing of a maker in this process: warm-up first, then repeats, each with another seed."""

import time
from collections.abc import Callable

import numpy as np

from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Bench

WARM_UP = 3


def seconds(bench: Bench, batch: int, repeats: int, clock: Callable[[], float] = time.perf_counter) -> Floats:
    """Return the wall seconds of `repeats` generations of `batch` samples, until they are on the host: [repeats]."""
    for i in range(WARM_UP):
        bench.maker.sample(batch, i)
    return np.array([_once(bench, batch, i, clock) for i in range(repeats)])


def _once(bench: Bench, batch: int, i: int, clock: Callable[[], float]) -> float:
    bench.tick()
    started = clock()
    bench.maker.sample(batch, WARM_UP + i)
    return clock() - started
