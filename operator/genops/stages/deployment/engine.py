"""Know the engine that a spec asks for: what it depends on, the Job that builds it, and what came of it.

What was built stands on the server that runs it, so that neither Job nor pod need be kept. A Job that failed for what
the world was like is made again after a while; one that failed for its inputs is not.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from gencontract.codes import Code, meaning
from gencontract.report import Report
from genops.core.digest import short_hash
from genops.core.jobs import Failure, JobFacts, age, read_job
from genops.core.kinds import JOB
from genops.core.model import Manifest, Resource, Seen
from genops.core.names import child_name
from genops.core.podspec import store_uri
from genops.core.reasons import Reason
from genops.core.reporting import engine_status
from genops.core.schema import SpecModel
from genops.stages.deployment.gate import Inputs
from genops.stages.deployment.servers import Server, Version
from genops.stages.deployment.spec import Spec

BUILD = "optimize"
# A Job that failed for what the world was like is made again after this long, in seconds.
RETRY_AFTER = 300
# Ends that only another spec or another model changes.
FINAL = frozenset(meaning(c).reason for c in (Code.BAD_CONFIG, Code.UNSUPPORTED, Code.NO_ENGINE, Code.OUT_OF_TOLERANCE))
NO_JOB = JobFacts()


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


def identity(obj: Resource[Spec], inputs: Inputs) -> Manifest:
    """Everything that decides what the engine will be. Data that it is only checked by do not count."""
    spec, model, data = obj.spec, inputs.model, inputs.data
    asked = _plain(spec.optimize, {"resources", "template"}) if spec.optimize else {}
    batching = spec.server.dynamic_batching
    counts = spec.optimize is not None and (spec.optimize.precision == "int8" or spec.optimize.dataset_ref is not None)
    return {
        "model": model.digest or model.uri,
        "optimize": asked,
        "instances": spec.server.instances,
        "batching": _plain(batching) if batching else None,
        "data": data.digest if data and counts else None,
    }


def _plain(part: SpecModel, without: set[str] | None = None) -> Manifest:
    """What was said other than the defaults: a field that a newer operator adds changes no engine."""
    return dict(part.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=without))


def read_engine(
    obj: Resource[Spec], seen: Seen, inputs: Inputs, servers: dict[str, Server], evaluation: str, now: datetime
) -> Engine:
    """Read what is known of the engine that is wanted now."""
    id, manifest = engine_id(obj, inputs), building_job(obj, seen, inputs)
    job = read_job(manifest, seen.pods.get(manifest["metadata"]["name"], ()) if manifest else ())
    if id in servers:
        return Engine(id, job, manifest, servers[id].version)
    known = Engine(id, job, manifest, failure=job.failure, wake_after=job.poll_after)
    if job.succeeded:
        return _built(known, inputs.model.digest, evaluation)
    return _given_up(known, now) if job.failed else known


def engine_id(obj: Resource[Spec], inputs: Inputs) -> str:
    """Name the engine by everything that decides what it is."""
    return short_hash([obj.uid, identity(obj, inputs)])


def building_job(obj: Resource[Spec], seen: Seen, inputs: Inputs) -> Manifest | None:
    """Find the Job that builds it."""
    return seen.child(JOB, child_name(obj.name, BUILD, [obj.uid, identity(obj, inputs)]))


def _built(engine: Engine, model: str, evaluation: str) -> Engine:
    """Take what the pod reported. A report that was lost with its pod is had by building again, out of the cache."""
    said = engine.job.report
    if said is None or said.artifact is None:
        why = Failure(Reason.NO_REPORT, "The pod that built left no report; the engine is built again")
        return replace(engine, failure=why, stale=True, wake_after=1.0)
    return replace(engine, version=_version(engine.id, said, model, evaluation), failure=None)


def _version(id: str, said: Report, model: str, evaluation: str) -> Version:
    assert said.artifact is not None
    target = next((e.target for e in said.engines if e.chosen), "")
    table = tuple(engine_status(e) for e in said.engines)
    return Version(id, model, store_uri(said.artifact.uri), said.artifact.digest, target, evaluation, table)


def _given_up(engine: Engine, now: datetime) -> Engine:
    """A Job that failed for good is made again after a while, when mending the world may have helped."""
    if engine.failure is None or engine.failure.reason in FINAL:
        return engine
    left = RETRY_AFTER - age(_ended_at(engine.manifest), now)
    return replace(engine, stale=left <= 0, wake_after=max(1.0, left))


def _ended_at(manifest: Manifest | None) -> str:
    conditions = ((manifest or {}).get("status") or {}).get("conditions", ())
    return str(next(c["lastTransitionTime"] for c in conditions if c["type"] == "Failed"))
