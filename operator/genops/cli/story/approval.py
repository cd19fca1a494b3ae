"""What waits for a person's word, and the annotation that gives it. Decided by the stage itself, over the same objects.

Pure: a world and a moment in, an annotation out.
"""

from dataclasses import dataclass
from datetime import datetime

from genops.cli.story.causes import name_of
from genops.cli.story.errors import Nothing
from genops.cli.story.standing import standing
from genops.cli.story.world import World
from genops.core.kinds import GEN_EVALUATION
from genops.core.model import Key
from genops.stages.model.status import APPROVE, read


@dataclass(frozen=True)
class Approval:
    """An annotation that lets something go on."""

    annotation: str
    value: str
    says: str


def approval(key: Key, world: World, now: datetime) -> Approval:
    """Find what an object waits for a person to approve. Raises Nothing where nothing does."""
    if key.kind == GEN_EVALUATION:
        raise Nothing(_of_people(key, world))
    obj = world.resource(key)
    if obj is None:
        raise Nothing(f"The spec of {name_of(key)} breaks a rule; see genops why {key.name}")
    facts = read(obj, world.seen(key), now)
    if facts.needs_approval:
        run = str(facts.chain.number)
        return Approval(APPROVE, run, f"Run {run} of {name_of(key)} passed, and may be served now")
    if facts.asked and facts.asked.by:
        run = str(facts.asked.number)
        return Approval(
            facts.asked.by, run, f"Run {run} of {name_of(key)}, asked for by {facts.asked.cause}, may start now"
        )
    held = f"; run {facts.asked.number} is asked for, and {facts.asked.held}" if facts.asked else ""
    stands = standing(key, world.get(key))
    raise Nothing(f"Nothing of {name_of(key)} waits for approval; it is {stands.phase}: {stands.message}{held}")


def _of_people(key: Key, world: World) -> str:
    """People judge pairs whose sides they do not know; a word for the whole would tell nothing."""
    stands = standing(key, world.get(key))
    if stands.phase != "WaitingForHumans":
        return f"Nothing of {name_of(key)} waits for people; it is {stands.phase}: {stands.message}"
    how = f"each is a GenVerdict by who judged; judge by genops review {key.name}"
    return f"{name_of(key)} waits for verdicts on single pairs ({stands.message}): {how}"
