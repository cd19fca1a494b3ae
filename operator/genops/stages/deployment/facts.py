"""Read the world of a GenDeployment once: what is wanted, what runs, how far a new version has come.

What was built stands on the server that runs it, what was rolled back in the status; everything else is read anew.
Knows nothing of phases, conditions and words.
"""

from dataclasses import dataclass
from datetime import datetime

from gencontract import layout
from genops.core.jobs import Failure
from genops.core.kinds import DEPLOYMENT, GEN_EVALUATION, POD
from genops.core.model import Key, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.stages.deployment import analysis, canary, drift, scaling, traffic
from genops.stages.deployment.canary import Counts, Probation, World
from genops.stages.deployment.drift import Watching
from genops.stages.deployment.engine import Engine, building_job, engine_id, read_engine
from genops.stages.deployment.gate import Inputs, Problem, admit, condition_of, read_inputs
from genops.stages.deployment.parts import pods_of, service_name
from genops.stages.deployment.rollout import Rollout, decide
from genops.stages.deployment.servers import Server, Version, read_servers, strength
from genops.stages.deployment.spec import Spec
from genops.stages.deployment.traffic import Routing

SOON = 1.0  # seconds until what was written is looked at


@dataclass(frozen=True)
class Facts:
    """The world of one GenDeployment, read once."""

    deleting: bool
    suspended: bool
    problem: Problem | None
    inputs: Inputs
    engine: Engine
    rollout: Rollout
    counts: Counts  # servers of the version that is to follow, and of the one that answers
    quarantined: tuple[str, ...]
    watching: Watching
    away: str  # why the version that answers is left for the one before
    routing: Routing  # how the Service stands
    url: str
    host: str  # that requests must name, where their address does not
    selector: str
    routed: bool  # the Service selects whom it should
    by_gateway: bool  # a Gateway splits the requests
    known: Manifest  # the status as it was written last

    @property
    def server(self) -> Server | None:
        """The server that the spec is about: whoever is to follow, or whoever answers."""
        return self.rollout.candidate or self.rollout.stable

    @property
    def version(self) -> Version | None:
        """The version that the spec asks for, or the one that answers while that is built."""
        return self.engine.version or (self.rollout.stable.version if self.rollout.stable else None)

    @property
    def serving(self) -> bool:
        """Say whether somebody answers."""
        return self.rollout.stable is not None and self.rollout.stable.ready > 0

    @property
    def parked(self) -> bool:
        """Say whether no server is to run."""
        settled = self.engine.version is not None and self.rollout.candidate is None
        return settled and self.rollout.stable is not None and self.rollout.stable.desired == 0

    @property
    def rolled_back(self) -> bool:
        """Say whether the model that the spec names was rolled back."""
        waits = self.rollout.routed != self.engine.id and not self.problem
        return waits and self.inputs.model.digest in self.quarantined

    @property
    def building(self) -> bool:
        """Say whether the engine is still to come."""
        return not self.problem and not self.rolled_back and self.engine.version is None and not self.engine.failed

    @property
    def settled(self) -> bool:
        """Say whether every server that is asked for answers."""
        return self.rollout.stable is not None and self.rollout.stable.settled

    @property
    def limps(self) -> bool:
        """Say whether some servers answer, and others cannot."""
        stable = self.rollout.stable
        return stable is not None and not stable.settled and (stable.hopeless or bool(stable.failure or stable.stuck))

    @property
    def back(self) -> str:
        """Why the model that the spec names was rolled back."""
        gone = self.rollout.gone_back
        if self.away:
            return self.away
        if gone is None:
            return str(condition_of(self.known, "RolledBack").get("message", ""))
        what = f"{gone.version.target} of {gone.version.model}"
        why, probation = f"never got ready: {gone.says}", self.rollout.probation
        if probation and probation.begun:
            share = f" with {probation.weight} per cent of the requests" if probation.weight else ""
            why = f"went back{share}: {probation.failed or gone.says}"
        return f"{what} {why}. The version before goes on; change the spec for another try"

    @property
    def failure(self) -> Failure | None:
        """What went wrong last, be it now or before."""
        servers = [s.failed for s in (self.rollout.gone_back, self.server) if s and s.failed]
        found = [self.engine.failure, *servers, self.analysis, Failure.read(self.known.get("lastFailure"))]
        return next((f for f in found if f), None)

    @property
    def analysis(self) -> Failure | None:
        """What the new version did not keep to, if it was watched and failed."""
        probation = self.rollout.probation
        return Failure(Reason.ANALYSIS_FAILED, probation.failed) if probation and probation.failed else None

    @property
    def watched(self) -> Probation | None:
        """The probation of the new version, once it has begun."""
        probation = self.rollout.probation
        return probation if self.rollout.candidate and probation and probation.begun else None

    @property
    def wake_after(self) -> float | None:
        """When to look again without being told. What the operator writes itself does not wake it."""
        if self.deleting or self.suspended:
            return None
        soon = self.rollout.routed and (not self.routed or self.rollout.switching)
        probation = self.rollout.probation
        times = [SOON if soon else self.engine.wake_after, self.watching.wake_after]
        times += [probation.wake_after] if probation and self.rollout.candidate else []
        return min((t for t in times if t is not None), default=None)


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    inputs, servers = read_inputs(obj, seen), read_servers_of(obj, seen)
    evaluation, problem = admit(obj, seen, inputs, servers)
    engine = Engine() if problem else read_engine(obj, seen, inputs, servers, evaluation, now)
    banned, routing = _quarantined(obj), traffic.read(obj, seen)
    watching = drift.read(obj, seen, watched(obj, seen), inputs.data.what if inputs.data else "", now)
    away = _away(obj, engine.version, routing, watching, banned)
    if away and engine.version and engine.version.model not in banned:
        banned = (*banned, engine.version.model)
    rollout = _decided(obj, seen, None if obj.spec.suspend else engine.version, servers, banned, now)
    if rollout.gone_back and rollout.gone_back.version.model not in banned:
        banned = (*banned, rollout.gone_back.version.model)
    return Facts(
        deleting=obj.deleting,
        suspended=obj.spec.suspend,
        problem=problem,
        inputs=inputs,
        engine=engine,
        rollout=rollout,
        counts=_counts(obj, rollout),
        quarantined=banned,
        watching=watching,
        away=away,
        routing=routing,
        url=_url(obj),
        host=scaling.host(obj) if obj.spec.scale.idle_to_zero_after_seconds else "",
        selector=",".join(f"{k}={v}" for k, v in sorted(pods_of(obj).items())),
        routed=bool(rollout.routed) and routing == traffic.wanted(obj, rollout, routing),
        by_gateway=obj.spec.rollout.gateway_ref is not None,
        known=obj.status,
    )


def current(obj: Resource[Spec], seen: Seen) -> Manifest | None:
    """Find the Job that builds what the spec asks for, while no server carries its outcome."""
    inputs = read_inputs(obj, seen)
    carried = engine_id(obj, inputs) in read_servers_of(obj, seen)
    return None if carried else building_job(obj, seen, inputs)


def _url(obj: Resource[Spec]) -> str:
    """Where to send requests: to whoever holds them, or through the Gateway where it has a name for them."""
    gateway = obj.spec.rollout.gateway_ref
    if obj.spec.scale.idle_to_zero_after_seconds:
        return scaling.ADD_ON_PROXY
    if gateway and gateway.hostname and "*" not in gateway.hostname:
        return f"http://{gateway.hostname}"
    return f"http://{service_name(obj)}.{obj.namespace}.svc:{layout.PORT_HTTP}"


def read_servers_of(obj: Resource[Spec], seen: Seen) -> dict[str, Server]:
    """Read the servers of this object, with their pods."""
    mine = pods_of(obj).items()
    pods = [p for p in seen.referred(POD) if mine <= (p["metadata"].get("labels") or {}).items()]
    return read_servers(seen.children.get(DEPLOYMENT, ()), pods)


def _quarantined(obj: Resource[Spec]) -> tuple[str, ...]:
    """Weights that were rolled back; another spec gives them another chance."""
    same = obj.status.get("observedGeneration") == obj.generation
    return tuple(obj.status.get("quarantined", ())) if same else ()


def watched(obj: Resource[Spec], seen: Seen) -> str:
    """Whose traffic tells of drift: the version that answers, while a server of it does."""
    version = traffic.read(obj, seen).stable
    server = read_servers_of(obj, seen).get(version)
    return version if server and server.ready else ""


def _decided(
    obj: Resource[Spec],
    seen: Seen,
    wanted: Version | None,
    servers: dict[str, Server],
    banned: tuple[str, ...],
    now: datetime,
) -> Rollout:
    rollout, known = obj.spec.rollout, (obj.status.get("stable") or {}).get("engineDigest")
    recorded = next((s.id for s in servers.values() if s.version.digest == known), "")
    routing = traffic.read(obj, seen)
    routed = routing.stable or recorded
    if wanted and wanted.id == routed and wanted.model in banned and routing.before:
        return decide(
            routing.before, servers, routed, lambda candidate, _: canary.return_(candidate), quarantined=banned
        )

    def judge(candidate: Server | None, serving: Server) -> Probation:
        if candidate is None:
            return canary.begin(obj.spec)
        world = _world(obj, seen, candidate, serving)
        return canary.judge(
            obj.status.get("canary") or {}, candidate, world, lambda look: analysis.look(look, seen, now), now
        )

    return decide(wanted, servers, routed, judge, rollout.strategy, rollout.auto_rollback, banned)


def _away(
    obj: Resource[Spec], version: Version | None, routing: Routing, watching: Watching, banned: tuple[str, ...]
) -> str:
    """Say why the version that answers is left for the one before, if a drift with action Rollback asks for it."""
    before = routing.before
    if version is None or version.id != routing.stable or before is None or before.model in (version.model, *banned):
        return ""
    if version.model in banned:
        return str(condition_of(obj.status, "RolledBack").get("message", ""))
    found = next((f for f in watching.findings if f.drifts and f.watch.action == "Rollback"), None)
    if found is None:
        return ""
    what = f"{version.target} of {version.model} drifted: {found.watch.name}: {found.message}"
    return f"{what}. {before.target} of {before.model} goes on; change the spec for another try"


def questions(obj: Resource[Spec], seen: Seen, now: datetime) -> dict[str, str]:
    """Write what is to be asked about a new version that stands beside the one that answers."""
    servers, stable = read_servers_of(obj, seen), traffic.read(obj, seen).stable
    candidate = servers.get(engine_id(obj, read_inputs(obj, seen)))
    if candidate is None or candidate.id == stable or not candidate.ready:
        return {}
    known = obj.status.get("canary") or {}
    since = canary.began(known, candidate)
    if since is None:
        return {}
    looks = canary.looks(known, candidate, obj.spec.rollout)
    return analysis.asks(analysis.About(obj, candidate.id, stable, since), looks, now)


def _world(obj: Resource[Spec], seen: Seen, candidate: Server, serving: Server) -> World:
    doubted, revoked = _standing(obj, seen, candidate.version)
    full = strength(obj.spec.scale, serving.desired)
    return World(obj.spec, full, lambda weight: traffic.why_not_split(obj, seen, weight), doubted, revoked)


def _standing(obj: Resource[Spec], seen: Seen, version: Version) -> tuple[str, str]:
    """Say how the verdict that let a version in stands now: why it is in doubt, or why it is taken back."""
    if not version.evaluation:
        return "", ""
    what = f"GenEvaluation/{version.evaluation}"
    found = seen.references.get(Key(GEN_EVALUATION, obj.namespace, version.evaluation))
    said = ((found or {}).get("status") or {}).get("verdict", "")
    if said == "Passed":
        return "", ""
    return ("", f"{what} says Failed by now") if said == "Failed" else (f"{what} has no verdict Passed by now", "")


def _counts(obj: Resource[Spec], rollout: Rollout) -> Counts:
    """Count the servers of the version that is to follow, and of the one that answers."""
    running = rollout.stable.desired if rollout.stable else None
    full = strength(obj.spec.scale, running)
    waiting = rollout.wanted is not None and rollout.routed != rollout.wanted.id
    return canary.counts(obj.spec, rollout.probation, full) if waiting and rollout.probation else Counts(full, full)
