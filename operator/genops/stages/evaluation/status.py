"""What is known of a GenEvaluation, and how it is said.

The numbers, once written into the status, are a fact: the Job may go. So is the verdict: what people say later does
not change it. What was judged is fixed when the Job is made, by digest, even if a newer model comes meanwhile.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gencontract import layout
from gencontract.codes import Code, meaning
from gencontract.report import Report
from genops.core.conditions import Condition, is_true
from genops.core.jobs import Failure, JobFacts, age, read_job
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_TRAINING_JOB, JOB
from genops.core.model import Happening, Key, Manifest, PodSeen, Resource, Seen
from genops.core.names import child_name
from genops.core.reasons import Reason
from genops.core.reporting import (
    Handover,
    Said,
    artifact_status,
    data_of,
    metric_status,
    progress_status,
    usage_status,
    weights_of,
)
from genops.core.rules import Rule, always, first
from genops.stages.evaluation import people
from genops.stages.evaluation.people import TALLY, People
from genops.stages.evaluation.spec import Spec, Subject

ROLE = "evaluate"
MEASURED = ("score", "metrics", "report", "usage")
VERDICTS = {"True": "Passed", "False": "Failed", "Unknown": "Inconclusive"}  # of a condition, and back
STATUSES = {v: k for k, v in VERDICTS.items()}


# --- facts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """What is judged, by what, as the world has it now."""

    subject: Handover
    data: Handover
    baseline: Handover | None = None

    @property
    def all(self) -> tuple[Handover, ...]:
        """All of them."""
        return tuple(h for h in (self.subject, self.baseline, self.data) if h)

    @property
    def why_not(self) -> str:
        """What is waited for, or nothing."""
        return "; ".join(h.why_not for h in self.all if h.why_not)

    @property
    def digests(self) -> Manifest:
        """`status.inputs`."""
        said = {"subjectDigest": self.subject.digest, "datasetDigest": self.data.digest}
        if self.baseline:
            said["baselineDigest"] = self.baseline.digest
        return {k: v for k, v in said.items() if v}


@dataclass(frozen=True)
class Numbers:
    """What measuring came to."""

    verdict: str
    why: str
    said: Manifest  # the part of the status that records it


@dataclass(frozen=True)
class Facts:
    """The world of one GenEvaluation, read once."""

    requires: tuple[str, ...]
    deleting: bool
    inputs: Inputs
    fixed: Manifest  # digests of what is judged, once the Job was made
    job: JobFacts
    manifest: Manifest | None
    expired: bool  # the finished Job has outlived its TTL
    unsupported: str
    numbers: Numbers | None
    people: People | None
    tally: JobFacts  # the Job that counts what people said
    tally_manifest: Manifest | None
    told: Manifest  # the verdict with its message, where it was written before
    failure: Failure | None
    failed: bool
    progress: Manifest | None
    wake_after: float | None = None

    @property
    def startable(self) -> bool:
        """Say whether a Job is to be made."""
        done = self.numbers or self.failed or self.unsupported or self.deleting
        return not done and not self.inputs.why_not

    @property
    def waits(self) -> bool:
        """Say whether people are still waited for. A model that failed by its numbers needs no people."""
        hopeless = "Quantitative" in self.requires and self.numbers is not None and self.numbers.verdict == "Failed"
        return self.people is not None and not self.people.verdict and not hopeless

    @property
    def counting(self) -> bool:
        """Say whether all that people were asked for has come, and is being counted."""
        return self.waits and self.people is not None and self.people.ballots is not None

    @property
    def unverified(self) -> bool:
        """Say whether people are asked in a cluster that would take anybody's word for who they are."""
        return self.waits and self.people is not None and self.people.reason == Reason.RATERS_UNVERIFIED

    @property
    def uncounted(self) -> bool:
        """Say whether the count failed for good."""
        return self.counting and (self.tally.finished or self.failed)

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What counts, as verdict and reason: all must pass, one that failed decides."""
        counted = []
        if self.numbers and "Quantitative" in self.requires:
            counted.append((self.numbers.verdict, self.numbers.why))
        if self.people and self.people.verdict:
            counted.append((self.people.verdict, self.people.says))
        return tuple(counted)

    @property
    def verdict(self) -> str:
        """The verdict, or nothing while there is none."""
        if self.told:
            return str(self.told["verdict"])
        if self.numbers is None:
            return ""
        verdicts = {v for v, _ in self.parts}
        if "Failed" in verdicts:
            return "Failed"
        return "Inconclusive" if self.waits or verdicts != {"Passed"} else "Passed"

    @property
    def why(self) -> str:
        """What the verdict rests on: the parts that did not pass, or all."""
        if self.told:
            return str(self.told["message"])
        short = [says for verdict, says in self.parts if verdict == self.verdict]
        return "; ".join(short or [says for _, says in self.parts])

    @property
    def complete(self) -> bool:
        """Say whether the verdict is final."""
        return bool(self.told) or (self.numbers is not None and not self.waits)


# --- reading ---------------------------------------------------------------------------------------------------------


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    manifest = current(obj, seen)
    job = read_job(manifest, _pods_of(manifest, seen))
    inputs = read_inputs(obj, seen)
    numbers = _numbers(obj, job)
    tally_manifest = counter(seen)
    tally = read_job(tally_manifest, _pods_of(tally_manifest, seen))
    failure = _failure(obj, job, numbers, tally)
    facts = Facts(
        requires=tuple(obj.spec.decision.requires),
        deleting=obj.deleting,
        inputs=inputs,
        fixed=obj.status.get("inputs") or inputs.digests,
        job=job,
        manifest=manifest,
        expired=_expired(obj, manifest, now),
        unsupported=_unsupported(obj.spec),
        numbers=numbers,
        people=people.read(obj, seen, tally, now, _asked_since(obj)) if numbers else None,
        tally=tally,
        tally_manifest=tally_manifest,
        told=told(obj),
        failure=failure,
        failed=failed(obj) or (failure is not None and job.finished and numbers is None),
        progress=progress_status(job.progress) or obj.status.get("progress"),
    )
    return replace(facts, wake_after=_wake_after(obj, facts, now))


def identity(obj: Resource[Spec], digests: Manifest) -> Manifest:
    """Everything that decides what the numbers will be."""
    without = set(Spec.mutable) | {"human"}
    spec = obj.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=without)
    shown = {"pairs": obj.spec.human.pairs} if obj.spec.human else {}
    return {**spec, **shown, "inputs": digests}


def current(obj: Resource[Spec], seen: Seen) -> Manifest | None:
    """Find the Job: the one there is, once the status says for what; before, the one for what is there now.

    It is not looked up by its name later, since a newer operator may name it otherwise, and leaves it alone.
    """
    made = _job_of(ROLE, seen)
    if obj.status.get("inputs") and made:
        return made
    inputs = read_inputs(obj, seen).digests
    return seen.child(JOB, child_name(obj.name, ROLE, [obj.uid, identity(obj, inputs)]))


def counter(seen: Seen) -> Manifest | None:
    """Find the Job that counts what people said."""
    return _job_of(TALLY, seen)


def _job_of(role: str, seen: Seen) -> Manifest | None:
    jobs = [j for j in seen.children.get(JOB, ()) if "deletionTimestamp" not in j["metadata"]]
    return next((j for j in jobs if j["metadata"].get("labels", {}).get(layout.LABEL_ROLE) == role), None)


def _pods_of(manifest: Manifest | None, seen: Seen) -> tuple[PodSeen, ...]:
    return seen.pods.get(manifest["metadata"]["name"], ()) if manifest else ()


def measured(obj: Resource[Spec]) -> bool:
    """Say whether the numbers stand in the status."""
    return bool((obj.status.get("report") or {}).get("digest"))


def failed(obj: Resource[Spec]) -> bool:
    """Say whether it is recorded that measuring failed for good. Without a TTL, the failed Job itself is the record."""
    return is_true(obj.status, "Failed") and obj.spec.ttl_seconds_after_finished is not None


def read_inputs(obj: Resource[Spec], seen: Seen) -> Inputs:
    """Find what is judged, what it is compared with, and the data."""
    spec = obj.spec
    if spec.dataset_ref:
        data = data_of(Key(GEN_DATASET, obj.namespace, spec.dataset_ref.name), seen)
    else:
        data = Handover(spec.dataset_uri or "", spec.dataset_uri or "")
    baseline = _model(spec.baseline, obj.namespace, seen) if spec.baseline else None
    return Inputs(_model(spec.subject, obj.namespace, seen), data, baseline)


def _model(subject: Subject, namespace: str, seen: Seen) -> Handover:
    if subject.training_job_ref:
        return weights_of(Key(GEN_TRAINING_JOB, namespace, subject.training_job_ref.name), seen)
    if subject.deployment_ref:
        return _served(Key(GEN_DEPLOYMENT, namespace, subject.deployment_ref.name), seen)
    return Handover(subject.uri or "", subject.uri or "", subject.digest or "")


def _served(key: Key, seen: Seen) -> Handover:
    """Find the weights that a GenDeployment serves now: where its model is, or the run that made that digest."""
    what, found = f"{key.kind}/{key.name}", seen.references.get(key)
    if found is None:
        return Handover(what, why_not=f"{what} does not exist in this namespace; create it, or mend the reference")
    digest = ((found.get("status") or {}).get("stable") or {}).get("digest", "")
    if not digest:
        return Handover(what, why_not=f"Waits for {what}, which serves nothing yet")
    model = found.get("spec", {}).get("model", {})
    if model.get("uri") and model.get("digest") in (None, digest):
        return Handover(what, model["uri"], digest)
    made = [weights_of(_key(GEN_TRAINING_JOB, run), seen) for run in seen.referred(GEN_TRAINING_JOB)]
    fits = next((m for m in made if m.digest == digest), None)
    if fits:
        return Handover(what, fits.uri, digest)
    why = f"{what} serves {digest}, and no GenTrainingJob here has that output; name the weights by uri"
    return Handover(what, why_not=why)


def _key(kind: Any, manifest: Manifest) -> Key:
    return Key(kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def _unsupported(spec: Spec) -> str:
    own = sorted(m.name for m in spec.metrics if m.custom)
    if not own:
        return ""
    return f"metrics: {', '.join(own)}: containers of your own cannot measure yet; use built-in metrics"


def _numbers(obj: Resource[Spec], job: JobFacts) -> Numbers | None:
    """What measuring came to, as recorded, or as the pod has just reported."""
    if measured(obj):
        told = _condition(obj, "Quantitative")
        said = {k: obj.status[k] for k in MEASURED if k in obj.status}
        return Numbers(VERDICTS[told.get("status", "Unknown")], told.get("message", ""), said)
    said_now = job.report
    if not job.succeeded or said_now is None or said_now.artifact is None or said_now.verdict is None:
        return None
    return Numbers(said_now.verdict, said_now.message, _from_report(said_now))


def _from_report(said: Report) -> Manifest:
    primary = [m for m in said.metrics if m.primary] or said.metrics
    measured_now = [metric_status(m) for m in said.metrics]
    score = metric_status(primary[0]).get("value") if primary else None
    found: Manifest = {
        "score": score,
        "metrics": measured_now or None,
        "report": artifact_status(said.artifact),
        "usage": usage_status(said.usage),
    }
    return {k: v for k, v in found.items() if v is not None}


def _failure(obj: Resource[Spec], job: JobFacts, numbers: Numbers | None, tally: JobFacts) -> Failure | None:
    """Why measuring or counting failed. What was recorded is read back, since its pod may have gone."""
    last = obj.status.get("lastFailure")
    if tally.failed and tally.failure:
        return tally.failure
    if tally.succeeded and (tally.report is None or tally.report.verdict is None):
        return Failure(Reason.NO_REPORT, "The pod that counted left no verdict; delete its Job to count again")
    if last and (numbers or is_true(obj.status, "Failed")):
        return Failure.read(last)
    if job.succeeded and numbers is None:
        return Failure(Reason.NO_REPORT, "The pod ended well and left no verdict; its image is not one of ours")
    return job.failure or (Failure.read(last) if last else None)


def told(obj: Resource[Spec]) -> Manifest:
    """The final verdict as it was written, or nothing."""
    found = _condition(obj, "Complete")
    if found.get("status") != "True" or "verdict" not in obj.status:
        return {}
    human, people = obj.status.get("human"), _condition(obj, "Human")
    return {"verdict": obj.status["verdict"], "message": found.get("message", ""), "human": human, "people": people}


def _condition(obj: Resource[Spec], kind: str) -> Manifest:
    """One condition as it was written last, or nothing."""
    return next((c for c in obj.status.get("conditions", ()) if c.get("type") == kind), {})


def _expired(obj: Resource[Spec], manifest: Manifest | None, now: datetime) -> bool:
    ttl, ended = obj.spec.ttl_seconds_after_finished, _ended_at(manifest)
    return ttl is not None and bool(ended) and age(ended, now) >= ttl


def _ended_at(manifest: Manifest | None) -> str:
    conditions = ((manifest or {}).get("status") or {}).get("conditions", ())
    ends = [c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
    return str(ends[0].get("lastTransitionTime") or "") if ends else ""


def _asked_since(obj: Resource[Spec]) -> str:
    """When people were first asked; empty before."""
    asked = _condition(obj, "Human")
    return str(asked.get("lastTransitionTime") or "") if asked.get("status") == "False" else ""


def _wake_after(obj: Resource[Spec], facts: Facts, now: datetime) -> float | None:
    if facts.deleting:
        return None
    if facts.job.poll_after and not facts.numbers:
        return facts.job.poll_after
    human, asked = obj.spec.human, facts.waits and not facts.complete and not facts.counting
    left = [people.patience(human, now, _asked_since(obj))] if human and asked else []
    ttl, ended = obj.spec.ttl_seconds_after_finished, _ended_at(facts.manifest)
    if ttl is not None and ended and not facts.expired:
        left.append(ttl - age(ended, now))
    known = [seconds for seconds in left if seconds is not None]
    return max(1.0, min(known)) if known else None


# --- saying ----------------------------------------------------------------------------------------------------------

FROM_FAILURE = "(the failure's own)"
FROM_VERDICT = "(the verdict's own)"
OF_VERDICT = {
    "Passed": Reason.VERDICT_PASSED,
    "Failed": Reason.VERDICT_FAILED,
    "Inconclusive": Reason.VERDICT_INCONCLUSIVE,
}
UNSUPPORTED = meaning(Code.UNSUPPORTED).reason

RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.deleting, "Deleting", Reason.DELETING, "The object is being removed"),
    Rule(lambda f: f.complete, "Complete", FROM_VERDICT, "{why}"),
    Rule(lambda f: f.uncounted, "Failed", FROM_FAILURE, "{failure}"),
    Rule(lambda f: f.counting, "Running", Reason.COUNTING, "{people}, and are counted"),
    Rule(lambda f: f.unverified, "WaitingForHumans", Reason.RATERS_UNVERIFIED, "{people}"),
    Rule(lambda f: f.numbers is not None, "WaitingForHumans", Reason.WAITING_FOR_HUMANS, "{people}"),
    Rule(lambda f: bool(f.unsupported), "Failed", UNSUPPORTED, "{unsupported}"),
    Rule(lambda f: f.failed, "Failed", FROM_FAILURE, "{failure}"),
    Rule(lambda f: not f.job.exists and bool(f.inputs.why_not), "Pending", Reason.WAITING_FOR_REFERENCE, "{why_not}"),
    Rule(lambda f: bool(f.job.stuck), "Pending", Reason.POD_NOT_STARTED, "{stuck}"),
    Rule(lambda f: f.job.running, "Running", Reason.EVALUATING, "The model is measured"),
    Rule(
        lambda f: f.job.attempts > 0,
        "Running",
        Reason.RETRYING,
        "Attempt {attempts} failed and is made again: {failure}",
    ),
    Rule(always, "Pending", Reason.CREATING, "Waits for its pod to start"),
)


def report(facts: Facts) -> Said:
    """Say where the evaluation is, and why."""
    rule = first(RULES, facts)
    reason, message = _reason(rule, facts), _message(rule, facts)
    conditions = [_complete(facts, rule, reason, message), _subject_ready(facts)]
    if "Quantitative" in facts.requires:
        conditions.append(_quantitative(facts, reason, message))
    if "Human" in facts.requires:
        conditions.append(_human(facts, reason, message))
    if rule.phase == "Failed":
        conditions.append(Condition("Failed", "True", reason, message))
    return Said(_status(facts, rule), tuple(conditions), _happening(rule, facts, reason, message))


def _status(facts: Facts, rule: Rule[Facts]) -> Manifest:
    human = facts.told.get("human") or (facts.people.status if facts.people else None)
    running = facts.job.exists and not facts.numbers and not facts.failed
    said: Manifest = {
        "phase": rule.phase,
        "subject": facts.inputs.subject.what,
        "verdict": facts.verdict or None,
        "inputs": facts.fixed if facts.job.exists or facts.numbers or facts.failed or facts.startable else None,
        "human": human,
        "progress": facts.progress if running else None,
        "lastFailure": facts.failure.status(TALLY if facts.uncounted else ROLE) if facts.failure else None,
        **(facts.numbers.said if facts.numbers else {}),
    }
    return {k: v for k, v in said.items() if v}


def _reason(rule: Rule[Facts], facts: Facts) -> str:
    if rule.reason is FROM_FAILURE:
        return facts.failure.reason if facts.failure else meaning(Code.CRASHED).reason
    return str(OF_VERDICT[facts.verdict] if rule.reason is FROM_VERDICT else rule.reason)


def _message(rule: Rule[Facts], facts: Facts) -> str:
    return rule.say.format(
        why=facts.why,
        people=facts.people.says if facts.people else "",
        unsupported=facts.unsupported,
        failure=facts.failure.message if facts.failure else "",
        why_not=facts.inputs.why_not,
        stuck=facts.job.stuck,
        attempts=facts.job.attempts,
    )


def _complete(facts: Facts, rule: Rule[Facts], reason: str, message: str) -> Condition:
    return Condition("Complete", "True" if facts.complete else "False", reason, message)


def _subject_ready(facts: Facts) -> Condition:
    """Whether everything that is judged was there; known for ever once it was."""
    if facts.inputs.why_not and not (facts.job.exists or facts.numbers or facts.failed):
        return Condition("SubjectReady", "False", Reason.WAITING_FOR_REFERENCE, facts.inputs.why_not)
    named = ", ".join(f"{k.removesuffix('Digest')} {v}" for k, v in sorted(facts.fixed.items()))
    return Condition("SubjectReady", "True", Reason.INPUTS_READY, named or "Named by address")


def _quantitative(facts: Facts, reason: str, message: str) -> Condition:
    if facts.numbers is None:
        return Condition("Quantitative", "Unknown", reason, message)
    numbers = facts.numbers
    return Condition("Quantitative", STATUSES[numbers.verdict], OF_VERDICT[numbers.verdict], numbers.why)  # type: ignore[arg-type]


def _human(facts: Facts, reason: str, message: str) -> Condition:
    """False from when people are asked until they said yes, so that its transition tells since when they are asked."""
    people, told = facts.people, facts.told.get("people")
    if told:
        return Condition("Human", told["status"], told["reason"], told["message"])
    if people is None or not (facts.waits or people.verdict):
        return Condition("Human", "Unknown", reason, message)
    return Condition("Human", "True" if people.verdict == "Passed" else "False", people.reason, people.says)


def _happening(rule: Rule[Facts], facts: Facts, reason: str, message: str) -> Happening | None:
    """What is worth an event: the verdict, that people are asked, or that a pod cannot start or failed."""
    if rule.phase in ("Complete", "WaitingForHumans"):
        return Happening("Normal" if facts.verdict != "Failed" else "Warning", reason, message)
    bad = rule.phase == "Failed" or reason in (Reason.POD_NOT_STARTED, Reason.RETRYING)
    return Happening("Warning", reason, message) if bad else None
