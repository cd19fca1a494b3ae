"""Decide what a GenEvaluation should own now, and what it should say. Pure; never raises for a bad world."""

from datetime import datetime

from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_TRAINING_JOB, GEN_VERDICT
from genops.core.model import EVERY, Key, Plan, Resource, Seen
from genops.stages.evaluation import children, status
from genops.stages.evaluation.spec import Spec, Subject


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what this GenEvaluation should own now, and what it should say."""
    facts = status.read(obj, seen, now)
    said = status.report(facts)
    return Plan(
        children=children.wanted(obj, facts, seen.config),
        status=said.status,
        conditions=said.conditions,
        happening=said.happening,
        wake_after=facts.wake_after,
    )


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name what is judged, what it is compared with, the data, and the verdicts of people."""
    spec, space = obj.spec, obj.namespace
    keys = [key for subject in (spec.subject, spec.baseline) if subject for key in _refs(subject, space)]
    if spec.dataset_ref:
        keys.append(Key(GEN_DATASET, space, spec.dataset_ref.name))
    if spec.human:
        keys.append(Key(GEN_VERDICT, space, EVERY))
    return tuple(dict.fromkeys(keys))


def _refs(subject: Subject, space: str) -> tuple[Key, ...]:
    """What is served is known by its digest, so that any run in the namespace may have made it."""
    if subject.training_job_ref:
        return (Key(GEN_TRAINING_JOB, space, subject.training_job_ref.name),)
    if subject.deployment_ref:
        return Key(GEN_DEPLOYMENT, space, subject.deployment_ref.name), Key(GEN_TRAINING_JOB, space, EVERY)
    return ()


def inspect(obj: Resource[Spec], seen: Seen, now: datetime) -> tuple[str, ...]:
    """Ask for the pods of a Job, that measures or that counts, while its outcome is not recorded."""
    measures = None if status.measured(obj) or status.failed(obj) else status.current(obj, seen)
    counts = None if status.told(obj) else status.counter(seen)
    return tuple(job["metadata"]["name"] for job in (measures, counts) if job)
