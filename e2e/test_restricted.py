"""Every pod that a sample asks for is let into a namespace that enforces `restricted`, by a real API server.

Admission looks at pods and not at workloads, so the template of each workload is tried as the pod it would become.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployments import BUILT
from worlds import DIGEST, EARLIER, NOW, AJob, resource

from genops.core.kinds import (
    GEN_DATASET,
    GEN_DEPLOYMENT,
    GEN_EVALUATION,
    GEN_TRAINING_JOB,
    JOB,
    OPTIONAL,
    Kind,
)
from genops.core.model import EVERY, FINALIZER, Config, Key, Manifest, Plan, Resource, Seen, Stage
from genops.local.cluster import LocalCluster
from genops.local.errors import LocalError
from genops.stages import STAGES

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = sorted((ROOT / "manifests/samples").glob("*/*.yaml"))
STAGE_OF = {stage.kind.kind: stage for stage in STAGES}
FOREIGN = ("priorityClassName", "runtimeClassName", "serviceAccountName")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("restricted")]


def ready(key: Key, digest: str, labels: dict[str, str]) -> Manifest:
    """Something that a sample refers to, as it is once it is done."""
    done = [{"type": kind, "status": "True", "reason": "Done", "message": ""} for kind in ("Ready", "Complete")]
    place = {"uri": f"pvc://genops-store/{key.name}", "digest": digest}
    status: dict[Kind, Manifest] = {
        GEN_DATASET: place,
        GEN_TRAINING_JOB: {"output": place, "inputs": {"datasetDigest": digest}},
        GEN_EVALUATION: {"verdict": "Passed", "inputs": {"subjectDigest": digest}},
        GEN_DEPLOYMENT: {"stable": {"digest": digest}},
    }
    spec = {
        "model": place,
        "datasetRef": {"name": "data"},
        "capture": {"store": {"uri": "pvc://genops-store/captured"}},
    }
    meta = {"name": key.name, "namespace": key.namespace, "labels": labels, "uid": "u", "generation": 1}
    return {"metadata": meta, "spec": spec, "status": {**status.get(key.kind, {}), "conditions": done}}


@dataclass(frozen=True)
class World:
    """A sample where all that it refers to is there, and every optional part of the cluster is."""

    stage: Stage[Any]
    obj: Resource[Any]

    def plan(self, *jobs: AJob) -> Plan:
        seen = Seen(
            children={JOB: tuple(job.manifest for job in jobs)},
            references={key: ready(key, self._digest, self._labels) for key in map(_one, self.stage.refs(self.obj))},
            pods={job.name: job.pods for job in jobs},
            present=frozenset(OPTIONAL),
            config=Config(prometheus="http://prometheus:9090"),
        )
        return self.stage.plan(self.obj, seen, NOW)

    @property
    def _digest(self) -> str:
        """What the sample says that its model is, where it does."""
        spec = self.obj.spec
        model = getattr(spec, "model", None) or getattr(spec, "base_model", None)
        return getattr(model, "digest", None) or DIGEST

    @property
    def _labels(self) -> dict[str, str]:
        """The labels by which the sample looks for its verdict, where it does."""
        requires = getattr(self.obj.spec, "requires", None)
        return dict(getattr(getattr(requires, "selector", None), "match_labels", {}))


def _one(key: Key) -> Key:
    """One object where a sample refers to all of a kind."""
    return Key(key.kind, key.namespace, "any") if key.name == EVERY else key


def a_world(sample: Manifest, **meta: Any) -> World:
    stage = STAGE_OF[sample["kind"]]
    spec = {k: v for k, v in sample["spec"].items() if k not in ("managedBy", "suspend")}  # which hold its pods back
    return World(stage, resource(stage, sample["metadata"]["name"], spec, **meta))


def workloads(sample: Manifest) -> list[Manifest]:
    """Everything with pods that comes of a sample: at once, after its engine was built, and to remove its data."""
    world = a_world(sample)
    made = list(world.plan().children)
    if world.stage.kind == GEN_DEPLOYMENT:
        builder = next(m for m in made if m["kind"] == "Job")
        made += world.plan(AJob(builder).succeeded(BUILT)).children
    if world.stage.kind == GEN_DATASET:
        spec = {**sample["spec"], "deletionPolicy": "Delete"}
        made += a_world({**sample, "spec": spec}, deletionTimestamp=EARLIER, finalizers=[FINALIZER]).plan().children
    return [m for m in made if pods_of(m)]


def pods_of(manifest: Manifest) -> list[Manifest]:
    """Find the templates of pods in a workload, however deep they are."""

    def below(node: Any) -> Iterator[Manifest]:
        if isinstance(node, dict) and "containers" in node.get("spec", {}):
            yield node
        elif isinstance(node, dict | list):
            for value in node.values() if isinstance(node, dict) else node:
                yield from below(value)

    return list(below(manifest["spec"]))


@pytest.fixture(scope="module")
def samples() -> dict[str, Manifest]:
    """The samples of kinds that are reconciled, by file."""
    read = {f"{p.parent.name}-{p.stem}": yaml.safe_load(p.read_text(encoding="utf-8")) for p in SAMPLES}
    return {name: sample for name, sample in read.items() if sample["kind"] in STAGE_OF}


@pytest.fixture(scope="module")
def restricted(cluster: LocalCluster) -> Iterator[str]:
    """A namespace that lets in what meets the standard."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_every_sample_that_asks_for_pods_is_tried(samples: dict[str, Manifest]) -> None:
    """So that a world which is not ready does not pass for one without pods."""
    silent = {name for name, sample in samples.items() if not workloads(sample)}
    assert silent == {n for n in samples if n.startswith("model-")} | {"evaluation-own-metric"}
    assert {m["kind"] for s in samples.values() for m in workloads(s)} == {"Job", "JobSet", "Deployment"}


def as_pod(name: str, template: Manifest) -> Manifest:
    """What admission is asked about; names of classes and accounts that this cluster does not have say nothing here."""
    spec = {k: v for k, v in template["spec"].items() if k not in FOREIGN}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_every_pod_is_let_in(samples: dict[str, Manifest], restricted: str, cluster: LocalCluster) -> None:
    pods = [
        as_pod(f"{name}-{n}-{k}", template)
        for name, sample in samples.items()
        for n, workload in enumerate(workloads(sample))
        for k, template in enumerate(pods_of(workload))
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": pods})
    said = cluster.kubectl("create", "--namespace", restricted, "--dry-run=server", "-o", "name", "-f", "-", stdin=text)
    assert len(said.split()) == len(pods)


def test_a_pod_that_is_root_would_be_refused(
    samples: dict[str, Manifest], restricted: str, cluster: LocalCluster
) -> None:
    [template] = pods_of(workloads(samples["dataset-minimal"])[0])
    template["spec"]["securityContext"] = {"runAsUser": 0}
    with pytest.raises(LocalError, match="restricted"):
        cluster.kubectl(
            "create",
            "--namespace",
            restricted,
            "--dry-run=server",
            "-f",
            "-",
            stdin=json.dumps(as_pod("root", template)),
        )
