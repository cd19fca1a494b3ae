"""Estimates: a number, how sure it is, and one-sided bounds and p-values at any error rate.

Each kind knows its own small-sample law: Student's t for means, Clopper-Pearson for shares, order statistics for
quantiles, resampling for the rest. `tail` is always the error of ONE side. This module must not know what is measured.
"""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import special

from gentrainers.metrics.kit.arrays import Floats

POWER = 0.8  # with which `needed` promises a decision, if the truth is what was measured


class Estimate(Protocol):
    """A measured number with its uncertainty."""

    @property
    def value(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def unit(self) -> str: ...  # what n counts
    @property
    def least(self) -> int: ...  # with fewer than this, nothing is decided

    def low(self, tail: float) -> float: ...
    def high(self, tail: float) -> float: ...
    def p_above(self, limit: float, strict: bool = True) -> float: ...  # how likely data as high are, truth at limit
    def p_below(self, limit: float, strict: bool = True) -> float: ...
    def needed(self, limit: float, tail: float) -> int | None: ...


def normal_needed(gap: float, spread: float, tail: float) -> int | None:
    """Count how many independent values of sd `spread` tell `gap` from 0 with error `tail` and power 0.8.

    >>> normal_needed(0.5, 1.0, 0.025)
    32
    """
    if gap == 0 or not math.isfinite(gap):
        return None
    z = -float(special.ndtri(tail)) + float(special.ndtri(POWER))
    return max(2, math.ceil((z * spread / gap) ** 2))


@dataclass(frozen=True)
class Mean:
    """A mean of n independent values with standard error `error`; intervals by Student's t with n - 1 degrees."""

    value: float
    error: float
    n: int
    unit: str = "samples"
    least: int = 2

    def low(self, tail: float) -> float:
        return self.value - self._reach(tail)

    def high(self, tail: float) -> float:
        return self.value + self._reach(tail)

    def p_above(self, limit: float, strict: bool = True) -> float:
        return self._p(self.value - limit, strict)

    def p_below(self, limit: float, strict: bool = True) -> float:
        return self._p(limit - self.value, strict)

    def needed(self, limit: float, tail: float) -> int | None:
        return normal_needed(self.value - limit, self.error * math.sqrt(self.n), tail)

    def _reach(self, tail: float) -> float:
        if self.n < 2:
            return math.inf
        return -float(special.stdtrit(self.n - 1, tail)) * self.error

    def _p(self, ahead: float, strict: bool) -> float:
        if self.n < 2:
            return 1.0
        if self.error == 0:  # the same number each time, as for two models that are one
            return 0.0 if ahead > 0 or (ahead == 0 and not strict) else 1.0
        return float(special.stdtr(self.n - 1, -ahead / self.error))


@dataclass(frozen=True)
class Share:
    """A share of n independent yes-or-no samples; exact intervals after Clopper and Pearson 1934.

    Unlike a normal interval it has width at 0 and at n: no copies among 50 samples do not prove that there are none.
    """

    hits: int
    n: int
    unit: str = "samples"
    least: int = 2

    @property
    def value(self) -> float:
        return self.hits / self.n

    def low(self, tail: float) -> float:
        return float(special.betaincinv(self.hits, self.n - self.hits + 1, tail)) if self.hits else 0.0

    def high(self, tail: float) -> float:
        rest = self.n - self.hits
        return float(special.betaincinv(self.hits + 1, rest, 1 - tail)) if rest else 1.0

    def p_above(self, limit: float, strict: bool = True) -> float:
        if limit <= 0:
            return 0.0 if limit < 0 or not strict else float(self.hits == 0)
        return float(special.betainc(self.hits, self.n - self.hits + 1, min(limit, 1.0))) if self.hits else 1.0

    def p_below(self, limit: float, strict: bool = True) -> float:
        return Share(self.n - self.hits, self.n).p_above(1 - limit, strict)

    def needed(self, limit: float, tail: float) -> int | None:
        return normal_needed(self.value - limit, math.sqrt(max(limit * (1 - limit), 0)), tail)


@dataclass(frozen=True)
class Quantile:
    """The q-quantile of n independent values; distribution-free intervals by order statistics."""

    values: Floats = field(repr=False)  # [n]
    q: float
    unit: str = "repeats"

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def value(self) -> float:
        return float(np.quantile(self.values, self.q))

    @property
    def least(self) -> int:
        """Count the values below which even the largest one bounds the quantile at no 97.5 %."""
        return math.ceil(math.log(0.025) / math.log(self.q))

    def low(self, tail: float) -> float:
        rank = int(np.sum(special.bdtr(np.arange(self.n), self.n, self.q) <= tail))
        return float(np.sort(self.values)[rank - 1]) if rank else -math.inf

    def high(self, tail: float) -> float:
        enough = special.bdtrc(np.arange(self.n), self.n, self.q) <= tail
        return float(np.sort(self.values)[int(np.argmax(enough))]) if enough.any() else math.inf

    def p_above(self, limit: float, strict: bool = True) -> float:
        """Data so high under a quantile at `limit`: at most so many values would lie at or below it."""
        return float(special.bdtr(np.sum(self.values <= limit), self.n, self.q))

    def p_below(self, limit: float, strict: bool = True) -> float:
        below = int(np.sum(self.values < limit))
        return float(special.bdtrc(below - 1, self.n, self.q)) if below else 1.0

    def needed(self, limit: float, tail: float) -> int | None:
        side = self.q if self.value < limit else 1 - self.q
        at_least = math.ceil(math.log(tail) / math.log(max(side, 1e-9)))
        return max(at_least, 2 * self.n) if self.value != limit else None


@dataclass(frozen=True)
class Resampled:
    """A statistic with its bootstrap draws; percentile intervals after Efron 1979."""

    value: float
    draws: Floats = field(repr=False)  # [resamples]
    n: int
    unit: str = "samples"
    least: int = 20

    def low(self, tail: float) -> float:
        return float(np.quantile(self.draws, tail))

    def high(self, tail: float) -> float:
        return float(np.quantile(self.draws, 1 - tail))

    def p_above(self, limit: float, strict: bool = True) -> float:
        return float((1 + np.sum(self.draws <= limit)) / (1 + len(self.draws)))

    def p_below(self, limit: float, strict: bool = True) -> float:
        return float((1 + np.sum(self.draws >= limit)) / (1 + len(self.draws)))

    def needed(self, limit: float, tail: float) -> int | None:
        return normal_needed(self.value - limit, float(np.std(self.draws)) * math.sqrt(self.n), tail)
