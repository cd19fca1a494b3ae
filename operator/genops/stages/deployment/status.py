"""What is known of a GenDeployment, and how it is said.

What was built stands on the server that runs it, what was rolled back in the status; everything else is read anew. The
gate lets a version in, not on: a version that answers is never taken away because a verdict went.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from gencontract import layout
from gencontract.codes import Code, meaning
from gencontract.report import Report
from genops.core.conditions import Condition
from genops.core.digest import short_hash
from genops.core.jobs import Failure, JobFacts, age, read_job
from genops.core.kinds import (
    DEPLOYMENT,
    GEN_DATASET,
    GEN_EVALUATION,
    GEN_TRAINING_JOB,
    JOB,
    POD,
    SCALED_OBJECT,
    SERVICE,
)
from genops.core.model import Happening, Key, Manifest, Resource, Seen
from genops.core.names import child_name
from genops.core.podspec import store_uri
from genops.core.reasons import Reason
from genops.core.reporting import Handover, Said, data_of, engine_status, weights_of
from genops.core.rules import Rule, always, first
from genops.stages.deployment.rollout import VERSION, Rollout, Server, Version, decide, read_servers
from genops.stages.deployment.spec import Requires, Spec

BUILD, SERVE = "optimize", "serve"
UNSUPPORTED = meaning(Code.UNSUPPORTED).reason
MISMATCH = meaning(Code.DIGEST_MISMATCH).reason
# A Job that failed for what the world was like is made again after this long, in seconds.
RETRY_AFTER = 300
# Ends that only another spec or another model changes.
FINAL = frozenset(meaning(c).reason for c in (Code.BAD_CONFIG, Code.UNSUPPORTED, Code.NO_ENGINE, Code.OUT_OF_TOLERANCE))

NO_JOB = JobFacts()


# --- facts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Why the model that the spec names is not served. `waits` says that it comes right by itself."""

    reason: str
    message: str
    waits: bool = False


@dataclass(frozen=True)
class Engine:
    """What is known of the engine that the spec asks for."""

    id: str = ""
    job: JobFacts = NO_JOB
    manifest: Manifest | None = None
    version: Version | None = None
    failure: Failure | None = None
    stale: bool = False  # the Job has failed long enough ago to be made again
    wake_after: float | None = None

    @property
    def failed(self) -> bool:
        """Say whether it could not be built."""
        return self.version is None and self.failure is not None and self.job.finished


@dataclass(frozen=True)
class Facts:
    """The world of one GenDeployment, read once."""

    deleting: bool
    suspended: bool
    problem: Problem | None
    model: Handover
    data: Handover | None
    evaluation: str
    engine: Engine
    rollout: Rollout
    quarantined: tuple[str, ...]
    targets: tuple[str, ...]
    watches: bool
    url: str
    selector: str
    routed: bool  # the Service selects whom it should
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
        return bool(self.model.digest) and self.model.digest in self.quarantined and not self.problem

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
        if gone is None:
            return str(_condition(self.known, "RolledBack").get("message", ""))
        stays = self.rollout.stable.version.model if self.rollout.stable else ""
        return f"{gone.version.model} never got ready: {gone.says}. {stays} goes on; change the spec for another try"

    @property
    def failure(self) -> Failure | None:
        """What went wrong last, be it now or before."""
        back = self.rollout.gone_back
        last = self.known.get("lastFailure")
        return self.engine.failure or (back and back.failure) or (self.server and self.server.failure) or _read(last)

    @property
    def wake_after(self) -> float | None:
        """When to look again without being told."""
        return None if self.deleting or self.suspended else self.engine.wake_after


# --- reading ---------------------------------------------------------------------------------------------------------


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    model, data, servers = _model(obj, seen), _data(obj, seen), read_servers_of(obj, seen)
    evaluation, gate = _gate(obj, seen, model, servers)
    problem = _unsupported(obj.spec, seen) or _unready(obj, model, data) or gate
    engine = Engine() if problem else _engine(obj, seen, servers, evaluation, now)
    banned = _quarantined(obj)
    rollout = _decided(obj, seen, None if obj.spec.suspend else engine.version, servers, banned)
    if rollout.gone_back and rollout.gone_back.version.model not in banned:
        banned = (*banned, rollout.gone_back.version.model)
    return Facts(
        deleting=obj.deleting,
        suspended=obj.spec.suspend,
        problem=problem,
        model=model,
        data=data,
        evaluation=evaluation,
        engine=engine,
        rollout=rollout,
        quarantined=banned,
        targets=tuple(obj.spec.optimize.targets) if obj.spec.optimize else ("torch",),
        watches=bool(obj.spec.drift),
        url=f"http://{service_name(obj)}.{obj.namespace}.svc:{layout.PORT_HTTP}",
        selector=",".join(f"{k}={v}" for k, v in sorted(pods_of(obj).items())),
        routed=bool(rollout.routed) and _routed(obj, seen) == rollout.routed,
        known=obj.status,
    )


def identity(obj: Resource[Spec], model: Handover, data: Handover | None) -> Manifest:
    """Everything that decides what the engine will be. Data that it is only checked by do not count."""
    spec = obj.spec
    asked = (
        spec.optimize.model_dump(mode="json", by_alias=True, exclude={"resources", "template"}) if spec.optimize else {}
    )
    batching = spec.server.dynamic_batching
    counts = spec.optimize is not None and (spec.optimize.precision == "int8" or spec.optimize.dataset_ref is not None)
    return {
        "model": model.digest or model.uri,
        "optimize": asked,
        "instances": spec.server.instances,
        "batching": batching.model_dump(mode="json", by_alias=True) if batching else None,
        "data": data.digest if data and counts else None,
    }


def pods_of(obj: Resource[Spec]) -> dict[str, str]:
    """Labels that every server pod of this object has, whichever its version."""
    return {layout.LABEL_OWNER_UID: obj.uid, layout.LABEL_ROLE: SERVE}


def service_name(obj: Resource[Spec]) -> str:
    """Name the Service. It starts with a letter, as Services must."""
    name = child_name(obj.name, SERVE)
    return name if name[0].isalpha() else f"s-{name}"


def current(obj: Resource[Spec], seen: Seen) -> Manifest | None:
    """Find the Job that builds what the spec asks for, while no server carries its outcome."""
    inputs = identity(obj, _model(obj, seen), _data(obj, seen))
    if short_hash([obj.uid, inputs]) in read_servers_of(obj, seen):
        return None
    return seen.child(JOB, child_name(obj.name, BUILD, [obj.uid, inputs]))


def read_servers_of(obj: Resource[Spec], seen: Seen) -> dict[str, Server]:
    """Read the servers of this object, with their pods."""
    mine = pods_of(obj).items()
    pods = [p for p in seen.referred(POD) if mine <= (p["metadata"].get("labels") or {}).items()]
    return read_servers(seen.children.get(DEPLOYMENT, ()), pods)


def _model(obj: Resource[Spec], seen: Seen) -> Handover:
    model = obj.spec.model
    if model.training_job_ref:
        return weights_of(Key(GEN_TRAINING_JOB, obj.namespace, model.training_job_ref.name), seen)
    return Handover(model.uri or "", model.uri or "", model.digest or "")


def _data(obj: Resource[Spec], seen: Seen) -> Handover | None:
    """The data to calibrate and to check by: named by the spec, or what the model was trained on, as it was then."""
    optimize, ref = obj.spec.optimize, obj.spec.model.training_job_ref
    if optimize and optimize.dataset_ref:
        return data_of(Key(GEN_DATASET, obj.namespace, optimize.dataset_ref.name), seen)
    run = seen.references.get(Key(GEN_TRAINING_JOB, obj.namespace, ref.name), {}) if ref else {}
    digest = ((run.get("status") or {}).get("inputs") or {}).get("datasetDigest", "")
    spec = run.get("spec", {})
    if spec.get("datasetUri"):
        return Handover(spec["datasetUri"], spec["datasetUri"], digest)
    name = spec.get("datasetRef", {}).get("name", "")
    found = data_of(Key(GEN_DATASET, obj.namespace, name), seen) if name else None
    return found if found and not found.why_not and digest in ("", found.digest) else None


def _quarantined(obj: Resource[Spec]) -> tuple[str, ...]:
    """Weights that were rolled back; another spec gives them another chance."""
    same = obj.status.get("observedGeneration") == obj.generation
    return tuple(obj.status.get("quarantined", ())) if same else ()


def _routed(obj: Resource[Spec], seen: Seen) -> str:
    """Which version the Service selects now."""
    service = seen.child(SERVICE, service_name(obj)) or {}
    return str((service.get("spec", {}).get("selector") or {}).get(VERSION, ""))


def _decided(
    obj: Resource[Spec], seen: Seen, wanted: Version | None, servers: dict[str, Server], banned: tuple[str, ...]
) -> Rollout:
    rollout, known = obj.spec.rollout, (obj.status.get("stable") or {}).get("engineDigest")
    recorded = next((s.id for s in servers.values() if s.version.digest == known), "")
    routed = _routed(obj, seen) or recorded
    return decide(wanted, servers, routed, rollout.strategy, rollout.auto_rollback, banned)


# --- what stands in the way ------------------------------------------------------------------------------------------


def _unsupported(spec: Spec, seen: Seen) -> Problem | None:
    """What the spec asks for and nobody does yet: refused, never ignored."""
    rollout = spec.rollout
    asked = {
        "rollout.strategy Shadow": rollout.strategy == "Shadow",
        "rollout.steps": bool(rollout.steps),
        "rollout.metrics": bool(rollout.metrics),
        "rollout.holdSeconds": rollout.hold_seconds is not None,
        "rollout.gatewayRef": rollout.gateway_ref is not None,
        "capture": spec.capture is not None,
    }
    named = [name for name, is_asked in asked.items() if is_asked]
    if named:
        return Problem(UNSUPPORTED, f"{', '.join(named)}: not done by this operator yet; leave it out")
    return _unscalable(spec, seen)


def _unscalable(spec: Spec, seen: Seen) -> Problem | None:
    metric = spec.scale.metric
    if metric in (None, "cpu"):
        return None
    lacking = [] if SCALED_OBJECT in seen.present else ["KEDA, whose ScaledObject this cluster does not serve"]
    lacking += [] if seen.config.prometheus else ["Prometheus, whose address the operator was not told"]
    if not lacking:
        return None
    return Problem(
        Reason.AUTOSCALER_MISSING,
        f"scale.metric {metric} needs {' and '.join(lacking)}; install it, or use metric cpu, or leave max out",
    )


def _unready(obj: Resource[Spec], model: Handover, data: Handover | None) -> Problem | None:
    """Model or data that are not there, or are not the ones that were named."""
    said = obj.spec.model.digest
    if model.why_not:
        return Problem(Reason.WAITING_FOR_REFERENCE, model.why_not, waits=True)
    if said and model.digest != said:
        text = f"{model.what} has output {model.digest}, spec.model.digest is {said}; mend either"
        return Problem(MISMATCH, text)
    if data and data.why_not:
        return Problem(Reason.WAITING_FOR_REFERENCE, data.why_not, waits=True)
    if data is None and obj.spec.optimize and obj.spec.optimize.precision == "int8":
        text = "optimize.precision int8 is calibrated on data, and those the model was trained on are not here any more"
        return Problem(Reason.WAITING_FOR_REFERENCE, f"{text}; set optimize.datasetRef", waits=True)
    return None


def _gate(obj: Resource[Spec], seen: Seen, model: Handover, servers: dict[str, Server]) -> tuple[str, Problem | None]:
    """Find the verdict that lets the model in: its evaluation's name, or why there is none."""
    requires = obj.spec.requires
    if requires is None:
        return "", None
    let_in = next((s.version.evaluation for s in servers.values() if _let_in(s, requires, model)), "")
    if let_in:
        return let_in, None
    if not model.digest:
        text = "A verdict is about a digest: set spec.model.digest to that of the weights that were evaluated"
        return "", Problem(Reason.VERDICT_OF_ANOTHER_MODEL, text)
    found = _evaluation(obj, seen, requires, model)
    what = f"GenEvaluation/{requires.evaluation_ref.name}" if requires.evaluation_ref else "a GenEvaluation"
    if found is None:
        labels = "" if requires.evaluation_ref else f" of {model.digest} with the labels of spec.requires.selector"
        return "", Problem(Reason.VERDICT_MISSING, f"Waits for {what}{labels}; create it", waits=True)
    return found["metadata"]["name"], _verdict_problem(found, model)


def _let_in(server: Server, requires: Requires, model: Handover) -> bool:
    """A version that runs has passed the gate, and need not pass the same one again."""
    ref, version = requires.evaluation_ref, server.version
    same = bool(version.evaluation) if ref is None else version.evaluation == ref.name
    return same and bool(model.digest) and version.model == model.digest


def _evaluation(obj: Resource[Spec], seen: Seen, requires: Requires, model: Handover) -> Manifest | None:
    if requires.evaluation_ref:
        return seen.references.get(Key(GEN_EVALUATION, obj.namespace, requires.evaluation_ref.name))
    labels = requires.selector.match_labels.items() if requires.selector else {}.items()
    fits = [
        e
        for e in seen.referred(GEN_EVALUATION)
        if labels <= (e["metadata"].get("labels") or {}).items() and _judged(e) == model.digest
    ]
    return max(
        fits, key=lambda e: (str(e["metadata"].get("creationTimestamp", "")), e["metadata"]["name"]), default=None
    )


def _judged(evaluation: Manifest) -> str:
    return str(((evaluation.get("status") or {}).get("inputs") or {}).get("subjectDigest", ""))


def _verdict_problem(evaluation: Manifest, model: Handover) -> Problem | None:
    what, status = f"GenEvaluation/{evaluation['metadata']['name']}", evaluation.get("status") or {}
    complete = _condition(status, "Complete")
    detail = f"{complete.get('reason', '')}: {complete.get('message', '')}".strip(": ")
    if complete.get("status") != "True":
        return Problem(Reason.VERDICT_MISSING, f"Waits for {what}. {detail}".rstrip(". "), waits=True)
    if _judged(evaluation) != model.digest:
        text = f"{what} judged {_judged(evaluation) or 'weights without a digest'}, to be served is {model.digest}"
        return Problem(Reason.VERDICT_OF_ANOTHER_MODEL, f"{text}; evaluate that one")
    if status.get("verdict") != "Passed":
        text = f"{what} says {status.get('verdict')}: {detail}; serve a model that passes, or name its evaluation"
        return Problem(Reason.VERDICT_NOT_PASSED, text)
    return None


# --- the engine ------------------------------------------------------------------------------------------------------


def _engine(obj: Resource[Spec], seen: Seen, servers: dict[str, Server], evaluation: str, now: datetime) -> Engine:
    model = _model(obj, seen)
    inputs = identity(obj, model, _data(obj, seen))
    id, name = short_hash([obj.uid, inputs]), child_name(obj.name, BUILD, [obj.uid, inputs])
    manifest, running = seen.child(JOB, name), servers.get(id)
    job = read_job(manifest, seen.pods.get(name, ()))
    if running:
        return Engine(id, job, manifest, running.version)
    known = Engine(id, job, manifest, failure=job.failure, wake_after=job.poll_after)
    if job.succeeded:
        return _built(known, model, evaluation)
    return _given_up(known, now) if job.failed else known


def _built(engine: Engine, model: Handover, evaluation: str) -> Engine:
    """Take what the pod reported. A report that was lost with its pod is had by building again, out of the cache."""
    said = engine.job.report
    if said is None or said.artifact is None:
        why = Failure(Reason.NO_REPORT, "The pod that built left no report; the engine is built again")
        return replace(engine, failure=why, stale=True, wake_after=1.0)
    return replace(engine, version=_version(engine.id, said, model, evaluation), failure=None)


def _version(id: str, said: Report, model: Handover, evaluation: str) -> Version:
    assert said.artifact is not None
    target = next((e.target for e in said.engines if e.chosen), "")
    table = tuple(engine_status(e) for e in said.engines)
    return Version(id, model.digest, store_uri(said.artifact.uri), said.artifact.digest, target, evaluation, table)


def _given_up(engine: Engine, now: datetime) -> Engine:
    """A Job that failed for good is made again after a while, when mending the world may have helped."""
    if engine.failure is None or engine.failure.reason in FINAL:
        return engine
    left = RETRY_AFTER - age(_ended_at(engine.manifest), now)
    return replace(engine, stale=left <= 0, wake_after=max(1.0, left))


def _ended_at(manifest: Manifest | None) -> str:
    conditions = ((manifest or {}).get("status") or {}).get("conditions", ())
    return str(next(c["lastTransitionTime"] for c in conditions if c["type"] == "Failed"))


def _read(last: Manifest | None) -> Failure | None:
    """Read a failure back that was written before."""
    if not last:
        return None
    return Failure(
        last.get("reason", ""),
        last.get("message", ""),
        last.get("pod", ""),
        last.get("exitCode"),
        bool(last.get("retryable", False)),
        last.get("time", ""),
    )


def _condition(status: Manifest, kind: str) -> Manifest:
    return next((c for c in status.get("conditions", ()) if c.get("type") == kind), {})


# --- saying ----------------------------------------------------------------------------------------------------------

FROM_PROBLEM = "(the problem's own)"
FROM_ENGINE = "(the building Job's own)"
FROM_SERVER = "(the server's own)"
PROGRESSING = ("Building", "Starting", "RollingOut")


def _while_nobody_answers(rule: Rule[Facts]) -> Rule[Facts]:
    return Rule(lambda f: not f.serving and rule.when(f), rule.phase, rule.reason, rule.say)


NOT_SERVING: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.problem is not None and f.problem.waits, "Pending", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.problem is not None, "Failed", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.parked, "Parked", Reason.PARKED, "No server runs; raise scale.min to serve"),
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
    Rule(lambda f: f.problem is not None and f.problem.waits, "Serving", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.problem is not None, "Degraded", FROM_PROBLEM, "{problem}"),
    Rule(lambda f: f.engine.failed, "Degraded", FROM_ENGINE, "{engine}"),
    Rule(lambda f: f.building, "RollingOut", Reason.BUILDING, "The engine of the new version is built"),
    Rule(
        lambda f: f.rollout.candidate is not None and f.rollout.candidate.hopeless, "Degraded", FROM_SERVER, "{server}"
    ),
    Rule(
        lambda f: f.rollout.routed != f.engine.id,
        "RollingOut",
        Reason.ROLLING_OUT,
        "The new version starts beside the old one: {server}",
    ),
    Rule(
        lambda f: not f.routed or bool(f.rollout.kept),
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
        ready=_counted(facts),
    )


def _counted(facts: Facts) -> str:
    stable = facts.rollout.stable
    return f"{stable.ready} of {stable.desired} servers answer at {facts.url}" if stable else ""


def _status(facts: Facts, rule: Rule[Facts]) -> Manifest:
    stable, candidate = facts.rollout.stable, facts.rollout.candidate
    said: Manifest = {
        "phase": rule.phase,
        "url": facts.url if facts.rollout.routed else None,
        "replicas": stable.desired if stable else 0,
        "readyReplicas": stable.ready if stable else 0,
        "selector": facts.selector,
        "stable": _stable(facts),
        "canary": _version_status(candidate.version) | {"weight": 0} if candidate else None,
        "quarantined": list(facts.quarantined) or None,
        "engines": list(facts.version.engines) if facts.version else None,
        "lastFailure": _last_failure(facts),
    }
    return {k: v for k, v in said.items() if v not in (None, [])}


def _stable(facts: Facts) -> Manifest | None:
    """The version that answers. One that never did is none."""
    stable, known = facts.rollout.stable, facts.known.get("stable") or {}
    if stable is None or not (stable.ready or known.get("engineDigest") == stable.version.digest):
        return None
    named = {"engineDigest": stable.version.digest, "evaluation": stable.version.evaluation}
    return {k: v for k, v in {**_version_status(stable.version), **named}.items() if v}


def _version_status(version: Version) -> Manifest:
    return {k: v for k, v in {"digest": version.model, "engine": version.target}.items() if v}


def _last_failure(facts: Facts) -> Manifest | None:
    failure, known = facts.failure, facts.known.get("lastFailure")
    if failure is None or failure == _read(known):
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
        return Condition("ServerReady", "False", Reason.PARKED, "No server runs; raise scale.min to serve")
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
    return [Condition("RolledBack", "True", Reason.ROLLED_BACK, facts.back)] if facts.rolled_back else []


def _drifted(facts: Facts) -> list[Condition]:
    """What nobody measures is not known; that is never said as fine."""
    if not facts.watches:
        return []
    return [Condition("Drifted", "Unknown", Reason.NOT_WATCHED, "Drift is not measured by this operator yet")]


def _happening(rule: Rule[Facts], reason: str, message: str) -> Happening | None:
    """What is worth an event: that it serves, that it went back, or that something stands in the way."""
    if rule.phase == "Serving" and reason == Reason.SERVING:
        return Happening("Normal", reason, message)
    bad = rule.phase in ("Failed", "Degraded") or reason in (Reason.POD_NOT_STARTED, Reason.RETRYING, Reason.CRASH_LOOP)
    return Happening("Warning", reason, message) if bad else None
