"""Windows that Jobs measure: which Job is made, what its outcome says, and what stays when it has gone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from worlds import DIGEST, AJob, condition, resource

from gencontract.codes import Code
from gencontract.report import MetricReport, Report
from gencontract.task import DriftTask
from gencontract.wire import decode_task
from genops.core.kinds import DEPLOYMENT, GEN_DATASET, GEN_TRAINING_JOB, JOB, SERVICE, Kind
from genops.core.model import Config, Key, Manifest, Plan, PodSeen, Seen
from genops.core.podspec import TASK_ANNOTATION
from genops.core.reasons import Reason
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment.children import serve_deployment
from genops.stages.deployment.servers import Version
from genops.stages.deployment.traffic import Routing, service

ENGINE, OTHER = ("sha256:" + c * 64 for c in "ef")
HOUR = datetime(2026, 1, 1, 12, tzinfo=UTC)
READY = timedelta(seconds=10 + 30)  # rotateSeconds, and until the last record is in the store
WATCH: dict[str, Any] = {"name": "prompts", "of": "prompt", "test": "mmd", "alpha": 0.05, "windowSeconds": 3600}
VERSION = Version("v1", DIGEST, "pvc://genops-store/engine", ENGINE, "onnx")
RUN, DATA = Key(GEN_TRAINING_JOB, "team", "digits"), Key(GEN_DATASET, "team", "digits")


def a_dataset(digest: str = DIGEST) -> Manifest:
    ready = [{"type": "Ready", "status": "True"}]
    return {"metadata": {"name": "x"}, "status": {"uri": "pvc://data/x", "digest": digest, "conditions": ready}}


THERE = {
    RUN: {
        "metadata": {"name": "digits"},
        "spec": {"datasetRef": {"name": "digits"}},
        "status": {"output": {"uri": "pvc://w/x", "digest": DIGEST}, "inputs": {"datasetDigest": DIGEST}},
    },
    DATA: a_dataset(),
}


def measured(value: float, p: float, samples: int = 400) -> Report:
    metrics = [MetricReport(name=n, value=v, samples=samples) for n, v in (("mmd", value), ("pValue", p))]
    return Report(verb="drift", code=Code.DONE, samples=samples, metrics=metrics, message="measured")


FAR, NEAR = measured(0.2, 0.001), measured(0.0, 0.6)
FEW = Report(verb="drift", code=Code.DONE, samples=3, message="3 samples, 100 are needed")


@dataclass
class Served:
    """A deployment that serves, from one look at it to the next."""

    watch: dict[str, Any] = field(default_factory=dict)
    now: datetime = HOUR + READY
    status: Manifest = field(default_factory=dict)
    made: str = "2026-01-01T00:00:00Z"
    references: dict[Key, Manifest] = field(default_factory=lambda: dict(THERE))
    jobs: dict[str, AJob] = field(default_factory=dict)
    version: Version = VERSION

    @property
    def obj(self) -> Any:
        capture = {"sampleRate": 1, "store": {"uri": "pvc://seen"}, "rotateSeconds": 10}
        spec = {"model": {"trainingJobRef": {"name": "digits"}}, "capture": capture, "drift": [WATCH | self.watch]}
        return resource(STAGE, "front", spec, self.status, creationTimestamp=self.made)

    def seen(self) -> Seen:
        server = serve_deployment(self.obj, self.version, 1, Config())
        server["status"] = {"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1}
        children: dict[Kind, tuple[Manifest, ...]] = {
            DEPLOYMENT: (server,),
            SERVICE: (service(self.obj, Routing(self.version.id, self.version.id)),),
            JOB: tuple(j.manifest for j in self.jobs.values()),
        }
        looked_at = STAGE.inspect(self.obj, Seen(children, self.references), self.now)
        pods: dict[str, tuple[PodSeen, ...]] = {n: j.pods for n, j in self.jobs.items() if n in looked_at}
        return Seen(children, self.references, pods)

    def look(self) -> Plan:
        """Plan, and carry the plan out as far as Jobs and status go."""
        plan = STAGE.plan(self.obj, self.seen(), self.now)
        wanted = {
            m["metadata"]["name"]: m for m in plan.children if m["kind"] == "Job" and "drift" in m["metadata"]["name"]
        }
        self.jobs = {name: self.jobs.get(name, AJob(manifest)) for name, manifest in wanted.items()}
        self.status = dict(plan.status)
        return plan

    def end(self, report: Report | None) -> Plan:
        """Let the Job that runs end so, and look until it has gone."""
        (name,) = self.jobs
        job = self.jobs[name]
        self.jobs[name] = job.succeeded(report) if report else job.failed(Code.UNSUPPORTED, "no captions")
        self.look()
        return self.look()

    def windows(self) -> list[str]:
        """When the windows end that a Job measures now."""
        return [task_of(j.manifest)[1] for j in self.jobs.values()]


def task_of(job: Manifest) -> tuple[DriftTask, str]:
    task = decode_task(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert isinstance(task, DriftTask)
    return task, datetime.fromtimestamp(task.until, UTC).strftime("%H:%M")


def test_one_job_at_a_time_measures_a_window_that_has_ended_the_newest_first() -> None:
    world = Served()
    world.look()
    assert world.windows() == ["12:00"]
    plan = world.end(NEAR)
    assert world.windows() == ["11:00"]
    assert condition(plan, "Drifted").reason == Reason.NO_DRIFT, "the newest window is enough to say so"
    world.end(NEAR)
    assert world.windows() == []
    world.now += timedelta(minutes=59)
    assert world.look().wake_after == 60
    assert world.windows() == []
    world.now += timedelta(minutes=1)
    world.look()
    assert world.windows() == ["13:00"]


def test_the_job_knows_its_window_by_name_and_reads_the_records_of_the_version_that_answers() -> None:
    world = Served()
    world.look()
    ((name, job),) = world.jobs.items()
    task, _ = task_of(job.manifest)
    assert name.startswith(f"front-drift-{task.until}-")
    assert task.until - task.since == 3600
    assert (task.engine, task.reference.uri, task.of) == (ENGINE, "/genops/store/data/x", "prompt")
    assert task.captured.startswith("/genops/store/seen/captured/front-")
    spec = job.manifest["spec"]["template"]["spec"]
    claims = {
        v["persistentVolumeClaim"]["claimName"]: v["persistentVolumeClaim"].get("readOnly")
        for v in spec["volumes"]
        if "persistentVolumeClaim" in v
    }
    assert claims == {"data": True, "seen": True}


@pytest.mark.parametrize(
    ("watch", "reports", "status", "reason"),
    [
        ({}, [FAR, FAR], "True", "Drifted"),
        ({}, [FAR, NEAR], "False", "NoDrift"),
        ({}, [NEAR], "False", "NoDrift"),
        ({}, [FAR], "Unknown", "Measuring"),
        ({}, [], "Unknown", "Measuring"),
        ({}, [FEW], "Unknown", "TooFewSamples"),
        ({}, [FAR, FEW], "Unknown", "TooFewSamples"),
        ({}, [None], "Unknown", "Unsupported"),
        ({"consecutive": 1}, [FAR], "True", "Drifted"),
        ({"consecutive": 1, "alpha": None, "threshold": 0.3}, [FAR], "False", "NoDrift"),
        ({"consecutive": 1, "alpha": None, "threshold": 0.1}, [FAR], "True", "Drifted"),
        ({"consecutive": 1, "alpha": None, "threshold": 0.1}, [measured(0.2, 0.02)], "False", "NoDrift"),
    ],
)  # fmt: skip
def test_what_jobs_found_is_what_is_said(watch: Any, reports: list[Any], status: str, reason: str) -> None:
    world = Served(watch)
    plan = world.look()
    for report in reports:
        plan = world.end(report)
    said = condition(plan, "Drifted")
    assert (said.status, said.reason) == (status, reason), said.message


def test_a_job_stays_until_its_outcome_is_written_and_the_outcome_outlives_it() -> None:
    world = Served({"consecutive": 1})
    world.look()
    (name,) = world.jobs
    world.jobs[name] = world.jobs[name].succeeded(FAR)
    plan = world.look()
    assert list(world.jobs) == [name]
    assert plan.wake_after == 1
    again = world.look()
    assert world.jobs == {}
    assert again.status == plan.status
    assert again.status["drift"][0]["measured"] == [
        {"end": "2026-01-01T12:00:00Z", "samples": 400, "value": "0.2", "pValue": "0.001"}
    ]


def test_a_drift_stays_known_while_the_next_window_is_measured() -> None:
    world = Served()
    world.look()
    world.end(FAR)
    assert condition(world.end(FAR), "Drifted").status == "True"
    since = world.status["drift"][0]["since"]
    world.now += timedelta(hours=1)
    plan = world.look()
    assert world.windows() == ["13:00"]
    assert condition(plan, "Drifted").status == "True"
    assert world.status["drift"][0]["since"] == since
    assert condition(world.end(NEAR), "Drifted").status == "False"


def test_a_job_that_runs_is_let_end_though_the_next_window_has_ended() -> None:
    world = Served({"consecutive": 1})
    world.look()
    world.now += timedelta(hours=1)
    assert condition(world.look(), "Drifted").reason == Reason.MEASURING
    assert world.windows() == ["12:00"]
    plan = world.end(FAR)
    assert condition(plan, "Drifted").status == "True"
    assert world.windows() == ["13:00"]


def test_a_window_without_the_object_is_not_measured() -> None:
    world = Served(made="2026-01-01T11:30:00Z")
    world.look()
    assert world.windows() == ["12:00"]
    plan = world.end(FAR)
    assert world.windows() == []
    said = condition(plan, "Drifted")
    assert (said.status, said.reason) == ("Unknown", "TooFewSamples")
    assert "1 of 2 windows have ended" in said.message


def test_another_version_or_other_data_begin_anew() -> None:
    for change in (
        {"version": Version("v2", DIGEST, "pvc://genops-store/e2", OTHER, "onnx")},
        {"watch": {"of": "output"}},
    ):
        world = Served()
        world.look()
        world.end(NEAR)
        for name, value in change.items():
            setattr(world, name, value)
        world.look()
        assert world.windows() == ["12:00"]


def test_another_alpha_judges_what_was_measured_anew() -> None:
    world = Served({"consecutive": 1})
    world.look()
    world.end(measured(0.2, 0.03))
    assert condition(world.look(), "Drifted").status == "True"
    world.watch = {"consecutive": 1, "alpha": 0.01}
    assert condition(world.look(), "Drifted").status == "False"
    assert world.windows() == []


def test_what_was_measured_is_not_lost_while_the_data_are_away() -> None:
    world = Served({"consecutive": 1, "referenceRef": {"name": "other"}})
    key = Key(GEN_DATASET, "team", "other")
    assert key in STAGE.refs(world.obj)
    assert condition(world.look(), "Drifted").reason == Reason.NO_REFERENCE
    world.references[key] = a_dataset(OTHER)
    world.look()
    world.end(FAR)
    del world.references[key]
    assert condition(world.look(), "Drifted").reason == Reason.NO_REFERENCE
    world.references[key] = a_dataset(OTHER)
    assert condition(world.look(), "Drifted").status == "True"
    assert world.windows() == []


def test_records_that_are_gone_before_their_window_ends_cannot_tell() -> None:
    world = Served({"windowSeconds": 1_000_000, "consecutive": 1})
    assert "retentionSeconds" in condition(world.look(), "Drifted").message
    assert world.windows() == []
