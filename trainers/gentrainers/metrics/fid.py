"""Fréchet distance between the features of made and real samples, in float64, at equal n."""

import numpy as np

from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Bench, same_number
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed


def frechet(made: Floats, real: Floats) -> float:
    """Return |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for features [n, dims] of both (Heusel et al. 2017, eq. 6).

    The trace of the root is the sum of the singular values of A B^T / (n - 1), with A and B the centred features:
    C1 C2 has the squares of these as its eigenvalues. So no root of a nearly singular matrix is taken, and n may be
    smaller than dims.
    """
    same_number(made, real)
    n = len(made)
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (made, real))
    gap = made.mean(axis=0, dtype=np.float64) - real.mean(axis=0, dtype=np.float64)
    spread = (np.square(a).sum() + np.square(b).sum()) / (n - 1)
    root = np.linalg.svd(_root(a) @ _root(b).T, compute_uv=False).sum() / (n - 1)
    return float(gap @ gap + spread - 2 * root)


def _root(centred: Floats) -> Floats:
    """Return R [<= dims, dims] with R^T R = X^T X: the triangle of a QR decomposition."""
    triangle: Floats = np.linalg.qr(centred).R
    return triangle


def measure(bench: Bench) -> PerSeed:
    return PerSeed(bench.over_seeds(frechet))


METRIC = Metric(
    name="fid",
    says="Fréchet distance of features: how far the cloud of samples lies from the real one",
    better="lower",
    needs="features",
    modalities=ANY,
    source="Heusel et al. 2017",
    measure=measure,
    floor="any",
)
