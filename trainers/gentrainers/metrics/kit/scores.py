"""Scores: what a metric hands over before anything is concluded, and how it is paired with a baseline's.

A score keeps the unit that varies independently (a generation seed, a sample, a document, a repeat), so that the
interval counts that and nothing else. This module must not know what was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np

from gentrainers.metrics.kit.arrays import Bools, Floats
from gentrainers.metrics.kit.estimates import Estimate, Mean, Quantile, Resampled, Share

LEAST_SEEDS = 5
RESAMPLES = 2000


class Score(Protocol):
    """Raw results of one metric on one model."""

    def estimate(self) -> Estimate: ...
    def ahead_of(self, other: Self) -> Estimate: ...  # self - other, paired where the units are the same


def mean_of(values: Floats, unit: str, least: int = 2) -> Mean:
    """Estimate the mean of independent values."""
    n = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    return Mean(float(np.mean(values)), error, n, unit, least)


@dataclass(frozen=True)
class PerSeed:
    """One value of a distribution metric per generation seed."""

    values: Floats  # [seeds]

    def estimate(self) -> Estimate:
        return mean_of(self.values, "seeds", LEAST_SEEDS)

    def ahead_of(self, other: Self) -> Estimate:
        return mean_of(self.values - other.values, "seeds", LEAST_SEEDS)


@dataclass(frozen=True)
class Ratio:
    """A sum over a sum, such as nats over bytes: one pair per independent unit (a document, a prompt, an image).

    With `bottom` all ones this is a mean of per-sample scores; with sums per prompt it is clustered by prompt. The
    error is that of the linearised ratio (Cochran 1977, section 6.3), which respects that units differ in size.
    """

    top: Floats  # [units]
    bottom: Floats  # [units]
    unit: str = "samples"

    def estimate(self) -> Estimate:
        return self._spread(self._residuals(), self._value())

    def ahead_of(self, other: Self) -> Estimate:
        return self._spread(self._residuals() - other._residuals(), self._value() - other._value())

    def _value(self) -> float:
        return float(self.top.sum() / self.bottom.sum())

    def _residuals(self) -> Floats:
        residuals: Floats = (self.top - self._value() * self.bottom) / self.bottom.mean()
        return residuals

    def _spread(self, residuals: Floats, value: float) -> Estimate:
        return Mean(value, mean_of(residuals, self.unit).error, len(residuals), self.unit)


def per_sample(values: Floats, clusters: object = None, unit: str = "samples") -> Ratio:
    """Make a score of per-sample values; `clusters` [n] names what belongs together (prompts)."""
    if clusters is None:
        return Ratio(values, np.ones(len(values)), unit)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums: Floats = np.bincount(index, values).astype(np.float64)
    return Ratio(sums, np.bincount(index).astype(np.float64), "prompts")


@dataclass(frozen=True)
class Hits:
    """A yes or no per sample, such as "not a copy"."""

    hits: Bools  # [n]

    def estimate(self) -> Estimate:
        return Share(int(self.hits.sum()), len(self.hits))

    def ahead_of(self, other: Self) -> Estimate:
        """Compare paired shares after Agresti and Min 2005: half a pair is added to each of the four cells."""
        n = len(self.hits) + 2
        won = float(np.sum(self.hits & ~other.hits)) + 0.5
        lost = float(np.sum(~self.hits & other.hits)) + 0.5
        ahead = (won - lost) / n
        return Mean(ahead, float(np.sqrt(won + lost - (won - lost) ** 2 / n) / n), len(self.hits))


@dataclass(frozen=True)
class Times:
    """Repeats of a measurement of which a quantile matters, such as seconds per request."""

    values: Floats = field(repr=False)  # [repeats]
    q: float = 0.95

    def estimate(self) -> Estimate:
        return Quantile(self.values, self.q)

    def ahead_of(self, other: Self) -> Estimate:
        """Compare two quantiles by resampling both; repeats on a busy machine are not pairs."""
        return bootstrap((self.values, other.values), self._gap)

    def _gap(self, *arrays: Floats) -> float:
        mine, theirs = (float(np.quantile(a, self.q)) for a in arrays)
        return mine - theirs


def bootstrap(
    arrays: tuple[Floats, ...], statistic: Callable[..., float], seed: int = 0, draws: int = RESAMPLES
) -> Resampled:
    """Resample the first axis of each array by itself. Rows must be independent: give sums per cluster, not members."""
    random = np.random.default_rng(seed)
    found = np.empty(draws)
    for i in range(draws):
        found[i] = statistic(*(a[random.integers(0, len(a), len(a))] for a in arrays))
    return Resampled(statistic(*arrays), found, min(len(a) for a in arrays), "repeats")
