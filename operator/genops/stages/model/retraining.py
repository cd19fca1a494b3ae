"""Decide whether a drift or a schedule asks for a new run, and what still holds it. Pure: facts in, an answer out.

A run is minted only while the last one has ended and the promoted model is the one served. What it is made of and
how it is judged is not known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from genops.core.conditions import is_true, timestamp
from genops.core.model import Manifest, Resource
from genops.stages.model.cron import next_after
from genops.stages.model.spec import Budget, Retrain, Spec

APPROVE_RETRAINING = "genops.dev/approve-retraining"  # annotation: the number of the run that may start


@dataclass(frozen=True)
class Asked:
    """A run that is asked for."""

    number: int
    held: str = ""  # what it waits for, for people; empty when it may start
    until: datetime | None = None  # when time alone lets it go on


def asked(
    obj: Resource[Spec], deployment: Manifest, before: Mapping[int, Manifest], usage: Manifest, now: datetime
) -> Asked | None:
    """Say whether a run is asked for; `deployment` is the status of what is served, `before` all runs known."""
    policy = obj.spec.retrain
    if policy is None or obj.spec.suspend or not before:
        return None
    number, drifted = max(before) + 1, _drifted(obj, deployment)
    try:
        due = None if drifted else _due(policy, before)
    except ValueError as wrong:
        return Asked(number, f"retrain.schedule: {wrong}; write a cron line such as 0 3 * * 1")
    if due is None and not drifted:
        return None
    until = max(filter(None, (due, _cool(policy, before), _room(policy, before, now))), default=None)
    if until and until > now:
        by = "schedule, cooldownSeconds and maxRuns" if due else "cooldownSeconds and maxRuns"
        return Asked(number, f"it may start at {timestamp(until)}, by retrain's {by}", until)
    spent = _spent(obj.spec.budget, usage)
    if spent:
        return Asked(number, f"budget.{spent} is used up; raise it to go on")
    if policy.approve == "Manual" and obj.metadata.get("annotations", {}).get(APPROVE_RETRAINING) != str(number):
        return Asked(number, f"annotate the GenModel with {APPROVE_RETRAINING}={number} to start it")
    return Asked(number)


def cause(obj: Resource[Spec], deployment: Manifest) -> str:
    """Say what asks for a run of the same inputs; a drift goes before the schedule."""
    scheduled = obj.spec.retrain is not None and obj.spec.retrain.schedule
    return "Schedule" if scheduled and not _drifted(obj, deployment) else "Drift"


def _due(policy: Retrain, before: Mapping[int, Manifest]) -> datetime | None:
    """When the schedule asks for the next run. Times that a run lived through are one time."""
    begun = _moments(before.values(), "startedAt")
    return next_after(policy.schedule, max(begun)) if policy.schedule and begun else None


def _drifted(obj: Resource[Spec], deployment: Manifest) -> bool:
    """Only a watch that is to retrain asks for a run; one that does not know asks for none."""
    if obj.spec.retrain is None or obj.spec.deployment is None or not is_true(deployment, "Drifted"):
        return False
    watches = obj.spec.deployment.template.spec.drift
    named = {w.name for w in watches if w.action == "Retrain"} if "Drift" in obj.spec.retrain.causes else set()
    return any(w.get("since") and w.get("name") in named for w in deployment.get("drift", ()))


def _cool(policy: Retrain, before: Mapping[int, Manifest]) -> datetime | None:
    """When the last run has ended long enough."""
    ends = _moments(before.values(), "finishedAt")
    return max(ends) + timedelta(seconds=policy.cooldown_seconds) if ends else None


def _room(policy: Retrain, before: Mapping[int, Manifest], now: datetime) -> datetime | None:
    """When the window has room for one more run.

    Runs that history let go are counted by their numbers: all after the last one known to be older than the window.
    """
    if policy.max_runs is None or policy.window_seconds is None:
        return None
    window = timedelta(seconds=policy.window_seconds)
    old = [n for n, r in before.items() if any(m <= now - window for m in _moments([r], "startedAt"))]
    if max(before) - max(old, default=0) < policy.max_runs:
        return None
    recent = [r for n, r in before.items() if n not in old]
    return min(_moments(recent, "startedAt"), default=now) + window


def _spent(budget: Budget | None, usage: Manifest) -> str:
    """Name the limit that the kept runs have reached, or nothing."""
    if budget is None:
        return ""
    used = {name: float(usage.get(name) or 0) / 3600 for name in ("cpuSeconds", "gpuSeconds")}
    limits = {
        "cpuHours": (budget.cpu_hours, used["cpuSeconds"]),
        "gpuHours": (budget.gpu_hours, used["gpuSeconds"]),
    }
    return next((name for name, (limit, spent) in limits.items() if limit is not None and spent >= limit), "")


def _moments(runs: Iterable[Manifest], field: str) -> list[datetime]:
    return [datetime.fromisoformat(r[field].replace("Z", "+00:00")) for r in runs if r.get(field)]
