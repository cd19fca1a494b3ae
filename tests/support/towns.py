"""A namespace under the whole operator and a cluster in memory: every status in it is the operator's own words.

Jobs and pods do as the test says. `town.world()` is the namespace as the command line reads it.
"""

from datetime import datetime, timedelta
from typing import Any

from worlds import NOW

from gencontract.codes import Code
from gencontract.report import Artifact, CheckReport, MetricReport, Progress, Report
from gencontract.wire import encode_progress, encode_report
from genops.cli.story.world import BENEATH, World
from genops.core.kinds import (
    EVENT,
    GEN_DATASET,
    GEN_DEPLOYMENT,
    GEN_EVALUATION,
    GEN_MODEL,
    GEN_TRAINING_JOB,
    JOB,
    JOB_LABEL,
    OURS,
    POD,
    Kind,
)
from genops.core.model import Config, Key, Manifest
from genops.shell.engine import Engine
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.stages import STAGES

SPACE = "team"
DATA, WEIGHTS, REPORT, ENGINE = ("sha256:" + c * 64 for c in "abcd")
SOURCE: Manifest = {"source": {"builtin": {"name": "digits"}}, "format": "images"}
FLOW: Manifest = {"datasetRef": {"name": "digits"}, "family": "flow", "size": "xs"}
JUDGED: Manifest = {
    "subject": {"trainingJobRef": {"name": "digits"}},
    "datasetRef": {"name": "digits"},
    "metrics": [{"name": "fid", "op": "<=", "threshold": 8, "primary": True}],
}
SERVED: Manifest = {
    "model": {"trainingJobRef": {"name": "digits"}},
    "requires": {"evaluationRef": {"name": "digits"}},
}
PEOPLE: Manifest = {"human": {"pairs": 2}, "decision": {"requires": ["Human"]}, "metrics": []}
IDEA: Manifest = {
    "intent": {"useCase": "Digits", "modality": "images"},
    "success": [{"metric": "fid", "op": "<=", "threshold": 8, "primary": True}],
    "dataset": {"template": {"spec": SOURCE}},
    "training": {"template": {"spec": {"family": "flow", "size": "xs"}}},
    "deployment": {"template": {"spec": {}}},
}


class Town:
    """One namespace. Where `late`, the watch tells of a write only after the write's own answer, as it often does."""

    def __init__(self, late: bool = False) -> None:
        self.now = NOW
        self.untold: list[tuple[Kind, str, Manifest]] = []
        self.cluster = FakeCluster()
        self.queue: WorkQueue[Key] = WorkQueue(jitter=lambda: 0.0)
        self.engine = Engine(self.cluster, STAGES, self.queue, Config(), clock=lambda: self.now)
        self.engine.vouched = True  # all of crds/ is installed
        self.arrived = Informing(self.engine, also=frozenset(OURS)).arrived
        self.cluster.listener = (lambda *event: self.untold.append(event)) if late else self.arrived

    def world(self) -> World:
        """Read the namespace."""
        kinds = (*OURS, *BENEATH)
        found = {Key(k, SPACE, m["metadata"]["name"]): m for k in kinds for m in self.cluster.all(k)}
        return World(SPACE, found, tuple(self.cluster.all(EVENT)))

    def later(self, minutes: float) -> datetime:
        """Let time go by."""
        self.now += timedelta(minutes=minutes)
        return self.now

    async def make(self, kind: Kind, name: str, spec: Manifest, **meta: Any) -> "Town":
        """Create an object of ours and let the operator look."""
        await self.cluster.create(kind, {"metadata": {"name": name, "namespace": SPACE, **meta}, "spec": spec})
        return await self.settle()

    async def annotate(self, kind: Kind, name: str, **annotations: str) -> "Town":
        """Write annotations."""
        await self.cluster.patch(kind, SPACE, name, {"metadata": {"annotations": annotations}})
        return await self.settle()

    async def settle(self) -> "Town":
        """Let the operator look until nothing is left to look at."""
        while len(self.queue) or self.untold:
            while self.untold:
                self.arrived(*self.untold.pop(0))
            if not len(self.queue):
                break
            key = await self.queue.get()
            assert key is not None
            await self.engine.reconcile(key)
            self.queue.done(key)
        return self

    def job_of(self, kind: Kind, name: str) -> Manifest:
        """Find the newest Job that an object made."""
        uid = next(m["metadata"]["uid"] for m in self.cluster.all(kind) if m["metadata"]["name"] == name)
        jobs = [m for m in self.cluster.all(JOB) if m["metadata"]["labels"]["genops.dev/owner-uid"] == uid]
        assert jobs, f"{kind}/{name} made no Job"
        return jobs[-1]

    async def pod(self, kind: Kind, name: str, state: Manifest, phase: str, **status: Any) -> str:
        """Let the Job of an object have one more pod, in that state; returns the pod's name."""
        job = self.job_of(kind, name)
        meta, count = job["metadata"], len(self.cluster.all(POD))
        labels = {**meta["labels"], JOB_LABEL: meta["name"]}
        body = {"metadata": {"name": f"{meta['name']}-{count}", "namespace": SPACE, "labels": labels}, "spec": {}}
        made = await self.cluster.create(POD, body)
        containers = [{"name": "main", "state": state}]
        key = Key(POD, SPACE, made["metadata"]["name"])
        self.cluster.set_status(key, {"phase": phase, "containerStatuses": containers, **status})
        return key.name

    async def runs(self, kind: Kind, name: str, progress: Progress | None = None) -> "Town":
        """Let an object's pod run."""
        started = self.now - timedelta(minutes=1)
        pod = await self.pod(kind, name, {"running": {"startedAt": _text(started)}}, "Running")
        if progress:
            self.cluster.logs[SPACE, pod] = encode_progress(progress)
        return await self._job(kind, name, {"active": 1, "ready": 1, "startTime": _text(started)})

    async def waits(self, kind: Kind, name: str, reason: str, message: str) -> "Town":
        """Let an object's pod be unable to start."""
        await self.pod(kind, name, {"waiting": {"reason": reason, "message": message}}, "Pending")
        return await self._job(kind, name, {"active": 1, "startTime": _text(self.now)})

    async def ends(self, kind: Kind, name: str, report: Report) -> "Town":
        """Let an object's Job end as its report says."""
        code, at = int(report.code), _text(self.now)
        ended = {"exitCode": code, "finishedAt": at, "message": encode_report(report)}
        await self.pod(kind, name, {"terminated": ended}, "Failed" if code else "Succeeded")
        said = {"type": "Failed" if code else "Complete", "status": "True", "lastTransitionTime": at}
        return await self._job(kind, name, {"conditions": [said], ("failed" if code else "succeeded"): 1})

    async def retries(self, kind: Kind, name: str, code: Code, message: str) -> "Town":
        """Let an object's pod fail in a way that is tried again."""
        said = encode_report(Report(verb="x", code=code, message=message))
        ended = {"exitCode": int(code), "finishedAt": _text(self.now), "message": said}
        await self.pod(kind, name, {"terminated": ended}, "Failed")
        return await self._job(kind, name, {"failed": 1, "active": 1, "startTime": _text(self.now)})

    async def _job(self, kind: Kind, name: str, status: Manifest) -> "Town":
        job = self.job_of(kind, name)["metadata"]["name"]
        self.cluster.set_status(Key(JOB, SPACE, job), status)
        return await self.settle()

    async def warn(self, about: Key, reason: str, note: str) -> None:
        """Post a Warning as Kubernetes' own controllers do."""
        body = {
            "metadata": {"generateName": "w-", "namespace": SPACE},
            "type": "Warning",
            "reason": reason,
            "note": note,
            "eventTime": _text(self.now),
            "regarding": {"kind": about.kind.kind, "namespace": SPACE, "name": about.name},
        }
        await self.cluster.create(EVENT, body)

    # The journey of digits, a step a call.

    async def prepared(self, name: str = "digits") -> "Town":
        """Let a dataset be ready."""
        report = Report(verb="prepare", code=Code.DONE, artifact=_artifact("data", DATA), samples=1797, bytes=2048)
        return await self.ends(GEN_DATASET, name, report)

    async def trained(self, name: str = "digits") -> "Town":
        """Let a run have weights."""
        return await self.ends(
            GEN_TRAINING_JOB, name, Report(verb="train", code=Code.DONE, artifact=_artifact("w", WEIGHTS))
        )

    async def judged(self, name: str = "digits", verdict: str = "Passed", value: float = 6.0) -> "Town":
        """Let an evaluation conclude."""
        passed = {"Passed": True, "Failed": False}.get(verdict)
        fid = MetricReport(
            name="fid", value=value, low=value - 1, high=value + 1, samples=100, passed=passed, primary=True
        )
        report = Report(
            verb="evaluate",
            code=Code.DONE,
            message=f"{verdict}: fid is {value:g}",
            artifact=_artifact("report", REPORT),
            verdict=verdict,  # type: ignore[arg-type]
            metrics=[fid],
        )
        return await self.ends(GEN_EVALUATION, name, report)


async def chain() -> Town:
    """The four objects of digits, waiting for each other."""
    town = await Town().make(GEN_DATASET, "digits", SOURCE)
    await town.make(GEN_TRAINING_JOB, "digits", FLOW)
    await town.make(GEN_EVALUATION, "digits", JUDGED)
    return await town.make(GEN_DEPLOYMENT, "digits", SERVED)


async def new() -> Town:
    return await chain()


async def lone_run() -> Town:
    return await Town().make(GEN_TRAINING_JOB, "digits", FLOW)


async def preparing() -> Town:
    progress = Progress(stage="checking", step=3, total=4, eta_seconds=70)
    return await (await chain()).runs(GEN_DATASET, "digits", progress)


async def blocked() -> Town:
    checks = [CheckReport(name="rows", passed=False, value=3, message="3 samples, at least 1000 asked")]
    report = Report(
        verb="prepare", code=Code.CHECK_BLOCKED, message="rows: 3 samples, at least 1000 asked", checks=checks
    )
    return await (await chain()).ends(GEN_DATASET, "digits", report)


async def no_image() -> Town:
    town = await chain()
    await town.waits(GEN_DATASET, "digits", "ErrImagePull", "no such image genops-trainers:latest")
    return town


async def no_quota() -> Town:
    town = await chain()
    job = Key(JOB, "team", town.job_of(GEN_DATASET, "digits")["metadata"]["name"])
    await town.warn(job, "FailedCreate", "pods is forbidden: exceeded quota")
    return town


async def retrying() -> Town:
    return await (await chain()).retries(GEN_DATASET, "digits", Code.SOURCE_UNAVAILABLE, "s3://x did not answer")


async def ready() -> Town:
    return await (await chain()).prepared()


async def out_of_memory() -> Town:
    report = Report(verb="train", code=Code.OUT_OF_MEMORY, message="batch 512 needs 9 GiB, there are 8")
    return await (await ready()).ends(GEN_TRAINING_JOB, "digits", report)


async def trained() -> Town:
    return await (await ready()).trained()


async def suspended_run() -> Town:
    town = await Town().make(GEN_DATASET, "digits", SOURCE)
    return await town.make(GEN_TRAINING_JOB, "digits", {**FLOW, "suspend": True})


async def failed_verdict() -> Town:
    return await (await trained()).judged(verdict="Failed", value=11)


async def undecided() -> Town:
    return await (await trained()).judged(verdict="Inconclusive", value=8)


async def passed() -> Town:
    return await (await trained()).judged()


async def asked_people() -> Town:
    town = await trained()
    await town.make(GEN_EVALUATION, "people", {**JUDGED, **PEOPLE})
    return await town.judged("people", "Inconclusive")


async def unevaluated() -> Town:
    town = await trained()
    return await town.make(GEN_DEPLOYMENT, "early", {**SERVED, "requires": {"evaluationRef": {"name": "nobody"}}})


async def against_the_rules() -> Town:
    return await (await passed()).make(GEN_DEPLOYMENT, "wrong", {**SERVED, "scale": {"min": 2, "max": 1}})


async def idea() -> Town:
    return await Town().make(GEN_MODEL, "digits", IDEA)


async def idea_rejected() -> Town:
    town = await (await idea()).prepared("digits-1")
    await town.trained("digits-1")
    return await town.judged("digits-1", "Failed", 11)


async def idea_waits_for_approval() -> Town:
    town = await Town().make(GEN_MODEL, "digits", {**IDEA, "promotion": {"mode": "Manual"}})
    await town.prepared("digits-1")
    await town.trained("digits-1")
    return await town.judged("digits-1")


async def idea_suspended() -> Town:
    return await Town().make(GEN_MODEL, "digits", {**IDEA, "suspend": True})


async def managed_by_another() -> Town:
    return await Town().make(GEN_TRAINING_JOB, "digits", {**FLOW, "managedBy": "kueue.x-k8s.io/multikueue"})


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _artifact(name: str, digest: str) -> Artifact:
    return Artifact(uri=f"/genops/store/genops-store/{name}", digest=digest)
