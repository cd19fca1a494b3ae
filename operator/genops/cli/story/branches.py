"""What hangs under what: our objects, the Jobs and servers that they made, and the pods of those.

Pure: a world in, a tree out. It must not know how a tree is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genops.cli.story.causes import name_of
from genops.cli.story.drawing import rows
from genops.cli.story.standing import Standing, progress, standing, verdict_of
from genops.cli.story.world import World, run_of
from genops.core.kinds import GEN_DEPLOYMENT, GEN_EVALUATION, GEN_TRAINING_JOB, OURS
from genops.core.model import Key

CHAIN = [kind.kind for kind in OURS]


@dataclass(frozen=True)
class Branch:
    """One object, and what hangs under it."""

    key: Key
    stands: Standing
    note: str
    below: tuple["Branch", ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of a drawn tree: the strokes before it, and the branch."""

    strokes: str
    branch: Branch


def grow(key: Key, world: World) -> Branch:
    """Find all that hangs under an object. Runs stand in their order, each with the links of its chain in theirs."""
    below = sorted(world.owned(key, *OURS), key=lambda k: (run_of(world.get(k)) or 10**9, CHAIN.index(k.kind.kind)))
    found = [*below, *world.beneath(key)]
    return Branch(key, standing(key, world.get(key)), _note(key, world), tuple(grow(k, world) for k in found))


def roots(world: World) -> list[Key]:
    """List the objects of ours that no other one of them made."""
    made = {k for key in world.ours() for k in world.owned(key, *OURS)}
    keys = [k for k in world.ours() if k not in made]
    return sorted(keys, key=lambda k: (CHAIN.index(k.kind.kind), k.name))


def draw(branch: Branch) -> Iterator[Row]:
    """Draw a tree line by line."""
    yield from (Row(strokes, each) for strokes, each in rows(branch, lambda b: b.below))


def as_json(branch: Branch) -> dict[str, Any]:
    """Tell a tree to programs."""
    return {
        "kind": branch.key.kind.kind,
        "name": branch.key.name,
        "phase": branch.stands.phase,
        "reason": str(branch.stands.reason),
        "state": branch.stands.tone,
        "note": branch.note,
        "children": [as_json(child) for child in branch.below],
    }


def title(branch: Branch) -> str:
    """Name a branch."""
    return name_of(branch.key)


def _note(key: Key, world: World) -> str:
    """The one thing worth seeing beside the phase."""
    status, stands = world.status(key), standing(key, world.get(key))
    run = run_of(world.get(key))
    parts = [f"run {run}"] if run and key.kind in OURS else []
    if key.kind == GEN_EVALUATION and verdict_of(world.get(key)):
        parts.append(verdict_of(world.get(key)))
    elif key.kind == GEN_DEPLOYMENT and (status.get("stable") or {}).get("engine"):
        parts.append(f"engine {status['stable']['engine']}")
    elif key.kind == GEN_TRAINING_JOB and stands.tone == "waiting" and progress(world.get(key)):
        parts.append(progress(world.get(key)))
    elif status.get("samples") is not None:
        parts.append(f"{status['samples']} samples")
    if stands.tone != "good" and stands.reason and stands.reason != stands.phase:
        parts.append(str(stands.reason))
    return ", ".join(parts)
