"""What runs have used within the budget's window, and when there is room again. Pure.

A run counts from its end on for as long as the window is, and while it goes on. What a run used stands in its line of
the lineage; when history lets that go, the sum stays in `status.spent` until the window has passed it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from genops.core.conditions import timestamp
from genops.core.model import Manifest
from genops.core.reporting import number
from genops.stages.model.spec import Budget

SIDES = {"cpuHours": "cpuSeconds", "gpuHours": "gpuSeconds"}
MOST = 1000  # sums kept one by one; older ones are added up
NO_BUDGET = Budget(cpu_hours=0)  # for its window alone


@dataclass(frozen=True)
class Spent:
    """What one run used, and when it ended; one that goes on has not."""

    run: int
    ended: datetime | None
    seconds: Mapping[str, float]  # by cpuSeconds, gpuSeconds

    @classmethod
    def of_run(cls, run: Manifest) -> "Spent":
        """Read a line of the lineage."""
        return cls(int(run["number"]), _moment(run.get("finishedAt")), _seconds(run.get("usage") or {}))

    @classmethod
    def of_sum(cls, entry: Manifest) -> "Spent":
        """Read what stands in `status.spent`."""
        return cls(int(entry["run"]), _moment(entry.get("at")), _seconds(entry))

    def write(self) -> Manifest:
        """Write it as it stands in `status.spent`."""
        said = {name: number(value) for name, value in self.seconds.items() if value}
        return {"run": self.run, "at": timestamp(self.ended), **said} if self.ended else {}


def window(budget: Budget | None) -> timedelta:
    """Return how long a run counts."""
    return timedelta(seconds=(budget or NO_BUDGET).per_seconds)


def within(spent: Iterable[Spent], budget: Budget | None, now: datetime) -> tuple[Spent, ...]:
    """Keep what counts now."""
    return tuple(s for s in spent if s.ended is None or s.ended > now - window(budget))


def sums(spent: Iterable[Spent]) -> Manifest:
    """Add up for `status.usage`."""
    every = tuple(spent)
    return {name: number(sum(s.seconds.get(name, 0.0) for s in every)) for name in SIDES.values()}


def kept(spent: Iterable[Spent], runs: Iterable[int], budget: Budget | None, now: datetime) -> list[Manifest]:
    """Say what stands in `status.spent`: runs that the lineage no longer has, while they count."""
    gone = sorted(
        (s for s in within(spent, budget, now) if s.run not in set(runs) and s.ended and any(s.seconds.values())),
        key=lambda s: s.run,
    )
    while len(gone) > MOST:
        gone[:2] = [_added(gone[0], gone[1])]
    return [s.write() for s in gone]


def used_up(spent: Iterable[Spent], budget: Budget | None, now: datetime) -> tuple[str, datetime | None]:
    """Name the limit that is reached, and when there is room again; nothing where there is room now."""
    if budget is None:
        return "", None
    counted = sorted(within(spent, budget, now), key=lambda s: s.ended or now)
    full = [
        (name, limit)
        for name, limit in (("cpuHours", budget.cpu_hours), ("gpuHours", budget.gpu_hours))
        if limit is not None and _hours(counted, SIDES[name]) >= limit
    ]
    if not full:
        return "", None
    times = [_room(counted, SIDES[name], limit, window(budget)) for name, limit in full]
    return full[0][0], None if None in times else max(t for t in times if t)


def _room(counted: list[Spent], side: str, limit: float, length: timedelta) -> datetime | None:
    """Return when enough has left the window, or None where nothing will be enough."""
    for place, spent in enumerate(counted):
        if spent.ended and _hours(counted[place + 1 :], side) < limit:
            return spent.ended + length
    return None


def _hours(spent: Iterable[Spent], side: str) -> float:
    return sum(s.seconds.get(side, 0.0) for s in spent) / 3600


def _added(older: Spent, newer: Spent) -> Spent:
    """Add two sums up; the older one counts as long as the newer."""
    names = {*older.seconds, *newer.seconds}
    return Spent(newer.run, newer.ended, {n: older.seconds.get(n, 0) + newer.seconds.get(n, 0) for n in names})


def _seconds(said: Manifest) -> dict[str, float]:
    return {name: float(said[name]) for name in SIDES.values() if said.get(name)}


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said.replace("Z", "+00:00")) if said else None
