"""GenDataset: worlds, and what is planned and said in each."""

from datetime import timedelta
from typing import Any

import pytest
from worlds import DIGEST, NOW, AJob, World, artifact, condition, kinds_of, resource

from gencontract.codes import Code
from gencontract.report import CheckReport, Progress, Report, SplitReport
from gencontract.wire import decode_task
from genops.core.kinds import GEN_DEPLOYMENT
from genops.core.model import Key
from genops.core.podspec import TASK_ANNOTATION, pod_path
from genops.core.stores import records
from genops.stages.dataset import DATASET

SPEC: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}, "format": "images"}
DONE = Report(
    verb="prepare",
    code=Code.DONE,
    artifact=artifact("/genops/store/genops-store/gendatasets/digits"),
    samples=1797,
    bytes=2048,
    splits=[SplitReport(name="train", samples=1400, digest=DIGEST)],
    checks=[CheckReport(name="rows", passed=True, value=1797)],
    reference="/genops/store/genops-store/gendatasets/digits/reference.json",
)
BLOCKED = [CheckReport(name="rows", passed=False, value=3, message="3 samples, at least 1000 asked")]


def world(status: dict[str, Any] | None = None, **spec: Any) -> World:
    return World(DATASET, resource(DATASET, "digits", {**SPEC, **spec}, status))


JOB = world().job()
ROWS: list[tuple[str, AJob | None, str, str, str]] = [
    ("A new dataset asks for its Job", None, "Pending", "Creating", "Waits for its pod"),
    ("A pod whose image cannot be had is named", JOB.waiting("ErrImagePull", "no such image"), "Pending", "PodNotStarted", "ErrImagePull: no such image"),
    ("A running pod prepares", JOB.running(), "Preparing", "Preparing", "fetched"),
    ("A pod that failed is tried again, and why is said", JOB.pod_failed(Code.SOURCE_UNAVAILABLE, "s3://x did not answer"), "Preparing", "Retrying", "Attempt 1 failed and is made again: s3://x did not answer"),
    ("A permanent failure carries the pod's own words", JOB.failed(Code.BAD_DATA, "x.png is not an image"), "Failed", "BadData", "x.png is not an image"),
    ("A pod that could not speak is named with its exit code", JOB.failed(3), "Failed", "Crashed", "exit code 3"),
    ("A pod that ran out of memory is told how to mend it", JOB.failed(137), "Failed", "OutOfMemory", "resources.limits.memory"),
    ("A Job that took too long says so", JOB.overdue(), "Failed", "DeadlineExceeded", "raise it"),
    ("A check that blocks is not a failure of the work", JOB.failed(Code.CHECK_BLOCKED, "rows: 3", checks=BLOCKED), "Blocked", "CheckBlocked", "rows: 3"),
    ("A pod that left no report is no dataset", JOB.succeeded(None), "Failed", "NoReport", "left no report"),
    ("Data under a digest is ready", JOB.succeeded(DONE), "Ready", "Frozen", "1797 samples"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "job", "phase", "reason", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_a_world_and_its_verdict(fact: str, job: AJob | None, phase: str, reason: str, says: str) -> None:
    plan = world().plan(job)
    ready = condition(plan, "Ready")
    assert (plan.status["phase"], ready.reason) == (phase, reason)
    assert says in ready.message
    assert ready.status == ("True" if phase == "Ready" else "False")
    assert kinds_of(plan) == sorted([f"Job/{JOB.name}", "PersistentVolumeClaim/genops-store"])


def test_what_the_pod_reported_is_the_status() -> None:
    status = world().plan(JOB.succeeded(DONE)).status
    assert status["digest"] == DIGEST
    assert status["uri"] == "pvc://genops-store/gendatasets/digits"
    assert status["reference"] == {"uri": "pvc://genops-store/gendatasets/digits/reference.json"}
    assert status["splits"] == [{"name": "train", "samples": 1400, "digest": DIGEST}]
    assert status["checks"] == [{"name": "rows", "passed": True, "action": "Block", "value": "1797"}]
    assert (status["samples"], status["syncRound"]) == (1797, 1)
    assert "progress" not in status


def test_the_credentials_of_a_source_are_a_folder_in_the_pod_and_never_in_the_task() -> None:
    source = {"s3": {"uri": "s3://bucket/set"}, "secretRef": {"name": "minio"}}
    template = world(source=source).job().manifest["spec"]["template"]
    task: Any = decode_task(template["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.source.secret == "/genops/secrets/minio"
    mounts = {m["mountPath"]: m["name"] for m in template["spec"]["containers"][0]["volumeMounts"]}
    (volume,) = [v for v in template["spec"]["volumes"] if v["name"] == mounts[task.source.secret]]
    assert volume["secret"]["secretName"] == "minio"


def test_progress_stands_in_the_status_while_the_work_goes_on() -> None:
    progress = Progress(stage="deduplicating", step=30, total=120, samples_per_second=12.5, eta_seconds=7.2)
    plan = world().plan(JOB.running(progress))
    assert plan.status["progress"] == {
        "stage": "deduplicating",
        "percent": 25,
        "step": 30,
        "totalSteps": 120,
        "samplesPerSecond": "12.5",
        "etaSeconds": 7,
    }
    assert plan.wake_after is not None
    assert plan.wake_after <= 15


def test_a_failure_is_never_only_an_event() -> None:
    plan = world().plan(JOB.failed(Code.BAD_DATA, "x.png is not an image"))
    assert plan.status["lastFailure"] == {
        "stage": "prepare",
        "reason": "BadData",
        "message": "x.png is not an image",
        "pod": f"{JOB.name}-0",
        "exitCode": 65,
        "retryable": False,
        "time": "2026-01-01T11:59:00Z",
    }
    assert plan.happening is not None
    assert plan.happening.type == "Warning"


def test_a_blocked_dataset_shows_its_checks_and_has_no_digest() -> None:
    status = world().plan(JOB.failed(Code.CHECK_BLOCKED, "rows: 3", checks=BLOCKED)).status
    assert status["checks"][0]["message"] == "3 samples, at least 1000 asked"
    assert "digest" not in status


def test_a_check_that_warns_leaves_the_dataset_ready_and_is_named() -> None:
    checks = [CheckReport(name="balance", passed=False, action="Warn", value=0.2)]
    plan = world().plan(JOB.succeeded(DONE.model_copy(update={"checks": checks})))
    assert condition(plan, "Ready").status == "True"
    validated = condition(plan, "Validated")
    assert (validated.reason, validated.message) == ("ChecksWarned", "Did not pass: balance")


@pytest.mark.parametrize("job", [JOB.succeeded(DONE), JOB.failed(Code.BAD_DATA, "x.png is not an image")])
def test_an_outcome_that_was_written_outlives_its_job_and_is_never_made_again(job: AJob) -> None:
    first = world().plan(job)
    later = world().told(first).plan(None)
    assert later.status == first.status
    assert [k for k in kinds_of(later) if k.startswith("Job/")] == []
    assert later.conditions == first.conditions


def test_a_finished_job_goes_when_its_time_is_over_and_not_before() -> None:
    spec = world(ttlSecondsAfterFinished=100)
    told = spec.told(spec.plan(spec.job().succeeded(DONE)))
    early = told.plan(spec.job().succeeded(DONE))
    assert f"Job/{spec.job().name}" in kinds_of(early)
    assert early.wake_after == pytest.approx(40)
    late = told.plan(spec.job().succeeded(DONE), NOW + timedelta(seconds=41))
    assert kinds_of(late) == ["PersistentVolumeClaim/genops-store"]
    assert late.status["phase"] == "Ready"


def test_a_new_sync_round_makes_a_new_job_and_keeps_the_old_data_until_it_is_done() -> None:
    told = world().told(world().plan(JOB.succeeded(DONE)))
    again = World(DATASET, resource(DATASET, "digits", {**SPEC, "syncRound": 2}, told.obj.status))
    plan = again.plan()
    assert f"Job/{JOB.name}" not in kinds_of(plan)
    assert len(kinds_of(plan)) == 2
    assert plan.status["digest"] == DIGEST
    assert plan.status["phase"] == "Pending"
    assert plan.status["syncRound"] == 1


def test_suspend_holds_the_job_and_says_so() -> None:
    held = world(suspend=True)
    plan = held.plan()
    assert plan.status["phase"] == "Suspended"
    assert next(m for m in plan.children if m["kind"] == "Job")["spec"]["suspend"] is True
    assert held.job().name == JOB.name, "suspending does not make it another Job"


def test_captured_traffic_waits_for_its_deployment_and_then_reads_from_it() -> None:
    capture = world(source={"capture": {"deploymentRef": {"name": "faces"}}})
    waiting = capture.plan()
    assert (waiting.status["phase"], condition(waiting, "Ready").reason) == ("Pending", "WaitingForReference")
    assert [k for k in kinds_of(waiting) if k.startswith("Job/")] == []
    key = Key(GEN_DEPLOYMENT, "team", "faces")
    assert DATASET.refs(capture.obj) == (key,)
    store = {"pvc": {"claimName": "seen", "path": "faces"}}
    deployment = {"metadata": {"name": "faces", "uid": "u"}, "spec": {"capture": {"sampleRate": 1, "store": store}}}
    found = World(DATASET, capture.obj, {key: deployment})
    task = decode_task(found.job().manifest["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION])
    assert task.task.verb == "prepare"
    source = task.task.source
    assert (source.kind, source.uri) == (
        "capture",
        pod_path(records("pvc://seen/faces", {"name": "faces", "uid": "u"})),
    )
    claims = [v for v in found.job().manifest["spec"]["template"]["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert {v["persistentVolumeClaim"]["claimName"] for v in claims} == {"genops-store", "seen"}


@pytest.mark.parametrize(
    ("source", "task"),
    [
        ({"builtin": {"name": "sprites", "samples": 9, "seed": 4}}, {"kind": "builtin", "name": "sprites", "samples": 9, "seed": 4}),
        ({"http": {"urls": [{"url": "https://x.org/a.zip", "sha256": "0" * 64}]}}, {"kind": "http", "urls": ["https://x.org/a.zip"], "sha256": {"https://x.org/a.zip": "0" * 64}}),
        ({"s3": {"uri": "s3://bucket/a", "endpoint": "http://127.0.0.1:9"}}, {"kind": "s3", "uri": "s3://bucket/a", "endpoint": "http://127.0.0.1:9"}),
        ({"git": {"url": "https://x.org/a.git", "path": "data"}, "revision": "v1"}, {"kind": "git", "uri": "https://x.org/a.git", "path": "data", "revision": "v1"}),
        ({"huggingFace": {"repository": "a/b", "split": "train"}}, {"kind": "huggingFace", "name": "a/b", "split": "train"}),
        ({"pvc": {"claimName": "raw", "path": "faces"}}, {"kind": "path", "path": "/genops/store/raw/faces"}),
        ({"oci": {"image": "x.org/data:1"}}, {"kind": "oci", "uri": "x.org/data:1"}),
    ],
    ids=lambda v: next(iter(v)),
)  # fmt: skip
def test_each_source_reaches_the_pod(source: dict[str, Any], task: dict[str, Any]) -> None:
    made = World(DATASET, resource(DATASET, "digits", {**SPEC, "source": source})).job().manifest
    told = decode_task(made["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION])
    assert told.task.verb == "prepare"
    said = told.task.source.model_dump(by_alias=True, exclude_defaults=True)
    assert said == task


def test_a_secret_is_mounted_by_name_and_its_value_never_read() -> None:
    made = world(source={"s3": {"uri": "s3://bucket/a"}, "secretRef": {"name": "keys"}}).job().manifest
    volumes = made["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "keys", "defaultMode": 0o440} in [v.get("secret") for v in volumes]


def test_your_own_container_gets_the_same_task() -> None:
    made = world(prepare={"image": "x.org/mine:1", "command": ["/prepare"]}).job().manifest
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["command"]) == ("x.org/mine:1", ["/prepare"])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
