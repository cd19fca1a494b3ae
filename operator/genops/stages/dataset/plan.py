"""Decide what a GenDataset should own now, and what it should say. Pure; never raises for a bad world."""

from datetime import datetime

from genops.core.kinds import GEN_DEPLOYMENT
from genops.core.model import Key, Plan, Resource, Seen
from genops.stages.dataset import children, removal, status
from genops.stages.dataset.spec import Spec


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what this GenDataset should own now, and what it should say."""
    if obj.deleting and obj.held:
        return removal.plan(obj, seen, now)
    facts = status.read(obj, seen, now)
    said = status.report(facts)
    return Plan(
        children=children.wanted(obj, facts, seen.config),
        status=said.status,
        conditions=said.conditions,
        happening=said.happening,
        wake_after=facts.wake_after,
        hold=removal.held(obj),
    )


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name the deployment whose captured traffic is the source; under deletion, all that may refer to the data."""
    capture = obj.spec.source.capture
    source = (Key(GEN_DEPLOYMENT, obj.namespace, capture.deployment_ref.name),) if capture else ()
    return (*source, *removal.refs(obj))


def inspect(obj: Resource[Spec], seen: Seen, now: datetime) -> tuple[str, ...]:
    """Ask for the pods of the Job while its outcome is not recorded."""
    if obj.deleting:
        return removal.inspect(obj, seen)
    if status.recorded(obj):
        return ()
    job = status.current(obj, seen)
    return (job["metadata"]["name"],) if job else ()
