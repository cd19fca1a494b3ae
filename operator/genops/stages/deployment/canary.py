"""Decide how far a new version has come: how many of its servers run, whether it goes on, or goes back. Pure.

    begins ─► leg 0 ─► leg 1 ─► ... ─► all servers ─► it answers alone
                 └───────┴── a number fails, a server crashes, the verdict is taken back ─► the one before goes on

A leg is a step of a canary, or the one time that blue-green and shadow watch without an answer. Where it stands is read
from status.canary, so that a restart of the operator changes nothing; a version that status does not know begins anew.
Knows nothing of how requests are split.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from genops.core.conditions import timestamp
from genops.core.model import Manifest
from genops.core.reasons import Reason
from genops.stages.deployment import analysis
from genops.stages.deployment.analysis import Look
from genops.stages.deployment.servers import Server, autoscaled
from genops.stages.deployment.spec import Rollout, Step, Template


@dataclass(frozen=True)
class Leg:
    """A share of the requests, and how long it is kept."""

    weight: int
    seconds: int


STEPS = [Step(weight=10), Step(weight=50)]  # of a canary that names none
NEXT = 0.5  # seconds until what was decided is carried on
AGAIN = 10.0  # seconds until what keeps it waiting is looked at again
AT_ONCE = (Leg(0, 0),)  # for a version that has answered before
MOST = 50  # per cent of the servers that can be new while all of the old ones stay


@dataclass(frozen=True)
class Counts:
    """How many servers of each version run."""

    candidate: int
    stable: int

    @property
    def share(self) -> int:
        """Per cent of the servers that are new."""
        return round(100 * self.candidate / max(1, self.candidate + self.stable))


@dataclass(frozen=True)
class Probation:
    """Where a new version stands. `step` is None until it has begun, and the number of legs once it has passed all."""

    legs: tuple[Leg, ...]
    step: int | None = None
    since: datetime | None = None  # when this leg began; None while its servers still start
    looks: tuple[Look, ...] = ()
    failed: str = ""  # why it must go back
    waits: str = ""  # why it cannot go on, though its time is over
    reason: str = Reason.CANARY
    done: bool = False
    wake_after: float | None = None

    @property
    def begun(self) -> bool:
        """Say whether it has been ready once."""
        return self.step is not None

    @property
    def weight(self) -> int:
        """Per cent of the requests that it is to get now."""
        return self.legs[min(self.step, len(self.legs) - 1)].weight if self.step is not None else 0

    @property
    def says(self) -> str:
        """Where it stands, for people."""
        if self.step is None or self.step >= len(self.legs):
            return "All servers of the new version start"
        leg = self.legs[self.step]
        what = f"Step {self.step + 1} of {len(self.legs)}: the new version is watched for {leg.seconds} s"
        share = f" with {leg.weight} per cent of the requests" if leg.weight else ""
        numbers = [f"{look.metric.name} {look.message}" for look in self.looks]
        return "; ".join([what + share, *numbers, *([self.waits] if self.waits else [])])

    def status(self) -> Manifest:
        """Write what must outlive a restart."""
        if self.step is None:
            return {}
        since = {"since": timestamp(self.since)} if self.since else {}
        return {"step": self.step, **since, "analysis": [look.status() for look in self.looks]}


def legs_of(spec: Rollout) -> tuple[Leg, ...]:
    """List what a new version goes through before it answers alone."""
    if spec.strategy == "Canary":
        return tuple(Leg(s.weight, s.seconds) for s in spec.steps or STEPS)
    return (Leg(0, spec.hold_seconds or 0),)


def counts(spec: Template, probation: Probation, full: int) -> Counts:
    """Count the servers that the weight of now asks for, where `full` serve without a canary.

    Without a gateway a weight is a share of the servers. The old ones all stay as long as that can be, so that going
    back needs none to start; with more than half for the new version they get fewer, unless an autoscaler counts them.
    """
    if full == 0:
        return Counts(0, 0)
    step = probation.step or 0
    weight = probation.legs[min(step, len(probation.legs) - 1)].weight
    if step >= len(probation.legs) or weight == 0:
        return Counts(full, full)
    if spec.rollout.gateway_ref:
        return Counts(max(1, -(-full * weight // 100)), full)
    if weight <= MOST:
        return Counts(max(1, round(full * weight / (100 - weight))), full)
    return Counts(full, full if autoscaled(spec.scale) else max(1, round(full * (100 - weight) / weight)))


@dataclass(frozen=True)
class World:
    """What a probation is judged by, besides the new version's servers."""

    spec: Template
    full: int  # servers that serve without a canary
    blocked: Callable[[int], str] = lambda weight: ""  # why the requests are not split by that weight
    doubted: str = ""  # why the verdict that let it in does not stand now
    revoked: str = ""  # why that verdict speaks against it now


def begin(spec: Template) -> Probation:
    """Say where a version stands that has no server yet."""
    return Probation(legs_of(spec.rollout))


def return_(candidate: Server | None) -> Probation:
    """Say where a version stands that is gone back to: it answers as soon as its servers are ready."""
    return Probation(AT_ONCE, done=candidate is not None and candidate.settled)


def judge(known: Manifest, candidate: Server, world: World, looked: Callable[[Look], Look], now: datetime) -> Probation:
    """Judge a new version by what status.canary knows, its servers, and its numbers."""
    legs = legs_of(world.spec.rollout)
    mine = _of(known, candidate)
    step = min(int(mine["step"]), len(legs)) if "step" in mine else None
    here = Probation(legs, step, _moment(mine.get("since")), looks(known, candidate, world.spec.rollout))
    if step is None and not _ready(here, candidate, world):
        return here
    return _go_on(here, candidate, world, looked, now)


def began(known: Manifest, candidate: Server) -> datetime | None:
    """When the version's step began; None where nothing is looked at yet."""
    return _moment(_of(known, candidate).get("since"))


def looks(known: Manifest, candidate: Server, spec: Rollout) -> tuple[Look, ...]:
    """Read the looks so far at every number that the version must keep to."""
    before = {entry["name"]: entry for entry in _of(known, candidate).get("analysis", ())}
    return tuple(analysis.read(m, before.get(m.name, {})) for m in spec.metrics)


def _of(known: Manifest, candidate: Server) -> Manifest:
    """Take what status.canary says, if it says it of this version."""
    return known if known.get("engineDigest") == candidate.version.digest else {}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _ready(here: Probation, candidate: Server, world: World) -> bool:
    """Say whether the servers that this leg asks for are ready."""
    return candidate.settled and candidate.desired >= counts(world.spec, here, world.full).candidate


def _go_on(
    here: Probation, candidate: Server, world: World, looked: Callable[[Look], Look], now: datetime
) -> Probation:
    step = here.step or 0
    failed = _failed(candidate, world, here.looks)
    if step >= len(here.legs) or failed:
        return replace(here, failed=failed, done=not failed and _ready(here, candidate, world))
    begun, seen = replace(here, step=step), tuple(looked(x) for x in here.looks) if here.since else here.looks
    ready = _ready(here, candidate, world) and not world.blocked(begun.weight)
    since = here.since or (now if ready else None)
    stands = replace(begun, since=since, looks=seen, failed=_failed(candidate, world, seen))
    if stands.failed:
        return stands
    left = here.legs[step].seconds - (now - since).total_seconds() if since else 0.0
    if left > 0:
        return replace(stands, wake_after=_wake(seen, left, now))
    reason, why = _waits(stands, candidate, world)
    if not why:
        return _onward(stands, candidate, world)
    return replace(stands, waits=why, reason=reason, wake_after=_wake(seen, AGAIN, now))


def _onward(stands: Probation, candidate: Server, world: World) -> Probation:
    """Begin the next leg, or end. The time of a leg runs from when its servers are ready."""
    assert stands.step is not None
    next_ = replace(stands, step=stands.step + 1, since=None, wake_after=NEXT)
    return replace(next_, done=next_.step == len(next_.legs) and _ready(next_, candidate, world))


def _failed(candidate: Server, world: World, looks: tuple[Look, ...]) -> str:
    """Say why it must go back, if it must."""
    if candidate.failure:
        return f"a server of it ended: {candidate.failure.message}"
    if candidate.hopeless:
        return candidate.says
    if world.revoked:
        return world.revoked
    return "; ".join(f"{x.metric.name} {x.message} ({x.failures} looks failed)" for x in looks if x.failed)


def _waits(stands: Probation, candidate: Server, world: World) -> tuple[str, str]:
    """Say why it cannot go on now, if it cannot: what is not known is not fine."""
    if world.blocked(stands.weight):
        return Reason.GATEWAY_NOT_READY, world.blocked(stands.weight)
    if world.doubted:
        return Reason.VERDICT_MISSING, world.doubted
    if stands.since is None or not _ready(stands, candidate, world):
        return Reason.NOT_ALL_READY, "waits for its servers to be ready"
    unknown = [x for x in stands.looks if not x.passed_since(stands.since)]
    if not unknown:
        return Reason.CANARY, ""
    reason = next((x.reason for x in unknown if x.passed is None), Reason.CANARY)
    missing = any(x.passed is None for x in unknown)
    return (Reason.ANALYSIS_UNKNOWN if missing else reason), f"waits for {', '.join(x.metric.name for x in unknown)}"


def _wake(looks: tuple[Look, ...], left: float, now: datetime) -> float:
    """Look again when a number is due, or the leg is over."""
    return max(NEXT, min([look.due(now) for look in looks] + [left]))
