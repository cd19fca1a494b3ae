"""What an object waits for: the objects it refers to or made, those first that hold it up first.

Knows how kinds hang together. It must not know how that is told.
"""

from genops.cli.story.standing import standing, verdict_of
from genops.cli.story.world import World, run_of
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, GEN_VERDICT
from genops.core.model import Key
from genops.core.reasons import Reason

ON_REFERENCES = (
    Reason.WAITING_FOR_REFERENCE,
    Reason.REFERENCE_FAILED,
    Reason.VERDICT_MISSING,
    Reason.VERDICT_NOT_PASSED,
    Reason.VERDICT_OF_ANOTHER_MODEL,
)
ON_RUN = (
    Reason.RUN_FAILED,
    Reason.RUN_REJECTED,
    Reason.RUNNING,
    Reason.DEPLOYING,
    Reason.CREATING,
    Reason.SERVING,
)
CHAIN = (GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT)


def held_by(key: Key, world: World) -> Key | None:
    """Find the one object that holds this one up, there or not; None where the cause lies in itself."""
    stands = standing(key, world.get(key))
    if key.kind == GEN_VERDICT:
        return _first_unfit(_judged(key, world), world)
    if key.kind == GEN_MODEL and stands.reason in ON_RUN and stands.phase != "Serving":
        return _first_unfit(run_objects(key, world), world)
    return _first_unfit(world.referred(key), world) if stands.reason in ON_REFERENCES else None


def run_objects(key: Key, world: World) -> list[Key]:
    """List the objects of a GenModel's newest run, in the order of the chain, and its deployment."""
    owned = world.owned(key, *CHAIN)
    newest = max((run_of(world.get(k)) for k in owned), default=0)
    named = ((world.spec(key).get("dataset") or {}).get("ref") or {}).get("name")
    given = [Key(GEN_DATASET, key.namespace, named)] if named else []
    mine = [k for k in owned if run_of(world.get(k)) in (0, newest)]
    return given + sorted(mine, key=lambda k: CHAIN.index(k.kind))


def _judged(key: Key, world: World) -> list[Key]:
    name = (world.spec(key).get("evaluationRef") or {}).get("name")
    return [Key(GEN_EVALUATION, key.namespace, name)] if name else []


def _first_unfit(keys: list[Key], world: World) -> Key | None:
    return next((k for k in keys if not _fit(k, world)), None)


def _fit(key: Key, world: World) -> bool:
    """Say whether an object gives what others wait for; a run that has weights does so whatever came after."""
    manifest = world.get(key)
    if manifest is None:
        return False
    if key.kind == GEN_EVALUATION:
        return verdict_of(manifest) == "Passed"
    return standing(key, manifest).tone == "good"
