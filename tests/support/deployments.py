"""Worlds of a GenDeployment: what it refers to, its children and pods, as a cluster holds them."""

import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from worlds import DIGEST, EARLIER, NOW, AJob, artifact, resource

from gencontract.codes import Code
from gencontract.report import EngineReport, Report
from gencontract.wire import encode_report
from genops.core.conditions import merge
from genops.core.kinds import GEN_DATASET, GEN_EVALUATION, GEN_TRAINING_JOB, POD, Kind
from genops.core.model import Answer, Config, Key, Manifest, Plan, PodSeen, Seen
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment.servers import VERSION, Version

OTHER = "sha256:" + "b" * 64
ENGINE = "sha256:" + "c" * 64
RUN = Key(GEN_TRAINING_JOB, "team", "digits")
DATA = Key(GEN_DATASET, "team", "digits")
EVALUATION = Key(GEN_EVALUATION, "team", "judge")
SPEC: dict[str, Any] = {
    "model": {"trainingJobRef": {"name": "digits"}},
    "requires": {"evaluationRef": {"name": "judge"}},
    "optimize": {"targets": ["onnx", "torch"]},
    "rollout": {"strategy": "BlueGreen"},
}


def a_run(digest: str = DIGEST) -> Manifest:
    output = {"uri": f"pvc://genops-store/weights-{digest[7:11]}", "digest": digest}
    status = {"output": output, "inputs": {"datasetDigest": DIGEST}}
    return {
        "metadata": {"name": "digits", "namespace": "team"},
        "spec": {"datasetRef": {"name": "digits"}},
        "status": status,
    }


def a_dataset(digest: str = DIGEST) -> Manifest:
    ready = {"type": "Ready", "status": "True", "reason": "Frozen", "message": ""}
    return {
        "metadata": {"name": "digits"},
        "status": {"uri": "pvc://genops-store/data", "digest": digest, "conditions": [ready]},
    }


def an_evaluation(
    verdict: str = "Passed", digest: str = DIGEST, name: str = "judge", made: str = EARLIER, **labels: str
) -> Manifest:
    said = {
        "type": "Complete",
        "status": "True" if verdict else "False",
        "reason": "Evaluating",
        "message": "fid is 12",
    }
    status = {"verdict": verdict, "inputs": {"subjectDigest": digest}, "conditions": [said]}
    return {"metadata": {"name": name, "labels": labels, "creationTimestamp": made}, "status": status}


WATCHED = [{"name": "inputs", "of": "input", "test": "psi", "threshold": 0.2}]
THERE = {RUN: a_run(), DATA: a_dataset(), EVALUATION: an_evaluation()}

TABLE = [
    EngineReport(target="onnx", key="k1", p50_ms=1.5, p95_ms=2.0, throughput=900.0, max_abs_error=1e-6, chosen=True),
    EngineReport(target="torch", key="k2", p50_ms=3.0),
]
BUILT = Report(
    verb="optimize",
    code=Code.DONE,
    message="onnx fp32 was chosen for latency",
    artifact=artifact("/genops/store/genops-store/gendeployments/front", ENGINE),
    engines=TABLE,
)
NEWER = BUILT.model_copy(update={"artifact": artifact("/genops/store/genops-store/gendeployments/newer", OTHER)})


@dataclass(frozen=True)
class Scene:
    """One GenDeployment with its children and pods, as the cluster holds them."""

    spec: dict[str, Any]
    references: dict[Key, Manifest]
    status: Manifest = field(default_factory=dict)
    generation: int = 1
    children: tuple[Manifest, ...] = ()
    job_pods: dict[str, tuple[PodSeen, ...]] = field(default_factory=dict)
    pods: tuple[Manifest, ...] = ()
    present: frozenset[Kind] = frozenset()
    config: Config = field(default_factory=Config)
    answers: dict[str, Answer] = field(default_factory=dict)

    def plan(self, now: datetime = NOW) -> Plan:
        obj = replace(resource(STAGE, "front", self.spec, self.status), generation=self.generation)
        return STAGE.plan(obj, self.seen(), now)

    def seen(self) -> Seen:
        kinds = {k.kind: k for k in STAGE.owns}
        children: dict[Kind, tuple[Manifest, ...]] = {}
        for child in self.children:
            children[kinds[child["kind"]]] = (*children.get(kinds[child["kind"]], ()), child)
        pods = {Key(POD, "team", p["metadata"]["name"]): p for p in self.pods}
        references = {**self.references, **pods}
        return Seen(children, references, self.job_pods, self.present, self.config, self.answers)

    def told(self) -> "Scene":
        """The same world after its plan was carried out, as a cluster would: made, pruned, told."""
        plan = self.plan()
        known = {(c["kind"], c["metadata"]["name"]): c for c in self.children}
        made = [_applied(known.get((c["kind"], c["metadata"]["name"])), c) for c in plan.children]
        conditions = merge(plan.conditions, self.status.get("conditions", ()), self.generation, NOW)
        status = {**plan.status, "conditions": conditions, "observedGeneration": self.generation}
        return replace(self, children=tuple(made), status=status)

    def job(self) -> AJob:
        return AJob(next(c for c in self.plan().children if c["kind"] == "Job"))

    def with_job(self, job: AJob) -> "Scene":
        others = tuple(c for c in self.children if c["metadata"]["name"] != job.name)
        return replace(self, children=(*others, job.manifest), job_pods={job.name: job.pods})

    def built(self, report: Report = BUILT) -> "Scene":
        """The engine that is wanted now was built, and its server was made."""
        return self.told().with_job(self.job().succeeded(report)).told()

    def servers(self) -> list[Manifest]:
        return [c for c in self.children if c["kind"] == "Deployment"]

    def server(self, digest: str = ENGINE) -> Manifest:
        return next(s for s in self.servers() if version_of(s).digest == digest)

    def with_server(self, digest: str, ready: int, **conditions: str) -> "Scene":
        """The server of an engine says how it is."""
        server = copy.deepcopy(self.server(digest))
        said = [
            {"type": k, "status": str(k == "ReplicaFailure"), "reason": v, "message": "as told"}
            for k, v in conditions.items()
        ]
        count = server["spec"]["replicas"]
        server["status"] = {
            "observedGeneration": 1,
            "replicas": count,
            "updatedReplicas": count,
            "readyReplicas": ready,
            "conditions": said,
        }
        others = tuple(c for c in self.children if c["metadata"]["name"] != server["metadata"]["name"])
        return replace(self, children=(*others, server))

    def ready(self, digest: str = ENGINE) -> "Scene":
        return self.with_server(digest, self.server(digest)["spec"]["replicas"])

    def with_pod(self, digest: str = ENGINE, ready: str = "False", **state: Any) -> "Scene":
        labels = self.server(digest)["spec"]["template"]["metadata"]["labels"]
        main = {"name": "main", "restartCount": 1, "state": state.get("state", {}), "lastState": state.get("last", {})}
        status = {"conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [main]}
        return replace(
            self, pods=(*self.pods, {"metadata": {"name": "front-serve-x", "labels": labels}, "status": status})
        )

    def crashed(self, code: int, message: str, digest: str = ENGINE) -> "Scene":
        said = encode_report(Report(verb="serve", code=Code(code), message=message)) if message else ""
        ended = {
            "exitCode": code,
            "finishedAt": EARLIER,
            "message": said,
            "reason": "OOMKilled" if code == 137 else "Error",
        }
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
        return self.with_pod(digest, state=waiting, last={"terminated": ended})

    def given(self, **spec: Any) -> "Scene":
        """The spec is changed by its owner."""
        return replace(self, spec={**self.spec, **spec}, generation=self.generation + 1)


def _applied(known: Manifest | None, wanted: Manifest) -> Manifest:
    made = copy.deepcopy(wanted)
    made["metadata"].setdefault("generation", 1)
    if known and "status" in known:
        made["status"] = known["status"]
    return made


def version_of(server: Manifest) -> Version:
    version = Version.load(server["metadata"]["annotations"][VERSION])
    assert version is not None
    return version


def scene(references: dict[Key, Manifest] | None = None, **spec: Any) -> Scene:
    return Scene({**SPEC, **spec}, THERE if references is None else references)


def judged(evaluation: Manifest | None) -> dict[Key, Manifest]:
    rest = {k: v for k, v in THERE.items() if k != EVALUATION}
    return rest if evaluation is None else {**rest, EVALUATION: evaluation}


def next_model(of: Scene) -> Scene:
    """The run that the spec names has made other weights, and they were judged."""
    return replace(of, references={RUN: a_run(OTHER), DATA: a_dataset(), EVALUATION: an_evaluation(digest=OTHER)})


FRESH = scene()
SERVED = FRESH.built().ready().told()
ROLLING = next_model(SERVED).built(NEWER)


def selected(plan: Plan) -> str:
    """Which engine the Service selects, by its digest."""
    service = next(c for c in plan.children if c["kind"] == "Service")
    found = [version_of(c) for c in plan.children if c["kind"] == "Deployment"]
    return next(v.digest for v in found if v.id == service["spec"]["selector"][VERSION])


def running(plan: Plan) -> set[str]:
    """Which engines have a server, by their digests."""
    return {version_of(c).digest for c in plan.children if c["kind"] == "Deployment"}
