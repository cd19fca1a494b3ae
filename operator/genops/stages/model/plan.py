"""Decide what a GenModel should own now, and what it should say. Pure; never raises for a bad world."""

from datetime import datetime

from genops.core.kinds import GEN_DATASET
from genops.core.model import Key, Plan, Resource, Seen
from genops.stages.model import children, news, status
from genops.stages.model.spec import Spec


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what this GenModel should own now, and what it should say."""
    facts = status.read(obj, seen, now)
    said = status.report(facts)
    return Plan(
        children=children.wanted(obj, facts),
        status=said.status,
        conditions=said.conditions,
        happening=said.happening,
        wake_after=(facts.asked.until - now).total_seconds() if facts.asked and facts.asked.until else None,
    )


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name the datasets that are there already."""
    spec = obj.spec
    named = [r.name for r in (spec.dataset.ref, spec.evaluation.dataset_ref) if r]
    return tuple(Key(GEN_DATASET, obj.namespace, name) for name in named)


def asks(obj: Resource[Spec], seen: Seen, now: datetime) -> dict[str, str]:
    """Ask Prometheus how much was recorded since the last run, where that is what may start the next."""
    return {} if obj.spec.suspend or obj.deleting else news.asks(obj, now)
