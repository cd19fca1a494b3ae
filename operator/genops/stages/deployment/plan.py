"""Decide what a GenDeployment should own now, and what it should say. Pure; never raises for a bad world."""

from datetime import datetime

from genops.core.kinds import GEN_DATASET, GEN_EVALUATION, GEN_TRAINING_JOB, POD
from genops.core.model import EVERY, Key, Plan, Resource, Seen
from genops.stages.deployment import children, drift, embedding, facts, status
from genops.stages.deployment.spec import Spec


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what this GenDeployment should own now, and what it should say."""
    world = facts.read(obj, seen, now)
    said = status.report(world)
    return Plan(
        children=children.wanted(obj, world, seen),
        status=said.status,
        conditions=said.conditions,
        happening=said.happening,
        wake_after=world.wake_after,
    )


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name the run and the data it was trained on, the verdict, and the pods, among them those that serve."""
    spec, space = obj.spec, obj.namespace
    keys = [Key(POD, space, EVERY)]
    if spec.model.training_job_ref:
        keys += [Key(GEN_TRAINING_JOB, space, spec.model.training_job_ref.name), Key(GEN_DATASET, space, EVERY)]
    keys += [Key(GEN_DATASET, space, watch.reference_ref.name) for watch in spec.drift if watch.reference_ref]
    if spec.optimize and spec.optimize.dataset_ref:
        keys.append(Key(GEN_DATASET, space, spec.optimize.dataset_ref.name))
    if spec.requires:
        ref = spec.requires.evaluation_ref
        keys.append(Key(GEN_EVALUATION, space, ref.name if ref else EVERY))
    return tuple(dict.fromkeys(keys))


def inspect(obj: Resource[Spec], seen: Seen, now: datetime) -> tuple[str, ...]:
    """Ask for the pods of the Job that builds, while no server carries what it built, and of those that measure."""
    job = facts.current(obj, seen)
    building = (job["metadata"]["name"],) if job else ()
    return (*building, *embedding.jobs_of(seen))


def asks(obj: Resource[Spec], seen: Seen, now: datetime) -> dict[str, str]:
    """Ask Prometheus about the traffic of the version that answers, and of the one that is to follow."""
    if obj.spec.suspend or obj.deleting:
        return {}
    return {**drift.asks(obj, facts.watched(obj, seen), now), **facts.questions(obj, seen, now)}
