"""What is known of a GenTrainingJob, and how it is said.

The outcome, once it stands in the status as condition Complete or Failed, is a fact: the Job may go, and nothing is
run again. The same holds for each trial of a search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from genops.core.conditions import Condition, is_true, timestamp
from genops.core.jobs import POLL_SECONDS, age
from genops.core.kinds import JOB_SET
from genops.core.model import Happening, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.core.reporting import Said
from genops.core.rules import Rule, always, first
from genops.stages.training.appdef import in_job_set, queue_of
from genops.stages.training.inputs import Inputs, Trouble, resolve
from genops.stages.training.outcome import Outcome, conclude, settled
from genops.stages.training.runs import Run, read_runs
from genops.stages.training.spec import Spec

STAGE = "train"


@dataclass(frozen=True)
class Facts:
    """The world of one GenTrainingJob, read once."""

    inputs: Inputs
    began: Manifest  # the inputs of a run that was started before
    runs: tuple[Run, ...]
    settled: frozenset[int]  # the runs whose outcome stands in the status
    outcome: Outcome
    recorded: bool  # the outcome stands in the status
    suspended: bool
    deleting: bool
    queue: str | None
    job_set_missing: bool
    searching: bool
    expired: bool  # the finished run has outlived its TTL
    wake_after: float | None

    @property
    def live(self) -> list[Run]:
        """The runs that are under way."""
        return [] if self.ended else [r for r in self.runs if not r.ended and r.number not in self.settled]

    @property
    def ended(self) -> bool:
        """Say whether it is over, be it in this very look."""
        return self.outcome.succeeded or self.outcome.failed

    @property
    def trouble(self) -> Trouble | None:
        """What stands in the way of starting; a run that is under way has what it needs."""
        return None if self.live else self.inputs.trouble

    @property
    def queued(self) -> bool:
        """Say whether Kueue holds every run that is under way."""
        return self.queue is not None and bool(self.live) and all(r.held for r in self.live)

    @property
    def stuck(self) -> str:
        """Why a pod cannot start, where no run has another that does."""
        found = [r.job.stuck for r in self.live if r.job.stuck]
        return found[-1] if found and not self.running else ""

    @property
    def running(self) -> bool:
        """Say whether a pod runs."""
        return any(r.job.running for r in self.live)

    @property
    def retrying(self) -> bool:
        """Say whether a pod of a run that is under way has failed."""
        return any(r.job.failure for r in self.live)

    @property
    def lost(self) -> bool:
        """Say whether a run has ended whose report nobody can read any more."""
        return any(r.report_lost for r in self.live)


def recorded(obj: Resource[Spec]) -> bool:
    """Say whether the outcome stands in the status."""
    return is_true(obj.status, "Complete") or is_true(obj.status, "Failed")


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    runs, known = read_runs(obj, seen), recorded(obj)
    began = obj.status.get("inputs") if runs or obj.status.get("startTime") else None
    outcome = conclude(obj, runs, known, timestamp(now))
    ended = outcome.succeeded or outcome.failed
    return Facts(
        inputs=resolve(obj, seen, began or {}),
        began=began or {},
        runs=runs,
        settled=settled(obj),
        outcome=outcome,
        recorded=known,
        suspended=obj.spec.suspend,
        deleting=obj.deleting,
        queue=queue_of(obj.spec),
        job_set_missing=in_job_set(obj.spec) and JOB_SET not in seen.present,
        searching=obj.spec.search is not None,
        expired=ended and _left(obj, outcome, now) == 0,
        wake_after=_wake_after(obj, runs, outcome, now),
    )


def report(obj: Resource[Spec], facts: Facts) -> Said:
    """Say where the run is, and why."""
    rule = first(RULES, facts)
    outcome, failure = facts.outcome, facts.outcome.failure
    message = rule.say.format(
        failure=failure.message if failure else "",
        trouble=facts.trouble.message if facts.trouble else "",
        stuck=facts.stuck,
        queue=facts.queue,
        search=outcome.told,
        **{k: outcome.status.get("output", {}).get(k, "") for k in ("uri", "digest")},
    )
    reason = _reason(rule, facts)
    status: Manifest = {"phase": rule.phase, **outcome.status, "inputs": _inputs(obj, facts)}
    if failure:
        status["lastFailure"] = failure.status(STAGE)
    said = {k: v for k, v in status.items() if v not in (None, {}, [])}
    return Said(said, _conditions(facts, reason, message), _happening(rule, reason, message))


# --- the rules -------------------------------------------------------------------------------------------------------

FROM_FAILURE = "(the failure's own)"
FROM_TROUBLE = "(the reference's own)"

RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.deleting, "Deleting", Reason.DELETING, "The object is being removed"),
    Rule(lambda f: f.outcome.succeeded, "Succeeded", Reason.WEIGHTS_READY, "Weights at {uri}, named by {digest}"),
    Rule(lambda f: f.outcome.failed, "Failed", FROM_FAILURE, "{failure}"),
    Rule(
        lambda f: f.suspended,
        "Suspended",
        Reason.SUSPENDED,
        "Set spec.suspend to false to go on from the last checkpoint",
    ),
    Rule(
        lambda f: f.job_set_missing,
        "Pending",
        Reason.JOB_SET_MISSING,
        "scheduling.gang is JobSet, and the cluster does not serve jobset.x-k8s.io/v1alpha2: install JobSet and "
        "restart the operator, or leave gang out in a new object",
    ),
    Rule(lambda f: f.trouble is not None, "Pending", FROM_TROUBLE, "{trouble}"),
    Rule(lambda f: f.lost, "Pending", Reason.REPORT_LOST, "The pods went before their report was read; made again"),
    Rule(lambda f: f.queued, "Queued", Reason.QUEUED, "Waits for its share of LocalQueue {queue}"),
    Rule(
        lambda f: bool(f.stuck),
        "Pending",
        Reason.POD_NOT_STARTED,
        "{stuck}; the run goes on by itself once that is mended",
    ),
    Rule(lambda f: f.running and f.searching, "Running", Reason.SEARCHING, "{search}"),
    Rule(lambda f: f.running, "Running", Reason.TRAINING, "The trainer runs"),
    Rule(lambda f: f.retrying, "Running", Reason.RETRYING, "Starts again from the last checkpoint: {failure}"),
    Rule(always, "Pending", Reason.CREATING, "Waits for its pods to start"),
)


def _reason(rule: Rule[Facts], facts: Facts) -> str:
    if rule.reason is FROM_TROUBLE and facts.trouble:
        return facts.trouble.reason
    if rule.reason is FROM_FAILURE and facts.outcome.failure:
        return facts.outcome.failure.reason
    return rule.reason


def _conditions(facts: Facts, reason: str, message: str) -> tuple[Condition, ...]:
    done, failed = facts.outcome.succeeded, facts.outcome.failed
    return (
        _resolved(facts),
        _admitted(facts, reason, message),
        Condition("Complete", "True" if done else "False", reason, message),
        Condition("Failed", "True" if failed else "False", reason, message),
    )


def _resolved(facts: Facts) -> Condition:
    trouble = None if facts.ended else facts.trouble
    if trouble:
        return Condition("InputsResolved", "False", trouble.reason, trouble.message)
    return Condition("InputsResolved", "True", Reason.INPUTS_RESOLVED, "Every input is there")


def _admitted(facts: Facts, reason: str, message: str) -> Condition:
    """Whether the pods may start."""
    if facts.ended or any(not r.held for r in facts.live):
        return Condition("Admitted", "True", Reason.ADMITTED, "The pods may start")
    return Condition("Admitted", "False" if facts.queued or facts.job_set_missing else "Unknown", reason, message)


def _happening(rule: Rule[Facts], reason: str, message: str) -> Happening | None:
    """What is worth an event: that it ended, or that something stands in its way."""
    if rule.phase == "Succeeded":
        return Happening("Normal", reason, message)
    loud = (Reason.POD_NOT_STARTED, Reason.RETRYING, Reason.JOB_SET_MISSING, Reason.REFERENCE_FAILED)
    bad = rule.phase == "Failed" or reason in (*loud, Reason.INPUT_CHANGED)
    return Happening("Warning", reason, message) if bad else None


# --- reading ---------------------------------------------------------------------------------------------------------


def _inputs(obj: Resource[Spec], facts: Facts) -> Manifest:
    """What the run is made of: what it began with stays, what is learnt later is added."""
    if facts.recorded:
        return dict(obj.status.get("inputs") or {})
    now = {} if facts.inputs.trouble else facts.inputs.status(obj.spec)
    image = next((r.image for r in facts.runs if r.image), None)
    return {**now, **({"imageDigest": image} if image else {}), **facts.began}


def _left(obj: Resource[Spec], outcome: Outcome, now: datetime) -> float | None:
    """Seconds that the finished Job stays; None for ever."""
    ttl, ended = obj.spec.ttl_seconds_after_finished, outcome.status.get("completionTime")
    if ttl is None or not ended:
        return None
    return max(0.0, ttl - age(ended, now))


def _wake_after(obj: Resource[Spec], runs: Sequence[Run], outcome: Outcome, now: datetime) -> float | None:
    if obj.deleting:
        return None
    if outcome.succeeded or outcome.failed:
        left = _left(obj, outcome, now)
        return max(1.0, left) if left and runs else None
    watched = [r for r in runs if not r.ended and not r.held and r.number not in settled(obj)]
    return float(POLL_SECONDS) if watched and not obj.spec.suspend else None
