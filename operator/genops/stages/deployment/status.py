"""Say where a GenDeployment is, and why: its phase, its status, its conditions. Pure: facts in, words out."""

from genops.core.conditions import Condition
from genops.core.jobs import Failure
from genops.core.model import Happening, Manifest
from genops.core.reasons import Reason
from genops.core.reporting import Said
from genops.core.rules import Rule, always, first
from genops.stages.deployment import drift
from genops.stages.deployment.engine import BUILD
from genops.stages.deployment.facts import Facts
from genops.stages.deployment.parts import SERVE
from genops.stages.deployment.servers import Server, Version

FROM_PROBLEM = "(the problem's own)"
FROM_ENGINE = "(the building Job's own)"
FROM_SERVER = "(the server's own)"
FROM_PROBATION = "(the probation's own)"
PROGRESSING = ("Building", "Starting", "RollingOut")


def _while_nobody_answers(rule: Rule[Facts]) -> Rule[Facts]:
    return Rule(lambda f: not f.serving and rule.when(f), rule.phase, rule.reason, rule.say)


NOT_SERVING: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.problem is not None and f.problem.waits, "Pending", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.problem is not None, "Failed", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.parked, "Parked", Reason.PARKED, "{parked}"),
    Rule(lambda f: f.engine.failed, "Failed", FROM_ENGINE, "{engine}"),
    Rule(lambda f: f.building and bool(f.engine.job.stuck), "Building", Reason.POD_NOT_STARTED, "{stuck}"),
    Rule(
        lambda f: f.building and f.engine.job.attempts > 0,
        "Building",
        Reason.RETRYING,
        "Attempt {attempts} failed and is made again: {engine}",
    ),
    Rule(lambda f: f.building, "Building", Reason.BUILDING, "The engine is built and compared with the model"),
    Rule(lambda f: f.server is not None and f.server.hopeless, "Failed", FROM_SERVER, "{server}"),
    Rule(always, "Starting", FROM_SERVER, "{server}"),
)
RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.deleting, "Deleting", Reason.DELETING, "The object is being removed"),
    Rule(lambda f: f.suspended, "Suspended", Reason.SUSPENDED, "Set spec.suspend to false to go on"),
    *map(_while_nobody_answers, NOT_SERVING),
    Rule(lambda f: f.rolled_back, "Degraded", Reason.ROLLED_BACK, "{back}"),
    Rule(lambda f: bool(f.away), "RollingOut", Reason.ROLLED_BACK, "{back}"),
    Rule(lambda f: f.problem is not None and f.problem.waits, "Serving", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.problem is not None, "Degraded", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.engine.failed, "Degraded", FROM_ENGINE, "{engine}"),
    Rule(lambda f: f.building, "RollingOut", Reason.BUILDING, "The engine of the new version is built"),
    Rule(
        lambda f: f.rollout.candidate is not None and f.rollout.candidate.hopeless, "Degraded", FROM_SERVER, "{server}"
    ),
    Rule(lambda f: f.analysis is not None, "Degraded", Reason.ANALYSIS_FAILED, "{failed}"),
    Rule(lambda f: f.watched is not None, "RollingOut", FROM_PROBATION, "{watched}"),
    Rule(
        lambda f: f.rollout.routed != f.engine.id,
        "RollingOut",
        Reason.ROLLING_OUT,
        "The new version starts beside the old one: {server}",
    ),
    Rule(
        lambda f: not f.routed or f.rollout.switching,
        "RollingOut",
        Reason.SWITCHING,
        "Requests go to the new version now",
    ),
    Rule(lambda f: f.limps, "Degraded", FROM_SERVER, "{ready}: {server}"),
    Rule(lambda f: not f.settled, "RollingOut", Reason.NOT_ALL_READY, "{ready}"),
    Rule(always, "Serving", Reason.SERVING, "{ready}"),
)


def report(facts: Facts) -> Said:
    """Say where the deployment is, and why."""
    rule = first(RULES, facts)
    reason, message = _reason(rule, facts), _message(rule, facts)
    conditions = [
        _ready(facts, reason, message),
        Condition("Progressing", "True" if rule.phase in PROGRESSING else "False", reason, message),
        _engine_ready(facts, reason, message),
        _server_ready(facts, reason, message),
        _is_routed(facts),
        *_fallback(facts),
        *_rolled_back(facts),
        *_drifted(facts),
    ]
    return Said(_status(facts, rule), tuple(conditions), _happening(rule, reason, message))


def _reason(rule: Rule[Facts], facts: Facts) -> str:
    if rule.reason is FROM_PROBLEM and facts.problem:
        return facts.problem.reason
    if rule.reason is FROM_ENGINE and facts.engine.failure:
        return facts.engine.failure.reason
    if rule.reason is FROM_SERVER:
        return facts.server.reason if facts.server else Reason.CREATING
    if rule.reason is FROM_PROBATION and facts.watched:
        return facts.watched.reason
    return rule.reason


def _message(rule: Rule[Facts], facts: Facts) -> str:
    engine = facts.engine
    return rule.say.format(
        problem=facts.problem.message if facts.problem else "",
        engine=engine.failure.message if engine.failure else "",
        stuck=engine.job.stuck,
        attempts=engine.job.attempts,
        server=facts.server.says if facts.server else "Waits for its server to start",
        back=facts.back,
        parked=_parked(facts),
        failed=f"The new version {facts.analysis.message}; autoRollback is off: change the spec"
        if facts.analysis
        else "",
        watched=facts.watched.says if facts.watched else "",
        ready=_counted(facts),
    )


def _parked(facts: Facts) -> str:
    """What brings a server back."""
    if facts.host:
        return f"No server runs until a request comes to {facts.url} with Host: {facts.host}"
    return "No server runs; raise scale.min to serve"


def _counted(facts: Facts) -> str:
    stable = facts.rollout.stable
    host = f" with Host: {facts.host}" if facts.host else ""
    return f"{stable.ready} of {stable.desired} servers answer at {facts.url}{host}" if stable else ""


def _status(facts: Facts, rule: Rule[Facts]) -> Manifest:
    stable, candidate = facts.rollout.stable, facts.rollout.candidate
    said: Manifest = {
        "phase": rule.phase,
        "url": facts.url if facts.rollout.routed else None,
        "replicas": stable.desired if stable else 0,
        "readyReplicas": stable.ready if stable else 0,
        "selector": facts.selector,
        "stable": _stable(facts),
        "canary": _canary(facts, candidate) if candidate else None,
        "quarantined": list(facts.quarantined) or None,
        "engines": list(facts.version.engines) if facts.version else None,
        "drift": drift.status(facts.watching.findings, facts.known),
        "lastFailure": _last_failure(facts),
    }
    return {k: v for k, v in said.items() if v not in (None, [])}


def _stable(facts: Facts) -> Manifest | None:
    """The version that answers. One that never did is none."""
    stable, known = facts.rollout.stable, facts.known.get("stable") or {}
    if stable is None or not (stable.ready or known.get("engineDigest") == stable.version.digest):
        return None
    evaluation = {"evaluation": stable.version.evaluation} if stable.version.evaluation else {}
    return {**_version_status(stable.version), **evaluation}


def _version_status(version: Version) -> Manifest:
    named = {"digest": version.model, "engine": version.target, "engineDigest": version.digest}
    return {k: v for k, v in named.items() if v}


def _canary(facts: Facts, candidate: Server) -> Manifest:
    """The version that is to follow, its true share of the requests, and what must outlive a restart."""
    probation = facts.rollout.probation
    share = facts.rollout.weight if facts.by_gateway else facts.counts.share if facts.rollout.weight else 0
    return _version_status(candidate.version) | {"weight": share} | (probation.status() if probation else {})


def _last_failure(facts: Facts) -> Manifest | None:
    failure, known = facts.failure, facts.known.get("lastFailure")
    if failure is None or failure == Failure.read(known):
        return known
    return failure.status(BUILD if failure == facts.engine.failure else SERVE)


def _ready(facts: Facts, reason: str, message: str) -> Condition:
    """Whether requests are answered, be it by the version before."""
    if facts.serving and facts.rollout.routed:
        return Condition("Ready", "True", Reason.SERVING, _counted(facts))
    return Condition("Ready", "False", reason, message)


def _engine_ready(facts: Facts, reason: str, message: str) -> Condition:
    version = facts.engine.version
    if version is None:
        return Condition("EngineReady", "False" if facts.engine.failed else "Unknown", reason, message)
    return Condition("EngineReady", "True", Reason.ENGINE_READY, f"{version.target}, {version.digest}")


def _server_ready(facts: Facts, reason: str, message: str) -> Condition:
    server = facts.server
    if server is None:
        return Condition("ServerReady", "Unknown", reason, message)
    if server.settled and server.desired:
        return Condition("ServerReady", "True", Reason.SERVING, f"{server.ready} of {server.desired} servers are ready")
    if server.desired == 0:
        return Condition("ServerReady", "False", Reason.PARKED, _parked(facts))
    return Condition("ServerReady", "False", server.reason, server.says)


def _is_routed(facts: Facts) -> Condition:
    if facts.routed and facts.serving:
        return Condition("Routed", "True", Reason.SERVING, f"Requests to {facts.url} reach the server")
    return Condition("Routed", "False", Reason.NOT_ROUTED, "No request reaches a server yet")


def _fallback(facts: Facts) -> list[Condition]:
    """Said only where another engine serves than was asked for first."""
    version = facts.version
    if version is None or not version.engines or version.target == version.engines[0]["target"]:
        return []
    missed = [f"{e['target']} was not: {e['reason']}" for e in version.engines if e.get("reason")]
    if not missed:
        return []  # all could serve, and this one is the best by the objective
    return [Condition("EngineFallback", "True", Reason.FALLBACK, f"{version.target} serves; {'; '.join(missed)}")]


def _rolled_back(facts: Facts) -> list[Condition]:
    """Said where a version went back, or should and cannot."""
    if facts.rolled_back or facts.away:
        return [Condition("RolledBack", "True", Reason.ROLLED_BACK, facts.back)]
    found = next((f for f in facts.watching.findings if f.drifts and f.watch.action == "Rollback"), None)
    if found is None:
        return []
    text = f"{found.watch.name} drifted, and no version with other weights answered before"
    return [Condition("RolledBack", "False", Reason.NOTHING_BEFORE, text)]


def _drifted(facts: Facts) -> list[Condition]:
    """Said only where something is watched."""
    return [drift.condition(facts.watching.findings)] if facts.watching.findings else []


def _happening(rule: Rule[Facts], reason: str, message: str) -> Happening | None:
    """What is worth an event: that it serves, that it went back, or that something stands in the way."""
    if rule.phase == "Serving" and reason == Reason.SERVING:
        return Happening("Normal", reason, message)
    bad = rule.phase in ("Failed", "Degraded") or reason in (Reason.POD_NOT_STARTED, Reason.RETRYING, Reason.CRASH_LOOP)
    return Happening("Warning", reason, message) if bad else None
