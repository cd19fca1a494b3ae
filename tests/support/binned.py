"""Distances of binned samples to a reference, in numpy: what the generated PromQL must compute, written anew."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gentrainers.data import reference

Counts = NDArray[np.int64]


def shares(counts: Counts) -> NDArray[np.float64]:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def psi(live: Counts, known: Counts) -> float:
    p, q = shares(live), shares(known)
    return float(np.sum((p - q) * np.log(p / q)))


def js(live: Counts, known: Counts) -> float:
    p, q = shares(live), shares(known)
    m = (p + q) / 2
    return float((np.sum(p * np.log2(p / m)) + np.sum(q * np.log2(q / m))) / 2)


def ks(live: Counts, known: Counts) -> float:
    return float(np.abs(np.cumsum(live) / live.sum() - np.cumsum(known) / known.sum()).max())


DISTANCES = {"psi": psi, "js": js, "ks": ks}


def binned(training: Any) -> tuple[list[float], Counts]:
    """Bin training data as a dataset's reference is binned: edges and counts."""
    known = reference.numeric(np.asarray(training, np.float64))
    return known["edges"], np.array(known["counts"])


def counted(edges: list[float], values: Any) -> Counts:
    return np.array(reference.count(edges, np.asarray(values, np.float64)))
