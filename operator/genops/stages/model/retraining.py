"""Decide whether something asks for a new run, and what still holds it. Pure: facts in, an answer out.

A run is minted only while the last one has ended and the promoted model is the one served. What it is made of and
how it is judged is not known here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from genops.core.conditions import is_true, timestamp
from genops.core.model import Manifest, Resource
from genops.stages.model import budget
from genops.stages.model.budget import Spent
from genops.stages.model.news import News, wanted
from genops.stages.model.spec import Retrain, Spec

APPROVE_RETRAINING = "genops.dev/approve-retraining"  # annotation: the number of the run that may start
RETRAIN = "genops.dev/retrain"  # annotation: the number of the run that a person asks for


@dataclass(frozen=True)
class Asked:
    """A run that is asked for."""

    number: int
    cause: str
    held: str = ""  # what it waits for, for people; empty when it may start
    until: datetime | None = None  # when time alone lets it go on
    by: str = ""  # the annotation by which a person lets it go on


@dataclass(frozen=True)
class Past:
    """What has been: the runs by number, and what all of them used, those included that history let go."""

    runs: Mapping[int, Manifest]
    spent: tuple[Spent, ...] = ()


def asked(obj: Resource[Spec], deployment: Manifest, past: Past, news: News, now: datetime) -> Asked | None:
    """Say whether a run is asked for; `deployment` is the status of what is served."""
    if obj.spec.suspend or not past.runs:
        return None
    number = max(past.runs) + 1
    why = cause(obj, deployment, news, number)
    if not why:
        return None
    try:
        until, by = _until(obj, past, why, now)
    except CronSimError as wrong:
        return Asked(number, why, f"retrain.schedule: {wrong}; write a cron line such as 0 3 * * 1")
    if until and until > now:
        return Asked(number, why, f"it may start at {timestamp(until)}, by {by}", until)
    spent, room = budget.used_up(past.spent, obj.spec.budget, now)
    if spent:
        when = f"there is room at {timestamp(room)}, or raise it" if room else "raise it to go on"
        return Asked(number, why, f"budget.{spent} is used up; {when}", room)
    if why != "Manual" and _unapproved(obj, number):
        held = f"annotate the GenModel with {APPROVE_RETRAINING}={number} to start it"
        return Asked(number, why, held, by=APPROVE_RETRAINING)
    return Asked(number, why)


def cause(obj: Resource[Spec], deployment: Manifest, news: News, number: int) -> str:
    """Say what asks for a run of the same inputs: a person first, then a drift, then new data, then the clock."""
    policy = obj.spec.retrain
    if obj.metadata.get("annotations", {}).get(RETRAIN) == str(number):
        return "Manual"
    if policy and _drifted(obj, policy, deployment):
        return "Drift"
    if wanted(obj) and news.samples is not None and news.samples >= wanted(obj):
        return "NewData"
    return "Schedule" if policy and policy.schedule else ""


def _until(obj: Resource[Spec], past: Past, why: str, now: datetime) -> tuple[datetime | None, str]:
    """When time lets the run start, and which fields say so. A person who asks waits for no cool-down."""
    policy = obj.spec.retrain
    if policy is None:
        return None, ""
    room = _room(policy, past.runs, now)
    if why == "Manual":
        return room, "retrain's maxRuns"
    due = _due(policy, past.runs) if why == "Schedule" else None
    by = "retrain's schedule, cooldownSeconds and maxRuns" if due else "retrain's cooldownSeconds and maxRuns"
    return max(filter(None, (due, _cool(policy, past.runs), room)), default=None), by


def _unapproved(obj: Resource[Spec], number: int) -> bool:
    manual = obj.spec.retrain is not None and obj.spec.retrain.approve == "Manual"
    return manual and obj.metadata.get("annotations", {}).get(APPROVE_RETRAINING) != str(number)


def _due(policy: Retrain, before: Mapping[int, Manifest]) -> datetime | None:
    """When the schedule asks for the next run. Times that a run lived through are one time."""
    begun = _moments(before.values(), "startedAt")
    return next(CronSim(policy.schedule, max(begun)), None) if policy.schedule and begun else None


def _drifted(obj: Resource[Spec], policy: Retrain, deployment: Manifest) -> bool:
    """Only a watch that is to retrain asks for a run; one that does not know asks for none."""
    if obj.spec.deployment is None or not is_true(deployment, "Drifted"):
        return False
    watches = obj.spec.deployment.template.spec.drift
    named = {w.name for w in watches if w.action == "Retrain"} if "Drift" in policy.causes else set()
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


def _moments(runs: Iterable[Manifest], field: str) -> list[datetime]:
    return [datetime.fromisoformat(r[field].replace("Z", "+00:00")) for r in runs if r.get(field)]
