"""Decide what a GenTrainingJob should own now, and what it should say. Pure; never raises for a bad world."""

from datetime import datetime

from genops.core.model import Key, Plan, Resource, Seen
from genops.stages.training import children, inputs, status
from genops.stages.training.outcome import settled
from genops.stages.training.runs import pods_of, read_runs
from genops.stages.training.spec import Spec


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what this GenTrainingJob should own now, and what it should say."""
    if obj.spec.managed_by:
        return Plan(hands_off=True)
    facts = status.read(obj, seen, now)
    said = status.report(obj, facts)
    return Plan(
        children=children.wanted(obj, facts, seen.config),
        status=said.status,
        conditions=said.conditions,
        happening=said.happening,
        wake_after=facts.wake_after,
    )


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name the data and the weights that the spec refers to."""
    return inputs.refs(obj)


def inspect(obj: Resource[Spec], seen: Seen, now: datetime) -> tuple[str, ...]:
    """Ask for the pods of every run whose outcome is not recorded."""
    if obj.spec.managed_by or status.recorded(obj):
        return ()
    runs = [r for r in read_runs(obj, seen) if r.number not in settled(obj)]
    return tuple(pods_of(r.manifest) for r in runs)
