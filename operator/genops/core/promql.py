"""PromQL as text: distances between what a served model sees or makes and its training data. Pure strings.

Every expression gives one number per labels of `BY`, from the series that a served model exports. The same text is
asked by the operator for one window, and recorded as rules for dashboards. Must not know who asks, or what follows.

A bin that nothing fell into would make a logarithm infinite, so HALF is added to each bin of both sides, Jeffreys'
estimate of a multinomial.
"""

from dataclasses import dataclass

BY = ("of", "feature")
HALF = 0.5
OBSERVED, REFERENCE = "genops_observed", "genops_reference"


@dataclass(frozen=True)
class View:
    """Which series, and when: a window of `seconds` that ends at `end` in Unix time, or now where that is None."""

    where: str  # labels, as selector() writes them
    seconds: int
    end: int | None = None
    by: tuple[str, ...] = BY

    @property
    def grouped(self) -> str:
        """The labels that stay."""
        return ", ".join(self.by)

    def rise(self, series: str) -> str:
        """How much a counter rose within the window."""
        return f"increase({series}{self.where}[{self.seconds}s]{self._at})"

    def known(self, series: str) -> str:
        """What a gauge said within the window, whichever of its pods are gone by now."""
        return f"max_over_time({series}{self.where}[{self.seconds}s]{self._at})"

    @property
    def _at(self) -> str:
        return "" if self.end is None else f" @ {self.end}"


def selector(**labels: str) -> str:
    """Write labels that must be equal.

    >>> selector(model="a", of='b"c')
    '{model="a",of="b\\\\"c"}'
    """
    return "{" + ",".join(f"{name}={quoted(value)}" for name, value in labels.items()) + "}"


def quoted(text: str) -> str:
    """Write a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def samples(view: View) -> str:
    """Write how many samples the window holds, of features that have a reference."""
    rose = f"sum by ({view.grouped}) ({view.rise(f'{OBSERVED}_count')})"
    return f"{rose} and on ({view.grouped}) {reference_samples(view)}"


def reference_samples(view: View) -> str:
    """Write how many samples the reference was made of."""
    return f"max by ({view.grouped}) ({view.known(f'{REFERENCE}_samples')})"


def reference_bins(view: View) -> str:
    """Write how many bins the reference has."""
    return f"count by ({view.grouped}) ({_reference(view)})"


def age(view: View) -> str:
    """Write the seconds since the newest sample was scraped."""
    return f"time() - max by ({view.grouped}) (timestamp({OBSERVED}_count{view.where}))"


def psi(view: View) -> str:
    """Write the population stability index, in nats: Kullback-Leibler divergence, both ways, added up."""
    p, q = _shares(_observed(view), view), _shares(_reference(view), view)
    return f"sum by ({view.grouped}) (({p} - {q}) * ln({p} / {q}))"


def js(view: View) -> str:
    """Write the Jensen-Shannon divergence, in bits: from 0 to 1."""
    p, q = _shares(_observed(view), view), _shares(_reference(view), view)
    middle = f"(({p} + {q}) / 2)"
    halves = f"{p} * log2({p} / {middle}) + {q} * log2({q} / {middle})"
    return f"sum by ({view.grouped}) ({halves}) / 2"


def ks(view: View) -> str:
    """Write the Kolmogorov-Smirnov statistic: the largest difference of the distribution functions, at the bounds."""
    rose = f"sum by ({view.grouped}, le) ({view.rise(f'{OBSERVED}_bucket')})"
    count = f"sum by ({view.grouped}) ({view.rise(f'{OBSERVED}_count')})"
    live = f"{rose} / on ({view.grouped}) group_left () {count}"
    known = f"max by ({view.grouped}, le) ({view.known(f'{REFERENCE}_bucket')})"
    return f"max by ({view.grouped}) (abs({live} - {known}))"


def recorded(namespace: str, model: str, seconds: int) -> str:
    """Write how many samples a deployment has recorded in the last so many seconds."""
    where = selector(namespace=namespace, model=model, outcome="kept")
    return f"sum(increase(genops_captured_total{where}[{seconds}s]))"


TESTS = {"psi": psi, "js": js, "ks": ks}


def worst(expression: str) -> str:
    """Write the largest of all features."""
    return f"max({expression})"


def least(expression: str) -> str:
    """Write the smallest of all features."""
    return f"min({expression})"


def _observed(view: View) -> str:
    return f"sum by ({view.grouped}, bin) ({view.rise(f'{OBSERVED}_bin_total')})"


def _reference(view: View) -> str:
    return f"max by ({view.grouped}, bin) ({view.known(f'{REFERENCE}_bin')})"


def _shares(counts: str, view: View) -> str:
    """Write the smoothed share of each bin."""
    total = f"(sum by ({view.grouped}) ({counts}) + {HALF:g} * count by ({view.grouped}) ({counts}))"
    return f"(({counts} + {HALF:g}) / on ({view.grouped}) group_left () {total})"
