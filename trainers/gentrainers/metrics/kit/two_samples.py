"""Are two sets of rows of one distribution? The kernel two-sample test of Gretton et al. 2012, with permutations.

The statistic is the unbiased squared maximum mean discrepancy under a Gaussian kernel, whose width is the median
distance of all rows. Its p-value counts how often rows that were dealt anew are as far apart, so that it is exact for
any number of rows and any kernel. This module must not know what rows stand for.
"""

from dataclasses import dataclass

import numpy as np

from gentrainers.metrics.kit.arrays import Floats

DEALT_AT_ONCE = 250  # permutations that are held in memory


@dataclass(frozen=True)
class Discrepancy:
    """How far two sets of rows are apart, and how often chance alone makes as much."""

    value: float  # MMD², unbiased: around 0, and below it too, where there is no difference
    p: float


def compare(a: Floats, b: Floats, permutations: int, seed: int) -> Discrepancy:
    """Compare rows [n, dims] and [m, dims]."""
    kernel = gaussian(np.concatenate([a, b]))
    value = float(_discrepancies(kernel, _first(len(a), len(kernel)))[0])
    random = np.random.default_rng(seed)
    further = 0
    for start in range(0, permutations, DEALT_AT_ONCE):
        count = min(DEALT_AT_ONCE, permutations - start)
        sides = random.permuted(np.repeat(_first(len(a), len(kernel)), count, axis=0), axis=1)
        further += int((_discrepancies(kernel, sides) >= value - 1e-12).sum())
    return Discrepancy(value, (1 + further) / (1 + permutations))


def gaussian(rows: Floats) -> Floats:
    """Return the kernel matrix [n, n], as wide as the median of the distances between rows that differ."""
    squares = (rows * rows).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0)
    differ = apart[apart > 1e-12]
    width = float(np.median(differ)) if differ.size else 1.0
    kernel: Floats = np.exp(-apart / width)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _first(count: int, total: int) -> Floats:
    """Put the first rows on one side: [1, total] of 1 and 0."""
    side = np.zeros((1, total))
    side[0, :count] = 1
    return side


def _discrepancies(kernel: Floats, sides: Floats) -> Floats:
    """Return MMD² for each way [k, total] of dealing the rows to two sides."""
    total = len(kernel)
    n = sides[0].sum()
    m = total - n
    sums = sides @ kernel  # [k, total]
    own = (sums * sides).sum(axis=1)
    across = sums.sum(axis=1) - own
    other = kernel.sum() - own - 2 * across
    # A row's kernel with itself is 1, and does not count.
    found: Floats = (own - n) / (n * (n - 1)) + (other - m) / (m * (m - 1)) - 2 * across / (n * m)
    return found
