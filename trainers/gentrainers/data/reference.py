"""The drift reference: how the train split is distributed, as counts that a monitor can compare with.

A number feature becomes quantile bins: `edges` are inner upper bounds (a value equal to an edge belongs below it, as in
a Prometheus bucket), `counts` has one more entry than edges. A categorical one becomes counts by value. PSI, Jensen-
Shannon and Kolmogorov-Smirnov need nothing else. Must not know formats.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
BINS = 20

Numbers = NDArray[np.float64]


def build(samples: int, numbers: Mapping[str, Numbers], tallies: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Describe the train split: features by name."""
    features = {name: numeric(values) for name, values in sorted(numbers.items())}
    features |= {name: categorical(counts) for name, counts in sorted(tallies.items())}
    return {"version": VERSION, "split": "train", "samples": samples, "features": features}


def numeric(values: Numbers) -> dict[str, Any]:
    """Bin one feature at its quantiles; missing values (NaN) are counted apart."""
    full = np.sort(values[~np.isnan(values)])
    missing = int(len(values) - len(full))
    if not len(full):
        return {"kind": "numeric", "edges": [], "counts": [0], "missing": missing}
    edges = quantile_edges(full)
    mean = math.fsum(full) / len(full)
    spread = math.sqrt(math.fsum((full - mean) ** 2) / len(full))
    about = {"mean": tidy(mean), "std": tidy(spread), "min": tidy(full[0]), "max": tidy(full[-1])}
    return {"kind": "numeric", "edges": edges, "counts": count(edges, full), "missing": missing, **about}


def quantile_edges(ordered: Numbers, bins: int = BINS) -> list[float]:
    """Choose inner edges so that each bin holds about as many values; equal edges are kept once.

    The largest value is no edge: nothing of the reference would lie above it.
    """
    ranks = [len(ordered) * k // bins for k in range(1, bins)]
    found = sorted({tidy(ordered[max(r - 1, 0)]) for r in ranks})
    return [e for e in found if e < ordered[-1]]


def count(edges: list[float], values: Numbers) -> list[int]:
    """Count values per bin: [len(edges) + 1]. For live values as for the reference."""
    places = np.searchsorted(np.array(edges, np.float64), values[~np.isnan(values)], side="left")
    return [int(n) for n in np.bincount(places, minlength=len(edges) + 1)]


def categorical(counts: Mapping[str, int]) -> dict[str, Any]:
    """Keep counts by value, in order of the values."""
    names = sorted(counts)
    return {"kind": "categorical", "values": names, "counts": [int(counts[n]) for n in names]}


def tidy(number: float) -> float:
    """Round to 9 significant digits, so that the last bits of one machine's arithmetic do not matter."""
    return float(f"{float(number):.9g}")
