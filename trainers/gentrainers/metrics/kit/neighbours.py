"""Nearest neighbours by brute force, in blocks that fit in memory. Rows in, distances and indices out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gentrainers.metrics.kit.arrays import Floats, Ints

BLOCK = 1 << 24  # entries of one block of the distance matrix
Rows = npt.NDArray[Any]  # [rows, dims], floating


def squared(a: Rows, b: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield (first row, squared Euclidean distances [rows of the block, len(b)]) until all rows of `a` are done."""
    step = max(1, BLOCK // max(len(b), 1))
    b_norms = np.einsum("ij,ij->i", b, b)
    for start in range(0, len(a), step):
        rows = a[start : start + step]
        block = np.einsum("ij,ij->i", rows, rows)[:, None] + b_norms[None, :] - 2 * (rows @ b.T)
        yield start, np.maximum(block, 0)


def kth_distance(rows: Rows, k: int) -> Floats:
    """Return the distance [rows] from each row to its k-th nearest other row (a row is not its own neighbour)."""
    found = np.empty(len(rows))
    for start, block in squared(rows, rows):
        block[np.arange(len(block)), start + np.arange(len(block))] = -1.0
        found[start : start + len(block)] = np.partition(block, k, axis=1)[:, k]
    return np.sqrt(found)


def nearest(queries: Rows, rows: Rows, skip: Ints | None = None) -> tuple[Floats, Ints]:
    """Return distance [queries] and index [queries] of each query's nearest row, but for the row `skip` [queries].

    A negative `skip` skips none.
    The distance of the pair found is taken once more as a difference, so that a copy has distance 0 and not 1e-4.
    """
    found = np.empty(len(queries), np.int64)
    for start, block in squared(queries, rows):
        if skip is not None:
            mine = skip[start : start + len(block)]
            block[np.flatnonzero(mine >= 0), mine[mine >= 0]] = np.inf
        found[start : start + len(block)] = block.argmin(axis=1)
    gaps = queries.astype(np.float64) - rows[found].astype(np.float64)
    return np.sqrt(np.einsum("ij,ij->i", gaps, gaps)), found
