"""What is known of a GenDataset, and how it is said.

The outcome of a syncRound, once written into the status together with that number, is a fact: the Job may go.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gencontract.codes import Code, meaning
from gencontract.report import Report
from genops.core.blocks import Store
from genops.core.conditions import Condition
from genops.core.jobs import Failure, JobFacts, age, read_job
from genops.core.kinds import GEN_DEPLOYMENT, JOB
from genops.core.model import Happening, Key, Manifest, Resource, Seen
from genops.core.names import child_name
from genops.core.podspec import store_uri
from genops.core.reasons import Reason
from genops.core.reporting import Said, artifact_status, check_status, progress_status, usage_status
from genops.core.rules import Rule, always, first
from genops.core.stores import records
from genops.stages.dataset.spec import Spec

ROLE = "prepare"
KEPT = ("digest", "uri", "revision", "syncRound", "samples", "bytes", "splits", "checks", "reference", "usage")


@dataclass(frozen=True)
class Facts:
    """The world of one GenDataset, read once."""

    job: JobFacts
    suspended: bool
    deleting: bool
    recorded: bool  # the outcome of this syncRound stands in the status
    expired: bool  # the finished Job has outlived its TTL
    source_ready: bool
    capture_uri: str
    outcome: Manifest  # the part of the status that records an outcome: this round's, or the last one's
    failure: Failure | None
    progress: Manifest | None
    wake_after: float | None

    @property
    def ready(self) -> bool:
        """Say whether this round's data is complete."""
        return self.recorded_now and "digest" in self.outcome

    @property
    def recorded_now(self) -> bool:
        """Say whether this round has ended, be it in this very look."""
        return self.recorded or self.job.finished

    @property
    def blocked(self) -> bool:
        """Say whether a check with action Block stopped the data."""
        return self.failure is not None and self.failure.reason == meaning(Code.CHECK_BLOCKED).reason


def inputs(obj: Resource[Spec]) -> dict[str, Any]:
    """Everything that decides what the data will be."""
    spec = obj.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {k: v for k, v in spec.items() if k == "syncRound" or k not in Spec.mutable}


def current(obj: Resource[Spec], seen: Seen) -> Manifest | None:
    """Find the Job of this syncRound."""
    return seen.child(JOB, child_name(obj.name, ROLE, [obj.uid, inputs(obj)]))


def recorded(obj: Resource[Spec]) -> bool:
    """Say whether the outcome of this syncRound stands in the status."""
    return bool(obj.status.get("syncRound") == obj.spec.sync_round)


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    manifest = current(obj, seen)
    name = manifest["metadata"]["name"] if manifest else ""
    known = recorded(obj)
    job = read_job(manifest, seen.pods.get(name, ()))
    capture_uri = _capture_uri(obj, seen)
    return Facts(
        job=job,
        suspended=obj.spec.suspend,
        deleting=obj.deleting,
        recorded=known,
        expired=_expired(obj, manifest, now),
        source_ready=obj.spec.source.capture is None or bool(capture_uri),
        capture_uri=capture_uri,
        outcome=_outcome(obj, job, known),
        failure=_failure(obj, job, known),
        progress=progress_status(job.progress) or obj.status.get("progress"),
        wake_after=_wake_after(obj, job, manifest, known, now),
    )


def report(facts: Facts) -> Said:
    """Say where the dataset is, and why."""
    rule = first(RULES, facts)
    message = rule.say.format(
        failure=facts.failure.message if facts.failure else "",
        stuck=facts.job.stuck,
        attempts=facts.job.attempts,
        digest=facts.outcome.get("digest", ""),
        samples=facts.outcome.get("samples", 0),
    )
    reason = facts.failure.reason if facts.failure and rule.reason is FROM_FAILURE else rule.reason
    status: Manifest = {"phase": rule.phase, **facts.outcome}
    if facts.failure:
        status["lastFailure"] = facts.failure.status(ROLE)
    if facts.progress and not facts.recorded_now:
        status["progress"] = facts.progress
    conditions = (_ready(facts, reason, message), _fetched(facts, reason, message), _validated(facts, reason, message))
    return Said(status, conditions, _happening(rule, reason, message))


# --- the rules -------------------------------------------------------------------------------------------------------

FROM_FAILURE = "(the failure's own)"

RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.deleting, "Deleting", Reason.DELETING, "The object is being removed"),
    Rule(lambda f: f.ready, "Ready", Reason.FROZEN, "{samples} samples, named by {digest}"),
    Rule(lambda f: f.recorded_now and f.blocked, "Blocked", FROM_FAILURE, "{failure}"),
    Rule(lambda f: f.recorded_now, "Failed", FROM_FAILURE, "{failure}"),
    Rule(lambda f: f.suspended, "Suspended", Reason.SUSPENDED, "Set spec.suspend to false to go on"),
    Rule(
        lambda f: not f.source_ready,
        "Pending",
        Reason.WAITING_FOR_REFERENCE,
        "Waits for a GenDeployment whose spec.capture is set, as source.capture.deploymentRef names it",
    ),
    Rule(lambda f: bool(f.job.stuck), "Pending", Reason.POD_NOT_STARTED, "{stuck}"),
    Rule(lambda f: f.job.running, "Preparing", Reason.PREPARING, "The source is fetched, cleaned, checked and split"),
    Rule(
        lambda f: f.job.attempts > 0,
        "Preparing",
        Reason.RETRYING,
        "Attempt {attempts} failed and is made again: {failure}",
    ),
    Rule(always, "Pending", Reason.CREATING, "Waits for its pod to start"),
)


def _ready(facts: Facts, reason: str, message: str) -> Condition:
    return Condition("Ready", "True" if facts.ready else "False", reason, message)


def _fetched(facts: Facts, reason: str, message: str) -> Condition:
    """Whether the source could be read: known once data, or a check of it, came out."""
    if facts.ready or facts.blocked:
        return Condition("Fetched", "True", Reason.FETCHED, "The source was read")
    return Condition("Fetched", "False" if facts.recorded_now else "Unknown", reason, message)


def _validated(facts: Facts, reason: str, message: str) -> Condition:
    if facts.ready:
        warned = sorted(c["name"] for c in facts.outcome.get("checks", ()) if c.get("passed") is False)
        if warned:
            return Condition("Validated", "True", Reason.CHECKS_WARNED, f"Did not pass: {', '.join(warned)}")
        return Condition("Validated", "True", Reason.CHECKS_PASSED, "Every check passed")
    return Condition("Validated", "False" if facts.recorded_now and facts.blocked else "Unknown", reason, message)


def _happening(rule: Rule[Facts], reason: str, message: str) -> Happening | None:
    """What is worth an event: that it ended, or that a pod cannot start or failed."""
    if rule.phase == "Ready":
        return Happening("Normal", reason, message)
    bad = rule.phase in ("Failed", "Blocked") or reason in (Reason.POD_NOT_STARTED, Reason.RETRYING)
    return Happening("Warning", reason, message) if bad else None


# --- reading ---------------------------------------------------------------------------------------------------------


def _outcome(obj: Resource[Spec], job: JobFacts, known: bool) -> Manifest:
    """This round's outcome where there is one, else what the last round left, which stays true until then."""
    kept = {k: obj.status[k] for k in KEPT if k in obj.status}
    if known or not job.finished:
        return kept
    if job.succeeded and job.report and job.report.artifact:
        return {**_from_report(job.report), "syncRound": obj.spec.sync_round}
    checks = job.failure_report.checks if job.failure_report else []
    failed = {"syncRound": obj.spec.sync_round, "checks": [check_status(c) for c in checks]}
    return {k: v for k, v in failed.items() if v != []}


def _from_report(said: Report) -> Manifest:
    assert said.artifact is not None
    outcome: Manifest = {
        **(artifact_status(said.artifact) or {}),
        "revision": said.revision,
        "samples": said.samples,
        "bytes": said.bytes,
        "splits": [{"name": s.name, "samples": s.samples, "digest": s.digest} for s in said.splits],
        "checks": [check_status(c) for c in said.checks],
        "reference": {"uri": store_uri(said.reference)} if said.reference else None,
        "usage": usage_status(said.usage),
    }
    return {k: v for k, v in outcome.items() if v not in (None, [])}


def _failure(obj: Resource[Spec], job: JobFacts, known: bool) -> Failure | None:
    """This round's failure; one that was recorded is read back, since its pod may have gone."""
    if job.succeeded and not (job.report and job.report.artifact):
        text = "The pod ended well and left no report; its image must answer as gencontract asks, see docs/howto"
        return None if known and "digest" in obj.status else Failure(Reason.NO_REPORT, text)
    if job.failure and not known:
        return job.failure
    return Failure.read(obj.status.get("lastFailure"))


def _capture_uri(obj: Resource[Spec], seen: Seen) -> str:
    capture = obj.spec.source.capture
    if capture is None:
        return ""
    found = seen.references.get(Key(GEN_DEPLOYMENT, obj.namespace, capture.deployment_ref.name), {})
    store = (found.get("spec", {}).get("capture") or {}).get("store")
    return records(Store.model_validate(store).location(), found["metadata"]) if store else ""


def _expired(obj: Resource[Spec], manifest: Manifest | None, now: datetime) -> bool:
    ttl = obj.spec.ttl_seconds_after_finished
    ended = _ended_at(manifest)
    return ttl is not None and bool(ended) and age(ended, now) >= ttl


def _ended_at(manifest: Manifest | None) -> str:
    conditions = ((manifest or {}).get("status") or {}).get("conditions", ())
    ends = [c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
    return str(ends[0].get("lastTransitionTime") or "") if ends else ""


def _wake_after(
    obj: Resource[Spec], job: JobFacts, manifest: Manifest | None, known: bool, now: datetime
) -> float | None:
    if obj.deleting or obj.spec.suspend:
        return None
    if job.poll_after and not known:
        return job.poll_after
    ttl, ended = obj.spec.ttl_seconds_after_finished, _ended_at(manifest)
    if ttl is not None and ended:
        return max(1.0, ttl - age(ended, now))
    return None
