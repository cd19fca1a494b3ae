"""GenEvaluation: worlds, and what is planned and said in each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from worlds import DIGEST, NOW, AJob, World, artifact, condition, kinds_of, resource

from gencontract.codes import Code
from gencontract.deck import MAX_PAIRS, Ballots, size
from gencontract.layout import LABEL_ROLE
from gencontract.report import MetricReport, Progress, Report
from gencontract.wire import decode_task
from genops.core.conditions import merge
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_TRAINING_JOB, GEN_VERDICT
from genops.core.kinds import JOB as JOBS
from genops.core.model import EVERY, Key, Manifest, Seen
from genops.core.podspec import TASK_ANNOTATION
from genops.stages.evaluation import EVALUATION

OTHER = "sha256:" + "b" * 64
SPEC: dict[str, Any] = {
    "subject": {"trainingJobRef": {"name": "digits"}},
    "datasetRef": {"name": "digits"},
    "metrics": [
        {"name": "fid", "op": "<=", "threshold": 30.0, "primary": True},
        {"name": "novelty", "options": {"nearest": 3}},
    ],
}
BOTH: dict[str, Any] = {
    "human": {"pairs": 2, "raters": 2, "timeoutSeconds": 100},
    "decision": {"requires": ["Quantitative", "Human"]},
}
DATA = Key(GEN_DATASET, "team", "digits")
RUN = Key(GEN_TRAINING_JOB, "team", "digits")


def a_dataset(ready: str = "True") -> Manifest:
    said = {"type": "Ready", "status": ready, "reason": "CheckBlocked", "message": "rows: 3"}
    return {"metadata": {}, "status": {"uri": "pvc://genops-store/data", "digest": DIGEST, "conditions": [said]}}


def a_run(name: str = "digits", digest: str = DIGEST) -> Manifest:
    output = {"uri": f"pvc://genops-store/weights-{name}", "digest": digest}
    return {"metadata": {"name": name, "namespace": "team"}, "status": {"output": output}}


def a_failed_run() -> Manifest:
    said = {"type": "Failed", "status": "True", "reason": "NonFinite", "message": "The loss is NaN"}
    return {"metadata": {"name": "digits", "namespace": "team"}, "status": {"conditions": [said]}}


THERE = {DATA: a_dataset(), RUN: a_run()}


def world(references: dict[Key, Manifest] | None = None, **spec: Any) -> World:
    obj = resource(EVALUATION, "judge", {**SPEC, **spec})
    return World(EVALUATION, obj, THERE if references is None else references)


def measured(verdict: str, message: str = "fid is 12 at most, limit 30") -> Report:
    return Report(
        verb="evaluate",
        code=Code.DONE,
        message=message,
        verdict=verdict,  # type: ignore[arg-type]
        artifact=artifact("/genops/store/genops-store/genevaluations/judge"),
        metrics=[
            MetricReport(
                name="fid", value=11.5, low=11.0, high=12.0, samples=5000, passed=verdict == "Passed", primary=True
            ),
            MetricReport(name="novelty", samples=5000),
        ],
    )


JOB = world().job()
ROWS: list[tuple[str, World, AJob | None, str, str, str]] = [
    ("A model that does not exist is waited for", world({DATA: a_dataset()}), None, "Pending", "WaitingForReference", "GenTrainingJob/digits does not exist in this namespace; create it"),
    ("A run that has not ended is waited for", world({DATA: a_dataset(), RUN: {"metadata": {}}}), None, "Pending", "WaitingForReference", "Waits for GenTrainingJob/digits"),
    ("A run that failed is named with its reason", world({DATA: a_dataset(), RUN: a_failed_run()}), None, "Pending", "WaitingForReference", "NonFinite: The loss is NaN"),
    ("Data that is not ready is waited for", world({DATA: a_dataset("False"), RUN: a_run()}), None, "Pending", "WaitingForReference", "Waits for GenDataset/digits: CheckBlocked: rows: 3"),
    ("With everything there the Job is made", world(), None, "Pending", "Creating", "Waits for its pod"),
    ("A pod whose image cannot be had is named", world(), JOB.waiting("ErrImagePull", "no such image"), "Pending", "PodNotStarted", "ErrImagePull: no such image"),
    ("A running pod measures", world(), JOB.running(), "Running", "Evaluating", "measured"),
    ("A pod that failed is tried again, and why is said", world(), JOB.pod_failed(Code.SOURCE_UNAVAILABLE, "s3://x did not answer"), "Running", "Retrying", "Attempt 1 failed and is made again: s3://x did not answer"),
    ("A changed byte stops it, and names the file", world(), JOB.failed(Code.DIGEST_MISMATCH, "weights.safetensors has digest x"), "Failed", "DigestMismatch", "weights.safetensors"),
    ("A pod that ran out of memory is told how to mend it", world(), JOB.failed(137), "Failed", "OutOfMemory", "resources.limits.memory"),
    ("A Job that took too long says so", world(), JOB.overdue(), "Failed", "DeadlineExceeded", "raise it"),
    ("A pod that left no verdict is no evaluation", world(), JOB.succeeded(None), "Failed", "NoReport", "not one of ours"),
    ("A container of your own is refused, not ignored", world(metrics=[*SPEC["metrics"], {"name": "mine", "custom": {"image": "x", "command": ["y"]}}]), None, "Failed", "Unsupported", "metrics: mine"),
    ("A model that passes", world(), JOB.succeeded(measured("Passed")), "Complete", "VerdictPassed", "fid is 12 at most"),
    ("A model that fails", world(), JOB.succeeded(measured("Failed")), "Complete", "VerdictFailed", "fid"),
    ("Data that do not decide", world(), JOB.succeeded(measured("Inconclusive")), "Complete", "VerdictInconclusive", "fid"),
    ("People are asked after the numbers", world(**BOTH), world(**BOTH).job().succeeded(measured("Passed")), "WaitingForHumans", "WaitingForHumans", "0 of 8 verdicts have come"),
    ("Numbers that fail need no people", world(**BOTH), world(**BOTH).job().succeeded(measured("Failed")), "Complete", "VerdictFailed", "fid"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "given", "job", "phase", "reason", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_a_world_and_its_verdict(fact: str, given: World, job: AJob | None, phase: str, reason: str, says: str) -> None:
    plan = given.plan(job)
    complete = condition(plan, "Complete")
    assert (plan.status["phase"], complete.reason) == (phase, reason)
    assert says in complete.message
    assert complete.status == ("True" if phase == "Complete" else "False")
    waits = phase == "Pending" and reason == "WaitingForReference"
    assert any(k.startswith("Job/") for k in kinds_of(plan)) is not (waits or reason == "Unsupported")
    assert any(c.type == "Failed" and c.status == "True" for c in plan.conditions) is (phase == "Failed")


def test_what_was_measured_is_the_status() -> None:
    status = world().plan(JOB.succeeded(measured("Passed"))).status
    assert (status["verdict"], status["score"], status["subject"]) == ("Passed", "11.5", "GenTrainingJob/digits")
    assert status["inputs"] == {"subjectDigest": DIGEST, "datasetDigest": DIGEST}
    assert status["report"] == {"uri": "pvc://genops-store/genevaluations/judge", "digest": DIGEST}
    fid, novelty = status["metrics"]
    assert fid == {"name": "fid", "value": "11.5", "low": "11", "high": "12", "samples": 5000, "passed": True}
    assert novelty == {"name": "novelty", "samples": 5000}


def test_the_task_says_what_to_measure_and_by_which_digests() -> None:
    pod = JOB.manifest["spec"]["template"]
    task = decode_task(pod["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.verb == "evaluate"
    assert (task.subject.uri, task.subject.digest) == ("/genops/store/genops-store/weights-digits", DIGEST)
    assert (task.dataset.uri, task.dataset.digest) == ("/genops/store/genops-store/data", DIGEST)
    assert [(m.name, m.op, m.threshold, m.primary) for m in task.metrics] == [
        ("fid", "<=", 30.0, True),
        ("novelty", None, None, False),
    ]
    assert task.metrics[1].options == {"nearest": 3}


def test_progress_stands_in_the_status_while_it_is_measured() -> None:
    plan = world().plan(JOB.running(Progress(stage="measuring fid", step=1, total=2)))
    assert plan.status["progress"]["percent"] == 50
    assert plan.wake_after is not None
    assert plan.wake_after <= 15


def test_a_verdict_that_was_written_outlives_job_and_model() -> None:
    given = world()
    first = given.plan(JOB.succeeded(measured("Passed")))
    told = given.told(first)
    for references in (THERE, {}, {**THERE, RUN: a_run(digest=OTHER)}):
        later = replace(told, references=references).plan(None)
        assert later.status == first.status
        assert later.conditions == first.conditions
        assert kinds_of(later) == ["PersistentVolumeClaim/genops-store"]


def test_what_is_judged_is_fixed_when_the_job_is_made() -> None:
    given = world()
    told = given.told(given.plan(JOB.running()))
    assert replace(told, references={}).plan(JOB.running()).status["phase"] == "Running"
    newer = replace(told, references={DATA: a_dataset(), RUN: a_run(digest=OTHER)})
    plan = newer.plan(JOB.succeeded(measured("Passed")))
    assert plan.status["inputs"]["subjectDigest"] == DIGEST
    assert [k for k in kinds_of(plan) if k.startswith("Job/")] == [f"Job/{JOB.name}"]


def test_a_job_lost_before_anything_was_measured_is_made_for_what_is_there_now() -> None:
    newer = world({DATA: a_dataset(), RUN: a_run(digest=OTHER)})
    assert newer.job().name != JOB.name


def test_a_failed_job_that_a_person_deletes_is_made_again_and_one_that_its_ttl_removed_is_not() -> None:
    for ttl, again in (({}, True), ({"ttlSecondsAfterFinished": 10}, False)):
        given = world(**ttl)
        told = given.told(given.plan(given.job().failed(Code.BAD_DATA, "the split is empty")))
        plan = told.plan(None)
        assert any(k.startswith("Job/") for k in kinds_of(plan)) is again
        assert (plan.status["phase"] == "Failed") is not again


def test_a_finished_job_goes_when_its_time_is_over_and_the_verdict_stays() -> None:
    given = world(ttlSecondsAfterFinished=100)
    done = given.job().succeeded(measured("Passed"))
    told = given.told(given.plan(done))
    assert told.plan(done).wake_after == pytest.approx(40)
    late = told.plan(done, NOW + timedelta(seconds=41))
    assert kinds_of(late) == ["PersistentVolumeClaim/genops-store"]
    assert late.status["verdict"] == "Passed"


# --- what is served --------------------------------------------------------------------------------------------------

SERVED = Key(GEN_DEPLOYMENT, "team", "front")


def a_deployment(served: str, **model: Any) -> Manifest:
    return {"metadata": {}, "spec": {"model": model}, "status": {"stable": {"digest": served}}}


def against(deployment: Manifest | None, *runs: Manifest) -> World:
    references = {**THERE, **({SERVED: deployment} if deployment else {})}
    references |= {Key(GEN_TRAINING_JOB, "team", r["metadata"]["name"]): r for r in runs}
    metrics = [{"name": "fid", "maxRegression": 1.0}]
    return world(references, baseline={"deploymentRef": {"name": "front"}}, metrics=metrics)


def baseline_of(given: World) -> tuple[str, str | None]:
    pod = given.job().manifest["spec"]["template"]
    task = decode_task(pod["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.verb == "evaluate"
    assert task.baseline is not None
    return task.baseline.uri, task.baseline.digest


def test_the_baseline_is_what_is_served_now_whichever_run_made_it() -> None:
    given = against(a_deployment(OTHER, trainingJobRef={"name": "run-2"}), a_run("run-1", OTHER), a_run("run-2"))
    assert baseline_of(given) == ("/genops/store/genops-store/weights-run-1", OTHER)
    assert Key(GEN_TRAINING_JOB, "team", EVERY) in EVALUATION.refs(given.obj)


def test_the_baseline_may_be_served_from_an_address() -> None:
    given = against(a_deployment(OTHER, uri="s3://models/faces"))
    assert baseline_of(given) == ("s3://models/faces", OTHER)


@pytest.mark.parametrize(
    ("deployment", "says"),
    [
        (None, "GenDeployment/front does not exist"),
        ({"metadata": {}, "spec": {"model": {}}}, "GenDeployment/front, which serves nothing yet"),
        (a_deployment(OTHER), "no GenTrainingJob here has that output"),
        (a_deployment(OTHER, uri="s3://models/faces", digest=DIGEST), "no GenTrainingJob here has that output"),
    ],
)
def test_a_baseline_that_cannot_be_had_is_waited_for(deployment: Manifest | None, says: str) -> None:
    ready = condition(against(deployment).plan(), "SubjectReady")
    assert (ready.status, ready.reason) == ("False", "WaitingForReference")
    assert says in ready.message


# --- people ----------------------------------------------------------------------------------------------------------


CARDS = 4  # of two pairs: one is shown again, one is gold


def verdict(rater: str, card: int, choice: str = "A", of: str = "judge", at: int = 0) -> dict[Key, Manifest]:
    name = f"{rater}-{card}-{at}"
    body = {"evaluationRef": {"name": of}, "rater": rater, "pair": card, "choice": choice}
    meta = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{at:02d}Z"}
    return {Key(GEN_VERDICT, "team", name): {"metadata": meta, "spec": body}}


def all_of(*raters: str, choice: str = "A") -> dict[Key, Manifest]:
    """Verdicts of people about every card."""
    return {k: v for rater in raters for card in range(CARDS) for k, v in verdict(rater, card, choice).items()}


def judging(extra: dict[Key, Manifest], vouched: bool = True, **human: Any) -> World:
    """The world after the numbers passed and people were asked, with their verdicts so far."""
    given = world(**{**BOTH, "human": {**BOTH["human"], **human}})
    told = given.told(given.plan(given.job().succeeded(measured("Passed"))))
    return replace(told, references={**THERE, **extra}, vouched=vouched)


def counting(given: World) -> AJob:
    """The Job that counts."""
    return AJob(next(m for m in given.plan().children if m["metadata"]["labels"].get(LABEL_ROLE) == "tally"))


def tallied(verdict: str, agreed: bool | None = None) -> Report:
    return Report(
        verb="tally",
        code=Code.DONE,
        message="The subject won 80% of 2 pairs",
        verdict=verdict,  # type: ignore[arg-type]
        metrics=[
            MetricReport(name="winRate", value=0.8, low=0.6, high=0.9, samples=2),
            MetricReport(name="agreement", value=0.7, low=0.5, high=0.8, passed=agreed),
            MetricReport(name="consistency", value=1.0),
            MetricReport(name="gold"),
            MetricReport(name="setAside", value=1.0),
        ],
    )


BEN_TWICE = {**verdict("ben", 0), **verdict("ben", 0, "B", at=1), **verdict("ben", 0, "Tie", at=2)}
THREE = {**verdict("ada", 0), **verdict("ben", 0), **verdict("cleo", 0, at=1)}
WAITING: list[tuple[str, dict[Key, Manifest], bool, str, str]] = [
    ("Verdicts are counted as they come", verdict("ada", 0), True, "WaitingForHumans", "1 of 8 verdicts have come"),
    ("Verdicts for others do not count", verdict("ada", 0, of="another"), True, "WaitingForHumans", "0 of 8 verdicts have come"),
    ("A person counts once for each card", BEN_TWICE, True, "WaitingForHumans", "1 of 8 verdicts have come, 2 do not count"),
    ("No more people count than are asked", THREE, True, "WaitingForHumans", "2 of 8 verdicts have come, 1 do not count"),
    ("One person cannot be all", all_of("ada"), True, "WaitingForHumans", "4 of 8 verdicts"),
    ("Cards that there are not do not count", {**verdict("ada", 4), **verdict("ada", 99)}, True, "WaitingForHumans", "0 of 8 verdicts have come, 2 do not count"),
    ("Without the server's word nobody counts", all_of("ada", "ben"), False, "RatersUnverified", "kubectl apply -f crds/genops.dev_genverdicts.raters.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "extra", "vouched", "reason", "says"), WAITING, ids=[r[0] for r in WAITING])
def test_people_are_waited_for(fact: str, extra: dict[Key, Manifest], vouched: bool, reason: str, says: str) -> None:
    plan = judging(extra, vouched).plan()
    people = condition(plan, "Human")
    assert (plan.status["phase"], plan.status["verdict"]) == ("WaitingForHumans", "Inconclusive")
    assert (people.status, people.reason) == ("False", reason)
    assert condition(plan, "Complete").reason == reason
    assert says in people.message
    assert not [k for k in kinds_of(plan) if "tally" in k]


def test_the_first_that_a_person_says_counts() -> None:
    given = judging({**all_of("ada", "ben"), **verdict("ada", 0, "B", at=9)})
    assert decoded(counting(given)).ballots[0] == "0A 1A"


def decoded(job: AJob) -> Any:
    task = decode_task(job.manifest["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.verb == "tally"
    return task


def test_once_all_have_come_a_pod_counts_what_nobody_else_can_read() -> None:
    given = judging({**all_of("ada"), **all_of("ben", choice="Tie")}, minAgreement=0.6, minWinRate=0.4)
    plan = given.plan()
    assert (plan.status["phase"], condition(plan, "Complete").reason) == ("Running", "Counting")
    task = decoded(counting(given))
    assert (task.raters, task.ballots) == (["ada", "ben"], ["0A 1T"] * CARDS)
    assert (task.report.uri, task.report.digest) == ("/genops/store/genops-store/genevaluations/judge", DIGEST)
    assert (task.min_win_rate, task.min_agreement) == (0.4, 0.6)
    mounts = counting(given).manifest["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert [m["readOnly"] for m in mounts if m["mountPath"].startswith("/genops/store")] == [True]
    assert given.plan().children == plan.children
    assert EVALUATION.inspect(given.obj, Seen({JOBS: (counting(given).manifest,)}), NOW) == (counting(given).name,)


COUNTED: list[tuple[str, Report, str, str]] = [
    ("A subject that people prefer passes", tallied("Passed"), "Passed", "Preferred"),
    ("One that they do not prefer fails", tallied("Failed"), "Failed", "NotPreferred"),
    ("People who do not tell the two apart decide nothing", tallied("Inconclusive"), "Inconclusive", "Undecided"),
    ("People who disagree decide nothing", tallied("Inconclusive", False), "Inconclusive", "RatersDisagree"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "said", "verdict", "reason"), COUNTED, ids=[r[0] for r in COUNTED])
def test_what_the_count_says_is_the_verdict(fact: str, said: Report, verdict: str, reason: str) -> None:
    given = judging(all_of("ada", "ben"))
    plan = replace(given, others=(counting(given).succeeded(said),)).plan()
    people = condition(plan, "Human")
    assert (plan.status["phase"], plan.status["verdict"]) == ("Complete", verdict)
    assert (people.status, people.reason) == ("True" if verdict == "Passed" else "False", reason)
    assert people.message == said.message
    assert plan.status["human"] == {
        "received": 8,
        "required": 8,
        "winRate": "0.8",
        "winRateLow": "0.6",
        "winRateHigh": "0.9",
        "agreement": "0.7",
        "agreementLow": "0.5",
        "agreementHigh": "0.8",
        "consistency": "1",
        "setAside": 1,
    }


def test_a_count_that_fails_is_told_and_may_be_made_again() -> None:
    given = judging(all_of("ada", "ben"))
    job = counting(given)
    failed = replace(given, others=(job.failed(Code.DIGEST_MISMATCH, "deck.json has digest x"),)).plan()
    assert (failed.status["phase"], condition(failed, "Failed").reason) == ("Failed", "DigestMismatch")
    assert failed.status["lastFailure"]["stage"] == "tally"
    silent = replace(given, others=(job.succeeded(None),)).plan()
    assert condition(silent, "Failed").reason == "NoReport"
    again = given.told(failed).plan()  # somebody deleted the failed Job
    assert (again.status["phase"], f"Job/{job.name}" in kinds_of(again)) == ("Running", True)


@pytest.mark.parametrize(("on_timeout", "verdict"), [("Inconclusive", "Inconclusive"), ("Fail", "Failed")])
def test_people_who_do_not_come_in_time(on_timeout: str, verdict: str) -> None:
    given = judging({}, onTimeout=on_timeout)
    early = given.plan(None, NOW + timedelta(seconds=60))
    assert (early.status["phase"], early.wake_after) == ("WaitingForHumans", 40)
    late = given.plan(None, NOW + timedelta(seconds=101))
    assert (late.status["phase"], late.status["verdict"]) == ("Complete", verdict)
    assert condition(late, "Human").reason == "HumansTimedOut"


def test_the_time_is_not_over_while_is_counted() -> None:
    assert judging(all_of("ada", "ben")).plan(None, NOW + timedelta(days=1)).status["phase"] == "Running"


def test_what_people_say_later_does_not_change_the_verdict() -> None:
    given = judging(all_of("ada", "ben"))
    first = replace(given, others=(counting(given).succeeded(tallied("Passed")),)).plan()
    status = {**first.status, "conditions": merge(first.conditions, given.obj.status["conditions"], 1, NOW)}
    final = replace(given, obj=replace(given.obj, status=status))
    later = replace(final, references={}).plan(None, NOW + timedelta(days=1))
    assert later.status == first.status
    assert later.conditions == first.conditions
    assert not [k for k in kinds_of(later) if k.startswith("Job/")]


def test_people_alone_may_decide_and_are_shown_a_deck() -> None:
    given = world(metrics=[], human={"pairs": 1}, decision={"requires": ["Human"]})
    task = decode_task(given.job().manifest["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.verb == "evaluate"
    assert ([m.name for m in task.metrics], task.pairs) == (["novelty"], 1)
    done = given.plan(given.job().succeeded(measured("Failed")))
    assert (done.status["phase"], done.status["verdict"]) == ("WaitingForHumans", "Inconclusive")
    assert [c.type for c in done.conditions] == ["Complete", "SubjectReady", "Human"]


def test_the_largest_deck_fits_the_task_of_a_pod() -> None:
    """An object's annotations hold 256 KiB in all."""
    cards = size(MAX_PAIRS)
    task = Ballots.of([[(f"somebody.{r}@example.org", "Bad") for r in range(10)]] * cards)
    assert len(task.model_dump_json()) < 200_000
