"""Kernel distance: the unbiased squared MMD of features under a cubic kernel. It does not depend on n in the mean."""

import numpy as np

from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Bench, same_number
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed

LARGEST = 2000  # rows of a kernel matrix; more are cut into parts of equal size, which keeps it unbiased


def kernel_distance(made: Floats, real: Floats) -> float:
    """Return the unbiased MMD^2 with k(x, y) = (x.y / dims + 1)^3 for features [n, dims] (Binkowski et al. 2018)."""
    same_number(made, real)
    parts = -(-len(made) // LARGEST)
    size = len(made) // parts
    blocks = [slice(i * size, (i + 1) * size) for i in range(parts)]
    return float(np.mean([_unbiased(made[b], real[b]) for b in blocks]))


def _unbiased(made: Floats, real: Floats) -> float:
    n = len(made)
    within = sum((k.sum() - np.trace(k)) / (n * (n - 1)) for k in (_kernel(made, made), _kernel(real, real)))
    return float(within - 2 * _kernel(made, real).mean())


def _kernel(a: Floats, b: Floats) -> Floats:
    root = a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1
    cubed: Floats = root * root * root
    return cubed


def measure(bench: Bench) -> PerSeed:
    return PerSeed(bench.over_seeds(kernel_distance))


METRIC = Metric(
    name="kid",
    says="Kernel distance of features (unbiased MMD²): 0 in the mean for two samples of one distribution",
    better="lower",
    needs="features",
    modalities=ANY,
    source="Bińkowski et al. 2018",
    measure=measure,
    floor="any",
)
