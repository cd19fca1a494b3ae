"""GenTrainingJob: worlds, and what is planned and said in each."""

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from worlds import DIGEST, EARLIER, NOW, AJob, artifact, condition, kinds_of, resource

from gencontract.codes import Code
from gencontract.report import Checkpoint, MetricReport, Progress, Report, Usage
from gencontract.task import TrainTask
from gencontract.wire import decode_task
from genops.core.conditions import merge
from genops.core.kinds import GEN_DATASET, GEN_TRAINING_JOB, JOB, JOB_SET, Kind
from genops.core.model import Config, Key, Manifest, Plan, PodSeen, Resource, Seen
from genops.core.podspec import TASK_ANNOTATION
from genops.stages.training import TRAINING

SPEC: dict[str, Any] = {"datasetRef": {"name": "digits"}, "family": "flow"}
OTHER = "sha256:" + "b" * 64
DATASET = Key(GEN_DATASET, "team", "digits")
BASE = Key(GEN_TRAINING_JOB, "team", "base")
STEP = Checkpoint(uri="/genops/store/genops-store/x/checkpoints/step-0000000040", step=40, digest=DIGEST)
DONE = Report(
    verb="train",
    code=Code.DONE,
    artifact=artifact("/genops/store/genops-store/x/model"),
    step=100,
    checkpoint=STEP,
    metrics=[MetricReport(name="loss", value=0.25)],
    usage=Usage(cpu_seconds=10, gpu_seconds=2, peak_memory_bytes=1000),
)


def a_condition(kind: str, status: str, reason: str = "Why", message: str = "because") -> Manifest:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = {"status": {"uri": "pvc://genops-store/d", "digest": DIGEST, "conditions": [a_condition("Ready", "True")]}}
TRAINED = {
    "status": {"output": {"uri": "pvc://w/m", "digest": DIGEST}, "conditions": [a_condition("Complete", "True")]}
}


class Training:
    """A GenTrainingJob in its world."""

    def __init__(self, status: Manifest | None = None, **spec: Any) -> None:
        self.obj: Resource[Any] = resource(TRAINING, "faces", {**SPEC, **spec}, status)
        self.references: dict[Key, Manifest] = {DATASET: READY}
        self.present: frozenset[Kind] = frozenset()
        self.config = Config()

    def with_references(self, references: dict[Key, Manifest]) -> "Training":
        self.references = references
        return self

    def seen(self, jobs: tuple[AJob, ...] = ()) -> Seen:
        children = {kind: tuple(j.manifest for j in jobs if j.manifest["kind"] == kind.kind) for kind in (JOB, JOB_SET)}
        pods = {j.name + ("-node-0" if j.manifest["kind"] == "JobSet" else ""): j.pods for j in jobs}
        return Seen(children, self.references, pods, self.present, self.config)

    def plan(self, *jobs: AJob, now: Any = NOW) -> Plan:
        return TRAINING.plan(self.obj, self.seen(jobs), now)

    def told(self, plan: Plan) -> "Training":
        """The same world after the plan's status was written."""
        after = copy.copy(self)
        conditions = merge(plan.conditions, self.obj.status.get("conditions", ()), 1, NOW)
        after.obj = replace(self.obj, status={**plan.status, "conditions": conditions})
        return after

    def becoming(self, status: Manifest | None = None, **spec: Any) -> "Training":
        """The same object with another spec, and its status as it was."""
        after = copy.copy(self)
        said = self.obj.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
        after.obj = resource(TRAINING, "faces", {**said, **spec}, status or self.obj.status)
        return after

    def job(self, number: int = 0) -> AJob:
        """A Job that a fresh object asks for."""
        return AJob(jobs_of(self.plan())[number])


def jobs_of(plan: Plan) -> list[Manifest]:
    return [m for m in plan.children if m["kind"] in ("Job", "JobSet")]


def task_of(job: Manifest) -> TrainTask:
    pod = job["spec"].get("template") or job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    task = decode_task(pod["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert isinstance(task, TrainTask)
    return task


def container_of(job: Manifest) -> Manifest:
    return dict(job["spec"]["template"]["spec"]["containers"][0])


def env_of(job: Manifest) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in container_of(job)["env"]}


def held(job: AJob) -> AJob:
    manifest = copy.deepcopy(job.manifest)
    manifest["spec"]["suspend"] = True
    return replace(job, manifest=manifest)


def released(job: AJob) -> AJob:
    manifest = copy.deepcopy(job.manifest)
    manifest["spec"]["suspend"] = False
    return replace(job, manifest=manifest)


BLOCKED = {
    "status": {
        "conditions": [a_condition("Ready", "False", "CheckBlocked", "rows: 3"), a_condition("Validated", "False")]
    }
}
PREPARING = {"status": {"digest": OTHER, "conditions": [a_condition("Ready", "False", "Preparing", "goes on")]}}
FRESH = Training().job()
ROWS: list[tuple[str, AJob | None, Manifest | None, str, str, str]] = [
    ("A new run asks for its Job", None, READY, "Pending", "Creating", "Waits for its pods"),
    ("A dataset that does not exist is waited for", None, None, "Pending", "WaitingForReference", "GenDataset digits does not exist"),
    ("A dataset that is being prepared is waited for, and how far it is is said", None, PREPARING, "Pending", "WaitingForReference", "GenDataset digits (Preparing: goes on)"),
    ("A dataset that a check blocks stops the run, with the check's words", None, BLOCKED, "Pending", "ReferenceFailed", "GenDataset digits has failed (CheckBlocked: rows: 3)"),
    ("A pod whose image cannot be had is named", FRESH.waiting("ErrImagePull", "no such image"), READY, "Pending", "PodNotStarted", "ErrImagePull: no such image"),
    ("A running pod trains", FRESH.running(), READY, "Running", "Training", "The trainer runs"),
    ("A run that lost its dataset goes on", FRESH.running(), None, "Running", "Training", "The trainer runs"),
    ("A crash is tried again from the last checkpoint", FRESH.pod_failed(Code.CRASHED, "ValueError: x"), READY, "Running", "Retrying", "Starts again from the last checkpoint: ValueError: x"),
    ("A preempted pod goes on", FRESH.pod_failed(Code.PREEMPTED, "Asked to stop after step 40; saved"), READY, "Running", "Retrying", "step 40"),
    ("A permanent failure carries the trainer's own words", FRESH.failed(Code.BAD_CONFIG, "hyperparameters.lr = -1"), READY, "Failed", "BadConfig", "hyperparameters.lr = -1"),
    ("A changed byte in the data is named", FRESH.failed(Code.DIGEST_MISMATCH, "train/x.npy is not the file"), READY, "Failed", "DigestMismatch", "train/x.npy"),
    ("A full store that stayed full is said", FRESH.failed(Code.STORE_FULL, "No room to write"), READY, "Failed", "StoreFull", "No room to write"),
    ("A trainer that ran out of memory is not tried again with the same batch", FRESH.pod_failed(137), READY, "Failed", "OutOfMemory", "resources.limits.memory"),
    ("A pod that could not speak is named with its exit code", FRESH.failed(3), READY, "Failed", "Crashed", "exit code 3"),
    ("A run that took too long says so", FRESH.overdue(), READY, "Failed", "DeadlineExceeded", "raise it"),
    ("A pod that left no report made no model", FRESH.succeeded(None), READY, "Failed", "NoReport", "left no report"),
    ("Weights under a digest are the end", FRESH.succeeded(DONE), READY, "Succeeded", "WeightsReady", "Weights at pvc://genops-store/x/model"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "job", "dataset", "phase", "reason", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_a_world_and_its_verdict(
    fact: str, job: AJob | None, dataset: Manifest | None, phase: str, reason: str, says: str
) -> None:
    world = Training().with_references({DATASET: dataset} if dataset else {})
    plan = world.plan(*([job] if job else []))
    complete = condition(plan, "Complete")
    assert (plan.status["phase"], complete.reason) == (phase, reason)
    assert says in complete.message
    assert complete.status == ("True" if phase == "Succeeded" else "False")
    assert condition(plan, "Failed").status == ("True" if phase == "Failed" else "False")
    waits = phase == "Pending" and job is None and dataset is not READY
    assert [k for k in kinds_of(plan) if k.startswith("Job/")] == ([] if waits else [f"Job/{FRESH.name}"])


# --- what is rendered ------------------------------------------------------------------------------------------------


def test_the_trainer_is_told_what_to_do() -> None:
    run = Training(
        hyperparameters={"lr": "3e-4", "batch": 64}, size="s", seed=7, checkpoint={"everySeconds": 9}, resume="Never"
    )
    task = task_of(run.job().manifest)
    assert (task.dataset.uri, task.dataset.digest) == ("/genops/store/genops-store/d", DIGEST)
    assert (task.family, task.size, task.seed, task.resume) == ("flow", "s", 7, "Never")
    assert task.hyperparameters == {"lr": 0.0003, "batch": 64}
    assert task.checkpoint.every_seconds == 9
    assert task.output.startswith("/genops/store/genops-store/gentrainingjobs/faces-")
    assert task.checkpoint.uri == task.output.replace("/model", "/checkpoints")


def test_checkpoints_have_a_place_of_their_own_where_one_is_named() -> None:
    job = Training(checkpoint={"uri": "pvc://fast/ckpt"}).job().manifest
    assert task_of(job).checkpoint.uri.startswith("/genops/store/fast/ckpt/gentrainingjobs/faces-")
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in job["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    ]
    assert claims == ["genops-store", "fast"]


def test_data_outside_of_any_dataset_is_taken_as_it_is() -> None:
    run = Training()
    run.obj = resource(TRAINING, "faces", {"datasetUri": "s3://bucket/data", "family": "flow"})
    assert TRAINING.refs(run.obj) == ()
    assert task_of(run.job().manifest).dataset.uri == "s3://bucket/data"


def test_one_pod_is_a_plain_job_without_a_service() -> None:
    plan = Training(resources={"requests": {"memory": "4Gi"}, "limits": {"memory": "6Gi"}}).plan()
    job = jobs_of(plan)[0]
    assert kinds_of(plan) == [
        f"Job/{FRESH.name.rsplit('-', 1)[0]}-" + job["metadata"]["name"].rsplit("-", 1)[1],
        "PersistentVolumeClaim/genops-store",
    ]
    assert not {"completionMode", "completions", "backoffLimitPerIndex"} & set(job["spec"])
    assert not {"WORLD_SIZE", "MASTER_ADDR"} & set(env_of(job))
    shm = next(v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "shm")
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "3072Mi"}
    assert container_of(job)["resources"] == {"requests": {"memory": "4Gi"}, "limits": {"memory": "6Gi"}}


def test_several_nodes_are_an_indexed_job_whose_pods_find_the_first_by_name() -> None:
    plan = Training(nodes=4, retry={"limit": 5}).plan()
    job = jobs_of(plan)[0]
    name = job["metadata"]["name"]
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"], "backoffLimit" in spec) == (5, 0, False)
    assert spec["template"]["spec"]["subdomain"] == name
    env = env_of(job)
    assert (env["WORLD_SIZE"], env["MASTER_ADDR"], env["MASTER_PORT"]) == ("4", f"{name}-0.{name}", "29500")
    service = next(m for m in plan.children if m["kind"] == "Service")
    assert service["metadata"]["name"] == name
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}


def test_several_processes_in_a_pod_are_started_by_torchrun() -> None:
    job = Training(procsPerNode=2).job().manifest
    assert container_of(job)["command"][:5] == ["python", "-m", "gentrainers.launch", "-m", "gentrainers"]
    env = env_of(job)
    assert (env["PET_NPROC_PER_NODE"], env["PET_NNODES"], env["PET_STANDALONE"], env["PET_MAX_RESTARTS"]) == (
        "2",
        "1",
        "1",
        "0",
    )
    assert int(env["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) < job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    both = Training(procsPerNode=2, nodes=2).job().manifest
    assert container_of(both)["command"][3:5] == ["--node-rank", "$(JOB_COMPLETION_INDEX)"]
    assert env_of(both)["PET_MASTER_ADDR"].endswith("-0." + both["metadata"]["name"])


def test_your_own_trainer_gets_the_same_task_and_the_same_neighbours() -> None:
    job = Training(family="custom", image="x.org/mine:1", command=["/train"], nodes=2).job().manifest
    assert (container_of(job)["image"], container_of(job)["command"]) == ("x.org/mine:1", ["/train"])
    assert env_of(job)["WORLD_SIZE"] == "2"
    assert task_of(job).family == "custom"


def test_nothing_of_this_process_reaches_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Training(nodes=2).plan().children
    monkeypatch.setenv("LOGLEVEL", "DEBUG")
    monkeypatch.setenv("TORCHX_JOB_ID", "x")
    assert Training(nodes=2).plan().children == before


def test_the_exit_codes_decide_what_is_tried_again() -> None:
    rules = Training().job().manifest["spec"]["podFailurePolicy"]["rules"]
    assert [r["action"] for r in rules] == ["Ignore", "Ignore", "FailJob"]
    assert rules[0]["onExitCodes"]["values"] == [143]
    strict = Training(retry={"limit": 2, "after": ["NodeLost"]}).job().manifest["spec"]
    assert [r["action"] for r in strict["podFailurePolicy"]["rules"]] == ["FailJob", "Ignore", "FailJob"]
    assert strict["backoffLimit"] == 0


def test_names_that_a_host_cannot_have_are_changed() -> None:
    run = Training(nodes=2)
    run.obj = resource(TRAINING, "3d.v2", {**SPEC, "nodes": 2})
    plan = run.plan()
    name = jobs_of(plan)[0]["metadata"]["name"]
    assert "." not in name
    assert [m["metadata"]["name"] for m in plan.children if m["kind"] == "Service"] == [f"t-{name}"]
    assert env_of(jobs_of(plan)[0])["MASTER_ADDR"] == f"{name}-0.t-{name}"


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_the_weights_of_another_run_are_waited_for_and_named_by_digest() -> None:
    run = Training(baseModel={"trainingJobRef": {"name": "base"}, "digest": DIGEST})
    assert TRAINING.refs(run.obj) == (DATASET, BASE)
    waiting = run.plan()
    assert "GenTrainingJob base does not exist" in condition(waiting, "InputsResolved").message
    run.references = {DATASET: READY, BASE: TRAINED}
    task = task_of(run.job().manifest)
    assert task.base is not None
    assert (task.base.uri, task.base.digest) == ("/genops/store/w/m", DIGEST)
    assert run.plan().status["inputs"]["baseDigest"] == DIGEST


@pytest.mark.parametrize(
    ("base", "reason", "says"),
    [
        ({"status": {"conditions": [a_condition("Complete", "False", "Training")]}}, "WaitingForReference", "Waits for GenTrainingJob base (Training"),
        ({"status": {"conditions": [a_condition("Complete", "False", "BadData", "x"), a_condition("Failed", "True")]}}, "ReferenceFailed", "has failed (BadData: x)"),
        ({"status": {**TRAINED["status"], "output": {"uri": "pvc://w/m", "digest": OTHER}}}, "InputChanged", f"baseModel.digest is {DIGEST}, GenTrainingJob base made {OTHER}"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_had_hold_the_run(base: Manifest, reason: str, says: str) -> None:
    run = Training(baseModel={"trainingJobRef": {"name": "base"}, "digest": DIGEST})
    plan = run.with_references({DATASET: READY, BASE: base}).plan()
    resolved = condition(plan, "InputsResolved")
    assert (resolved.status, resolved.reason) == ("False", reason)
    assert says in resolved.message
    assert jobs_of(plan) == []


def test_what_a_run_is_made_of_stands_in_its_status() -> None:
    pod = PodSeen("p", "Running", image="x.org/trainer@sha256:1")
    said = Training().plan(replace(FRESH.running(), pods=(pod,))).status["inputs"]
    assert said["datasetDigest"] == DIGEST
    assert said["imageDigest"] == "x.org/trainer@sha256:1"
    assert said["hyperparametersDigest"].startswith("sha256:")
    other = Training(hyperparameters={"lr": "1"}).plan().status["inputs"]
    assert other["hyperparametersDigest"] != said["hyperparametersDigest"]


def moved_on() -> dict[Key, Manifest]:
    return {DATASET: {"status": {**READY["status"], "digest": OTHER}}}


def test_a_dataset_that_moves_on_does_not_touch_the_run() -> None:
    run = Training().told(Training().plan(FRESH.running())).with_references(moved_on())
    plan = run.plan(FRESH.running())
    assert [j["metadata"]["name"] for j in jobs_of(plan)] == [FRESH.name]
    assert plan.status["inputs"]["datasetDigest"] == DIGEST
    assert plan.status["phase"] == "Running"


def test_a_run_whose_job_was_taken_away_is_not_made_again_from_other_data() -> None:
    run = Training().told(Training().plan(FRESH.running())).with_references(moved_on())
    plan = run.plan()
    assert condition(plan, "InputsResolved").reason == "InputChanged"
    assert jobs_of(plan) == []
    back = run.with_references({DATASET: READY}).plan()
    assert [j["metadata"]["name"] for j in jobs_of(back)] == [FRESH.name]


def test_a_dataset_that_moves_on_before_the_start_is_simply_taken() -> None:
    waiting = Training().told(Training().with_references({}).plan()).with_references(moved_on())
    assert task_of(jobs_of(waiting.plan())[0]).dataset.digest == OTHER


# --- progress --------------------------------------------------------------------------------------------------------


def heard(step: int, at: int, **more: Any) -> Progress:
    return Progress(
        stage="training",
        step=step,
        total=200,
        samples_per_second=12.5,
        eta_seconds=7.2,
        metrics={"loss": 0.5},
        updated_at=f"2026-01-01T11:59:{at:02d}+00:00",
        **more,
    )


def test_progress_stands_in_the_status_while_the_run_goes_on() -> None:
    plan = Training().plan(FRESH.running(heard(50, 10, checkpoint=STEP)))
    assert plan.status["progress"] == {
        "stage": "training",
        "percent": 25,
        "step": 50,
        "totalSteps": 200,
        "samplesPerSecond": "12.5",
        "etaSeconds": 7,
        "metrics": [{"name": "loss", "value": "0.5"}],
        "updatedAt": "2026-01-01T11:59:10+00:00",
    }
    assert plan.status["checkpoint"] == {
        "uri": "pvc://genops-store/x/checkpoints/step-0000000040",
        "step": 40,
        "digest": DIGEST,
    }
    assert (plan.status["attempts"], plan.status["startTime"]) == (1, EARLIER)
    assert plan.wake_after is not None
    assert plan.wake_after <= 5


def test_progress_is_written_at_most_every_five_seconds() -> None:
    run = Training().told(Training().plan(FRESH.running(heard(50, 10))))
    soon = run.plan(FRESH.running(heard(60, 13, checkpoint=STEP)))
    assert soon.status == {k: v for k, v in run.obj.status.items() if k != "conditions"}
    later = run.plan(FRESH.running(heard(70, 15, checkpoint=STEP)))
    assert (later.status["progress"]["step"], later.status["checkpoint"]["step"]) == (70, 40)


def test_progress_and_checkpoint_outlive_the_pod_that_told_them() -> None:
    run = Training().told(Training().plan(FRESH.running(heard(50, 10, checkpoint=STEP))))
    plan = run.plan(FRESH.pod_failed(Code.CRASHED, "killed"))
    assert plan.status["progress"]["step"] == 50
    assert plan.status["checkpoint"]["step"] == 40
    newer = STEP.model_copy(update={"step": 55})
    stopped = run.plan(FRESH.pod_failed(Code.PREEMPTED, "saved", checkpoint=newer))
    assert stopped.status["checkpoint"]["step"] == 55


def test_what_came_of_the_run_is_the_status() -> None:
    status = Training(nodes=2, procsPerNode=2).plan(Training(nodes=2, procsPerNode=2).job().succeeded(DONE)).status
    assert status["output"] == {"uri": "pvc://genops-store/x/model", "digest": DIGEST}
    assert status["metrics"] == [{"name": "loss", "value": "0.25"}]
    assert status["progress"] == {
        "stage": "trained",
        "percent": 100,
        "step": 100,
        "totalSteps": 100,
        "etaSeconds": 0,
        "metrics": [{"name": "loss", "value": "0.25"}],
    }
    assert status["usage"] == {"cpuSeconds": "40", "gpuSeconds": "8", "peakMemoryBytes": 1000}
    assert status["completionTime"] == EARLIER


def test_a_failure_is_never_only_an_event() -> None:
    plan = Training().plan(FRESH.failed(Code.BAD_CONFIG, "hyperparameters.lr = -1"))
    assert plan.status["lastFailure"] == {
        "stage": "train",
        "reason": "BadConfig",
        "message": "hyperparameters.lr = -1",
        "pod": f"{FRESH.name}-0",
        "exitCode": 64,
        "retryable": False,
        "time": EARLIER,
    }
    assert plan.happening is not None
    assert plan.happening.type == "Warning"


def test_of_several_pods_the_one_that_cannot_go_on_is_the_failure() -> None:
    job = FRESH._ended(Code.BAD_DATA, "x.npy is empty").failed(Code.CRASHED, "Connection closed by peer")
    assert condition(Training(nodes=2).plan(job), "Failed").reason == "BadData"


def test_a_failure_stays_readable_after_the_run_has_recovered() -> None:
    run = Training().told(Training().plan(FRESH.pod_failed(Code.CRASHED, "ValueError: x")))
    plan = run.plan(FRESH.succeeded(DONE))
    assert plan.status["lastFailure"]["message"] == "ValueError: x"
    assert condition(plan, "Failed").status == "False"


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        FRESH.succeeded(DONE),
        FRESH.failed(Code.BAD_DATA, "x.npy is empty"),
        FRESH.pod_failed(137),
        FRESH.succeeded(None),
        FRESH.overdue(),
    ],
)
def test_an_outcome_that_was_written_outlives_its_job_and_is_never_made_again(job: AJob) -> None:
    first = Training().plan(job)
    later = Training().told(first).plan()
    assert later.status == first.status
    assert later.conditions == first.conditions
    assert jobs_of(later) == []
    assert TRAINING.inspect(Training().told(first).obj, Training().seen((job,)), NOW) == ()


def test_a_finished_job_goes_when_its_time_is_over_and_is_not_run_again() -> None:
    run = Training(ttlSecondsAfterFinished=100)
    job = run.job().succeeded(DONE)
    told = run.told(run.plan(job))
    early = told.plan(job)
    assert len(jobs_of(early)) == 1
    assert early.wake_after == pytest.approx(40)
    late = told.plan(job, now=NOW + timedelta(seconds=41))
    assert jobs_of(late) == []
    assert late.status["phase"] == "Succeeded"
    assert jobs_of(told.plan(now=NOW + timedelta(days=9))) == []


def test_a_trainer_without_memory_is_held_and_keeps_its_logs() -> None:
    plan = Training().plan(FRESH.pod_failed(137))
    assert [j["spec"] for j in jobs_of(plan)] == [{"suspend": True}]
    assert plan.status["completionTime"] == EARLIER


def test_a_report_that_went_with_its_node_is_made_again() -> None:
    lost = replace(FRESH.succeeded(DONE), pods=())
    plan = Training().plan(lost)
    assert condition(plan, "Complete").reason == "ReportLost"
    assert jobs_of(plan) == []
    again = Training().told(plan).plan()
    assert [j["metadata"]["name"] for j in jobs_of(again)] == [FRESH.name]


# --- suspended, queued, in a gang ------------------------------------------------------------------------------------


def test_suspend_holds_the_job_and_resume_lets_it_go_on() -> None:
    run = Training().told(Training().plan(FRESH.running(heard(50, 10)))).becoming(suspend=True)
    plan = run.plan(FRESH.running(heard(60, 20)))
    assert (plan.status["phase"], condition(plan, "Complete").reason) == ("Suspended", "Suspended")
    assert [(j["metadata"]["name"], j["spec"]) for j in jobs_of(plan)] == [(FRESH.name, {"suspend": True})]
    again = run.told(plan).becoming(suspend=False).plan(held(FRESH))
    assert [j["spec"] for j in jobs_of(again)] == [{"suspend": False}]
    assert again.status["progress"]["step"] == 60


def test_a_pod_that_saved_and_ended_because_it_was_suspended_is_no_failure() -> None:
    run = Training().told(Training().plan(FRESH.running(heard(50, 10)))).becoming(suspend=True)
    asked = FRESH.pod_failed(Code.PREEMPTED, "Asked to stop after step 50; saved", checkpoint=STEP)
    plan = run.plan(asked)
    assert plan.status["checkpoint"]["step"] == STEP.step
    assert "lastFailure" not in plan.status
    crashed = run.plan(FRESH.pod_failed(Code.CRASHED, "boom"))
    assert crashed.status["lastFailure"]["exitCode"] == Code.CRASHED, "what went wrong is told all the same"


def test_a_run_that_begins_suspended_starts_nothing() -> None:
    job = jobs_of(Training(suspend=True).plan())[0]
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["name"] == FRESH.name, "suspending does not make it another Job"


QUEUE = {"scheduling": {"queueName": "team-a"}}


def test_kueue_decides_when_a_queued_run_starts() -> None:
    run = Training(**QUEUE)
    job = run.job()
    assert job.manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert job.manifest["spec"]["suspend"] is True
    waiting = run.plan(held(job))
    assert (waiting.status["phase"], condition(waiting, "Admitted").status) == ("Queued", "False")
    assert "LocalQueue team-a" in condition(waiting, "Admitted").message
    started = run.plan(released(job.running()))
    assert (started.status["phase"], condition(started, "Admitted").status) == ("Running", "True")
    for plan in (waiting, started):
        assert [j["spec"] for j in jobs_of(plan)] == [{}], "Kueue's decision is left alone"


def test_a_queued_run_that_is_suspended_gives_its_place_back_and_keeps_its_checkpoints() -> None:
    run = Training(**QUEUE)
    first = run.job()
    told = run.told(run.plan(released(first.running(heard(50, 10, checkpoint=STEP)))))
    stopped = told.becoming(suspend=True).plan(released(first.running()))
    assert (stopped.status["phase"], jobs_of(stopped)) == ("Suspended", [])
    again = told.told(stopped).becoming(suspend=False).plan()
    assert [j["metadata"]["name"] for j in jobs_of(again)] == [first.name]
    assert task_of(jobs_of(again)[0]).checkpoint.uri == task_of(first.manifest).checkpoint.uri
    assert jobs_of(again)[0]["spec"]["suspend"] is True
    assert again.status["checkpoint"]["step"] == 40


def test_another_controller_is_left_alone() -> None:
    plan = Training(managedBy="kueue.x-k8s.io/multikueue").plan()
    assert plan == Plan(hands_off=True)


GANG = {"scheduling": {"gang": "JobSet"}, "nodes": 3}


def test_a_gang_without_job_sets_is_refused_with_a_remedy() -> None:
    plan = Training(**GANG).plan()
    admitted = condition(plan, "Admitted")
    assert (plan.status["phase"], admitted.status, admitted.reason) == ("Pending", "False", "JobSetMissing")
    assert "install JobSet" in admitted.message
    assert jobs_of(plan) == []


def a_gang() -> Training:
    run = Training(**GANG)
    run.present = frozenset({JOB_SET})
    return run


def test_a_gang_is_a_job_set_that_starts_all_pods_anew() -> None:
    plan = a_gang().plan()
    gang = jobs_of(plan)[0]
    name = gang["metadata"]["name"]
    assert gang["kind"] == "JobSet"
    assert [m["kind"] for m in plan.children] == ["PersistentVolumeClaim", "JobSet"], "a JobSet brings its own Service"
    assert gang["spec"]["failurePolicy"]["maxRestarts"] == 3
    inner = gang["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (inner["completionMode"], inner["completions"], inner["backoffLimit"]) == ("Indexed", 3, 0)
    assert "suspend" not in inner
    env = {e["name"]: e.get("value") for e in inner["template"]["spec"]["containers"][0]["env"]}
    assert env["MASTER_ADDR"] == f"{name}-node-0-0.{name}"
    assert len(f"{name}-node-0-00000-abcde") <= 63


def test_a_job_set_is_read_like_the_job_it_holds() -> None:
    run = a_gang()
    gang = run.job()
    counts = {"replicatedJobsStatus": [{"name": "node", "active": 1, "ready": 1}], "restarts": 1}
    going = AJob({**gang.manifest, "status": counts}, FRESH.running(heard(50, 10)).pods)
    plan = run.plan(going)
    assert (plan.status["phase"], plan.status["progress"]["step"]) == ("Running", 50)
    done = {"conditions": [{"type": "Completed", "status": "True", "lastTransitionTime": EARLIER}]}
    ended = AJob({**gang.manifest, "status": done}, FRESH.succeeded(DONE).pods)
    assert run.plan(ended).status["phase"] == "Succeeded"
    assert TRAINING.inspect(run.obj, run.seen((ended,)), NOW) == (f"{gang.name}-node-0",)


# --- frozen once running ---------------------------------------------------------------------------------------------


def test_a_newer_operator_leaves_a_running_job_alone() -> None:
    run = Training()
    run.config = Config(trainer_image="genops-trainers:next")
    old = copy.deepcopy(FRESH.manifest)
    old["metadata"]["name"] = "faces-train-named-by-an-older-operator"
    job = AJob(old).running()
    plan = run.plan(job)
    assert [(j["metadata"]["name"], j["spec"]) for j in jobs_of(plan)] == [(job.name, {"suspend": False})]


def test_the_name_of_a_run_does_not_depend_on_how_it_is_rendered() -> None:
    run = Training()
    run.config = Config(trainer_image="genops-trainers:next", image_pull_policy="Always")
    assert run.job().name == FRESH.name
    assert Training(ttlSecondsAfterFinished=5, suspend=True).job().name == FRESH.name
    assert Training(resume="Auto", nodes=1).job().name == FRESH.name, "a default that is spelt out is the same run"
    assert Training(seed=1).job().name != FRESH.name


def test_of_two_jobs_the_older_is_the_run() -> None:
    older, younger = copy.deepcopy(FRESH.manifest), copy.deepcopy(FRESH.manifest)
    older["metadata"] |= {"name": "faces-train-b", "creationTimestamp": "2026-01-01T00:00:00Z"}
    younger["metadata"] |= {"name": "faces-train-a", "creationTimestamp": "2026-01-01T00:00:09Z"}
    plan = Training().plan(AJob(younger).running(), AJob(older).running())
    assert [j["metadata"]["name"] for j in jobs_of(plan)] == ["faces-train-b"]


# --- search ----------------------------------------------------------------------------------------------------------


def a_search(**more: Any) -> Training:
    parameters = [{"name": "lr", "values": ["1e-3", "1e-2", "1e-1"]}]
    return Training(
        search={"metric": "loss", "algorithm": "grid", "parameters": parameters, "trials": 3, "parallel": 2, **more}
    )


def scored(value: float, place: str = "m") -> Report:
    uri = f"/genops/store/genops-store/{place}"
    return DONE.model_copy(update={"metrics": [MetricReport(name="loss", value=value)], "artifact": artifact(uri)})


def trials_of(plan: Plan) -> list[str]:
    return [j["metadata"]["annotations"]["genops.dev/trial"] for j in jobs_of(plan)]


def test_as_many_trials_run_as_may_each_with_its_own_place() -> None:
    plan = a_search().plan()
    assert trials_of(plan) == ["0", "1"]
    tasks = [task_of(j) for j in jobs_of(plan)]
    assert [t.hyperparameters for t in tasks] == [{"lr": 0.001}, {"lr": 0.01}]
    assert len({t.output for t in tasks} | {t.checkpoint.uri for t in tasks}) == 4
    assert json.loads(jobs_of(plan)[1]["metadata"]["annotations"]["genops.dev/hyperparameters"]) == {"lr": "1e-2"}


def test_a_trial_that_ends_makes_room_for_the_next_and_the_best_is_kept() -> None:
    run = a_search()
    first, second = run.job(0), run.job(1)
    plan = run.plan(first.succeeded(scored(0.5, "a")), second.running())
    assert trials_of(plan) == ["0", "1", "2"]
    assert plan.status["search"]["best"] == {
        "number": 0,
        "phase": "Succeeded",
        "parameters": {"lr": "1e-3"},
        "value": "0.5",
    }
    assert plan.status["output"]["uri"] == "pvc://genops-store/a"
    assert plan.status["phase"] == "Running"
    assert "1 of 3 trials have ended; best so far is trial 0 with loss 0.5" in condition(plan, "Complete").message


def test_a_search_ends_with_the_best_trial_and_does_not_run_again() -> None:
    run = a_search()
    jobs = [run.job(0).succeeded(scored(0.5, "a")), run.job(1).succeeded(scored(0.1, "b"))]
    told = run.told(run.plan(*jobs))
    third = AJob(next(j for j in jobs_of(told.plan(*jobs)) if j["metadata"]["annotations"]["genops.dev/trial"] == "2"))
    assert jobs[0].name not in [j["metadata"]["name"] for j in jobs_of(told.plan(*jobs))], "a trial that lost goes"
    plan = told.plan(jobs[1], third.succeeded(scored(0.3, "c")))
    assert plan.status["phase"] == "Succeeded"
    assert plan.status["search"]["best"]["number"] == 1
    assert plan.status["output"]["uri"] == "pvc://genops-store/b"
    assert plan.status["usage"]["cpuSeconds"] == "30"
    assert [t["phase"] for t in plan.status["search"]["trials"]] == ["Succeeded"] * 3
    done = told.told(plan)
    assert jobs_of(done.plan()) == []
    assert done.plan().status == plan.status


def test_a_trial_that_fails_costs_nothing_but_itself() -> None:
    run = a_search(parallel=3)
    jobs = [
        run.job(0).failed(Code.NON_FINITE, "lr too high"),
        run.job(1).succeeded(scored(0.4)),
        run.job(2).failed(137),
    ]
    plan = run.plan(*jobs)
    assert plan.status["phase"] == "Succeeded"
    assert (plan.status["search"]["finished"], plan.status["search"]["failed"]) == (3, 2)
    assert plan.status["search"]["best"]["number"] == 1
    assert plan.status["lastFailure"]["message"].startswith("Trial 2: ")


def test_a_search_whose_trials_all_fail_is_given_up() -> None:
    run = a_search(parallel=3)
    plan = run.plan(*(run.job(n).failed(Code.BAD_DATA, "x.npy is empty") for n in range(3)))
    assert plan.status["phase"] == "Failed"
    assert condition(plan, "Failed").message == "Trial 2: x.npy is empty"


def test_a_metric_that_the_trainer_does_not_report_is_said() -> None:
    run = a_search(metric="fid", trials=1, parallel=1)
    plan = run.plan(run.job().succeeded(scored(0.4)))
    assert condition(plan, "Failed").reason == "NoMetric"
    assert "the trainer reported: loss" in condition(plan, "Failed").message


def test_a_suspended_search_starts_no_trial_and_holds_those_that_run() -> None:
    run = a_search()
    job = run.job(0)
    plan = run.becoming(suspend=True).plan(job.running())
    assert [j["spec"] for j in jobs_of(plan)] == [{"suspend": True}]
    assert plan.status["phase"] == "Suspended"


def test_a_trial_that_exists_keeps_what_it_was_given() -> None:
    run = a_search()
    odd = copy.deepcopy(run.job(0).manifest)
    odd["metadata"]["annotations"]["genops.dev/hyperparameters"] = '{"lr": "0.5"}'
    plan = run.plan(AJob(odd).running())
    assert plan.status["search"]["trials"][0]["parameters"] == {"lr": "0.5"}


def test_the_search_says_how_far_it_is() -> None:
    run = a_search()
    plan = run.plan(run.job(0).succeeded(scored(0.5)), run.job(1).running(heard(100, 10)))
    assert plan.status["progress"]["percent"] == 50
    assert (plan.status["progress"]["step"], plan.status["progress"]["totalSteps"]) == (1, 3)
