"""Choose the hyperparameters of the next trial. Pure: a function of the search, its seed and the trials so far.

`random` draws evenly, `grid` counts through all combinations, `tpe` (Bergstra et al. 2011, "Algorithms for
Hyper-Parameter Optimization") draws where good trials were dense and bad ones were not, one parameter at a time.
Knows nothing of Jobs or clusters. Every value is mapped to [0, 1) and back, so that ranges by ratio, whole numbers and
lists are one case.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from genops.stages.training.spec import Parameter, Search

Dial = int | str

CANDIDATES = 24  # drawn from the good side, of which the most promising is taken
GOOD_SHARE = 0.15  # of the trials that have ended
STARTUP = 8  # trials that are drawn evenly before tpe has enough to learn from


@dataclass(frozen=True)
class Tried:
    """A trial that has ended; without a value it has failed."""

    number: int
    parameters: Mapping[str, Dial]
    value: float | None = None


def count(search: Search) -> int:
    """Say how many trials there are in all: a grid has no more than its combinations."""
    if search.algorithm != "grid":
        return search.trials
    return min(search.trials, math.prod(len(_points(p)) for p in search.parameters))


def suggest(search: Search, number: int, tried: Iterable[Tried] = ()) -> dict[str, Dial]:
    """Choose the parameters of trial `number`, which is below `count(search)`."""
    if search.algorithm == "grid":
        return _combination(search.parameters, number)
    ended = ranked(search, tried)
    guided = search.algorithm == "tpe" and len(ended) >= min(STARTUP, max(2, search.trials // 3))
    chosen = {}
    for p in search.parameters:
        rng = Random(f"{search.seed}/{number}/{p.name}")
        chosen[p.name] = _at(p, _promising(p, ended, rng) if guided else rng.random())
    return chosen


def ranked(search: Search, tried: Iterable[Tried]) -> list[Tried]:
    """Sort trials from best to worst; those that failed come last, equal ones by number."""
    sign = 1 if search.goal == "Minimize" else -1
    return sorted(tried, key=lambda t: (t.value is None, sign * (t.value or 0), t.number))


def best(search: Search, tried: Iterable[Tried]) -> Tried | None:
    """Find the best trial that did not fail."""
    found = ranked(search, [t for t in tried if t.value is not None])
    return found[0] if found else None


# --- values and their place in [0, 1) --------------------------------------------------------------------------------


def _at(p: Parameter, u: float) -> Dial:
    """Read the value that stands at `u`."""
    if p.values or p.step is not None:
        points = _points(p)
        return points[min(int(u * len(points)), len(points) - 1)]
    low, high = _bounds(p)
    if p.integer:
        value = math.exp(_mix(math.log(low), math.log(high + 1), u)) if p.log else _mix(low, high + 1, u)
        return min(max(math.floor(value), math.ceil(low)), math.floor(high))
    return _text(math.exp(_mix(math.log(low), math.log(high), u)) if p.log else _mix(low, high, u))


def _unit(p: Parameter, value: Dial) -> float:
    """Say where a value stands; the middle of its share, where it has one."""
    if p.values or p.step is not None:
        points = _points(p)
        return (points.index(value) + 0.5) / len(points) if value in points else 0.5
    low, high = _bounds(p)
    if p.integer:
        low, high, x = low, high + 1, float(value) + 0.5
    else:
        x = float(value)
    if p.log:
        low, high, x = math.log(low), math.log(high), math.log(x)
    return min(max((x - low) / (high - low), 0.0), 1.0)


def _points(p: Parameter) -> list[Dial]:
    """List all values of a parameter that has a list or a step."""
    if p.values:
        return list(p.values)
    low, high = _bounds(p)
    assert p.step is not None
    steps = math.floor((high - low) / p.step + 1e-9)
    points = [low + i * p.step for i in range(steps + 1)]
    return [round(x) for x in points] if p.integer else [_text(x) for x in points]


def _combination(parameters: Sequence[Parameter], number: int) -> dict[str, Dial]:
    """Count in a number system whose digits are the parameters' values; the last one moves fastest."""
    chosen: dict[str, Dial] = {}
    for p in reversed(parameters):
        points = _points(p)
        number, digit = divmod(number, len(points))
        chosen[p.name] = points[digit]
    return {p.name: chosen[p.name] for p in parameters}


def _bounds(p: Parameter) -> tuple[float, float]:
    assert p.min is not None
    assert p.max is not None
    return p.min, p.max


def _mix(low: float, high: float, u: float) -> float:
    return low + u * (high - low)


def _text(value: float) -> str:
    """Write a number as the API has it: with a fraction, it is text."""
    return f"{value:.6g}"


# --- tree-structured Parzen estimator --------------------------------------------------------------------------------


def _promising(p: Parameter, ended: Sequence[Tried], rng: Random) -> float:
    """Draw where the share of good trials is highest. `ended` goes from best to worst."""
    places = [_unit(p, t.parameters[p.name]) for t in ended if p.name in t.parameters]
    split = max(1, math.ceil(GOOD_SHARE * len(places)))
    density = _Shares.of if p.values else _Bells.of
    good, bad = density(places[:split], len(p.values)), density(places[split:], len(p.values))
    drawn = [good.draw(rng) for _ in range(CANDIDATES)]
    return max(drawn, key=lambda u: math.log(good.at(u)) - math.log(bad.at(u)))


class _Density(Protocol):
    """Where trials were."""

    def draw(self, rng: Random) -> float: ...
    def at(self, u: float) -> float: ...


@dataclass(frozen=True)
class _Shares:
    """A share for each value of a list: how often it was taken, and once more."""

    weights: tuple[float, ...]

    @classmethod
    def of(cls, places: Sequence[float], values: int) -> _Density:
        taken = [min(int(u * values), values - 1) for u in places]
        return cls(tuple((1 + taken.count(i)) / (values + len(taken)) for i in range(values)))

    def draw(self, rng: Random) -> float:
        which = rng.choices(range(len(self.weights)), self.weights)[0]
        return (which + 0.5) / len(self.weights)

    def at(self, u: float) -> float:
        return self.weights[min(int(u * len(self.weights)), len(self.weights) - 1)]


@dataclass(frozen=True)
class _Bells:
    """An even share and one bell for each place, as wide as its neighbours are far."""

    bells: tuple[tuple[float, float], ...]  # centre, width

    @classmethod
    def of(cls, places: Sequence[float], values: int) -> _Density:
        edges = sorted([0.0, 1.0, *places])
        narrowest = 1 / (4 + len(places))
        return cls(tuple((u, max(narrowest, _reach(u, edges))) for u in places))

    def draw(self, rng: Random) -> float:
        which = rng.randrange(len(self.bells) + 1)
        if which == len(self.bells):
            return rng.random()
        centre, width = self.bells[which]
        inside = [u for u in (rng.gauss(centre, width) for _ in range(8)) if 0 <= u < 1]
        return inside[0] if inside else centre

    def at(self, u: float) -> float:
        """Weigh the place `u`; each bell counts as much as the even share, whatever of it lies outside [0, 1]."""
        inside = [_bell(u, c, w) / (_below(1.0, c, w) - _below(0.0, c, w)) for c, w in self.bells]
        return (1.0 + sum(inside)) / (len(self.bells) + 1)


def _reach(u: float, edges: Sequence[float]) -> float:
    at = edges.index(u)
    left = u - edges[at - 1] if at else 0.0
    right = edges[at + 1] - u if at + 1 < len(edges) else 0.0
    return max(left, right)


def _bell(u: float, centre: float, width: float) -> float:
    return math.exp(-0.5 * ((u - centre) / width) ** 2) / (width * math.sqrt(2 * math.pi))


def _below(u: float, centre: float, width: float) -> float:
    return 0.5 * (1 + math.erf((u - centre) / (width * math.sqrt(2))))
