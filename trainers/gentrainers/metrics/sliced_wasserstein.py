"""Sliced Wasserstein distance: the mean cost of moving one cloud onto the other along random directions."""

import numpy as np

from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Bench, same_number
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed

DIRECTIONS = 256
SEED = 11  # the directions are the same for every model and every seed


def directions(dims: int, count: int, seed: int = SEED) -> Floats:
    """Return unit vectors [dims, count], uniform on the sphere."""
    drawn = np.random.default_rng(seed).standard_normal((dims, count))
    unit: Floats = drawn / np.linalg.norm(drawn, axis=0)
    return unit


def sliced(made: Floats, real: Floats, count: int = DIRECTIONS, order: int = 2) -> float:
    """Return (mean over directions of W_p^p)^(1/p) for clouds [n, dims] of equal n (Bonneel et al. 2015).

    In one dimension and at equal n the best way to move is from sorted to sorted.
    """
    same_number(made, real)
    along = directions(made.shape[1], count)
    gaps = np.sort(made @ along, axis=0) - np.sort(real @ along, axis=0)
    return float(np.mean(np.abs(gaps) ** order) ** (1 / order))


def measure(bench: Bench) -> PerSeed:
    count = int(bench.options["directions"])
    return PerSeed(bench.over_seeds(lambda made, real: sliced(made, real, count)))


METRIC = Metric(
    name="slicedWasserstein",
    says="Sliced Wasserstein-2 distance of features: the cost of moving the samples onto the real rows",
    better="lower",
    needs="features",
    modalities=ANY,
    source="Bonneel et al. 2015",
    measure=measure,
    floor="any",
    options={"directions": DIRECTIONS},
)
