"""Whose log matters now: the pod that works or hangs, else the one that failed last, else the one that ended last.

Pure: a world in, a pod out. It must not know how logs are read.
"""

from dataclasses import dataclass
from datetime import datetime

from gencontract.wire import PROGRESS_MARK, last_progress
from genops.cli.story.causes import explain, name_of
from genops.cli.story.errors import Nothing
from genops.cli.story.standing import how_far, standing
from genops.cli.story.waits import run_objects
from genops.cli.story.world import World
from genops.core.kinds import GEN_MODEL
from genops.core.model import Key, PodSeen
from genops.core.reporting import progress_status
from genops.shell.pods import pod_seen

LOOPS = "CrashLoopBackOff"


@dataclass(frozen=True)
class Voice:
    """A pod to listen to."""

    pod: str
    of: Key  # the object it works for
    previous: bool = False  # whether its last container, which has ended, is meant
    says: str = ""  # what became of the pod, for people


def voice(key: Key, world: World, now: datetime) -> Voice:
    """Choose the pod that matters. Raises Nothing that says why there is none."""
    steps = [step.key for step in explain(key, world, now).steps]
    if key.kind == GEN_MODEL:
        steps += reversed(run_objects(key, world))
    for each in steps:
        heard = [(_rank(seen), seen) for pod in world.pods(each) if (seen := _pod(pod, world)) and _has_log(seen)]
        if heard:
            return _voice(each, max(heard, key=lambda h: h[0])[1])
    raise Nothing(_silence(key, steps, world))


def readable(line: str) -> str:
    """Turn a heartbeat into words; any other line stays as it is."""
    heartbeat = last_progress(line) if PROGRESS_MARK in line else None
    told = how_far(progress_status(heartbeat) or {}) if heartbeat else ""
    return f"[{told}]" if told else line


def _pod(key: Key, world: World) -> PodSeen | None:
    manifest = world.get(key)
    return pod_seen(manifest) if manifest else None


def _has_log(seen: PodSeen) -> bool:
    return bool(seen.started_at or seen.finished_at) or seen.waiting.startswith(LOOPS)


def _rank(seen: PodSeen) -> tuple[int, str, int]:
    """What hangs goes before what works, that before what failed, and that before what is done; then the newest."""
    if seen.waiting.startswith(LOOPS):
        return 3, seen.name, 0
    if seen.finished_at:
        return (1 if seen.exit_code else 0), seen.finished_at, -seen.index
    return 2, seen.started_at, -seen.index


def _voice(of: Key, seen: PodSeen) -> Voice:
    loops = seen.waiting.startswith(LOOPS)
    ended = f"ended with exit code {seen.exit_code}" if seen.finished_at else "is running"
    says = f"Pod {seen.name} of {name_of(of)} {'ends again and again; its last words' if loops else ended}"
    return Voice(seen.name, of, loops, says)


def _silence(key: Key, steps: list[Key], world: World) -> str:
    """Say why nobody can be heard, with what the last pod left in the status."""
    for each in steps:
        stuck = [s for pod in world.pods(each) if (s := _pod(pod, world))]
        why = next((s.waiting or s.unschedulable for s in stuck if s.waiting or s.unschedulable), "it waits")
        if stuck:
            return f"Pod {stuck[-1].name} of {name_of(each)} has not started: {why}"
        last = world.status(each).get("lastFailure") or {}
        if last.get("message"):
            return f"No pod of {name_of(each)} is left; the last failure was {last.get('reason')}: {last['message']}"
    stands = standing(steps[-1], world.get(steps[-1]))
    return f"No pod of {name_of(key)} is there; {name_of(steps[-1])} is {stands.phase}; see genops why {key.name}"
