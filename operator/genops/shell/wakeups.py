"""Whom to wake: which objects refer to an object, so that its change is looked at by them too."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from genops.core.model import EVERY, Key


class Wakeups:
    """The references between our kinds, turned around. Filled anew whenever a referrer is looked at."""

    def __init__(self) -> None:
        self._targets: dict[Key, frozenset[Key]] = {}
        self._referrers: dict[Key, set[Key]] = defaultdict(set)

    def remember(self, referrer: Key, targets: Iterable[Key]) -> None:
        """Keep what `referrer` refers to, instead of what it did before."""
        new = frozenset(targets)
        old = self._targets.get(referrer, frozenset())
        for target in old - new:
            self._referrers[target].discard(referrer)
            if not self._referrers[target]:
                del self._referrers[target]
        for target in new - old:
            self._referrers[target].add(referrer)
        if new:
            self._targets[referrer] = new
        else:
            self._targets.pop(referrer, None)

    def forget(self, referrer: Key) -> None:
        """Drop an object that is no more."""
        self.remember(referrer, ())

    def referrers(self, target: Key) -> tuple[Key, ...]:
        """Who refers to `target`, by its name or with every object of its kind in the namespace."""
        every = replace(target, name=EVERY)
        return tuple(
            {**dict.fromkeys(self._referrers.get(target, ())), **dict.fromkeys(self._referrers.get(every, ()))}
        )
