"""What GenDeployment and GenEvaluation ask for is taken by a real API server, in a namespace that enforces `restricted`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kinds import of_gateways, of_keda
from worlds import DIGEST, NOW, resource

from genops.core.kinds import GEN_DATASET, GEN_TRAINING_JOB
from genops.core.model import Config, Key, Manifest, Seen
from genops.shell.subset import contains
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE
from genops.stages.deployment.canary import Probation, legs_of
from genops.stages.deployment.children import budget, policy, serve_deployment
from genops.stages.deployment.rollout import Rollout
from genops.stages.deployment.scaling import autoscaler, http_scaled_object, scaled_object
from genops.stages.deployment.servers import Server, Version
from genops.stages.deployment.traffic import Routing, route, service
from genops.stages.evaluation import EVALUATION

MODEL = {"model": {"uri": "pvc://genops-store/weights", "digest": DIGEST}}
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    "minimal": MODEL,
    "autoscaled": {**MODEL, "scale": {"min": 2, "max": 5, "metric": "cpu", "target": 70.0}},
    "full": {
        **MODEL,
        "optimize": {
            "targets": ["tensorrt", "onnx"],
            "precision": "fp16",
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
            "template": {"nodeSelector": {"gpu": "a"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        },
        "server": {
            "instances": 2,
            "dynamicBatching": {"preferredBatchSizes": [4, 8]},
            "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}},
            "template": {
                "labels": {"team": "faces"},
                "env": [{"name": "HOME", "value": "/nowhere"}, {"name": "POD_IP", "value": "1.2.3.4"}],
                "volumes": [{"name": "more", "mountPath": "/more", "emptyDir": {}}],
            },
        },
    },
}


@pytest.fixture
def restricted(namespace: Any) -> Any:
    """A namespace where no pod is let in that does not meet the restricted standard."""
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    namespace.cluster.kubectl("label", "namespace", namespace.name, enforce, "--overwrite")
    return namespace


def taken(namespace: Any, manifest: Manifest) -> Manifest:
    """Have the API server judge an object by all its rules without keeping it."""
    body = json.loads(json.dumps(manifest))
    body["metadata"]["namespace"] = namespace.name
    body["metadata"].pop("ownerReferences", None)
    said = namespace.kubectl(
        "apply", "--server-side", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body)
    )
    return dict(json.loads(said))


def its_pod(manifest: Manifest) -> Manifest:
    """The pod that a workload would make: admission looks at pods, not at workloads."""
    template = manifest["spec"]["template"]
    meta = {"name": "its-pod", **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_serves_is_taken(restricted: Any, name: str) -> None:
    obj = resource(GEN_DEPLOYMENT_STAGE, "front", DEPLOYMENTS[name])
    version = Version("0123456789", DIGEST, "pvc://genops-store/engine", DIGEST, "onnx")
    server = serve_deployment(obj, version, 1, Config())
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": server["metadata"]["name"]}
    shared = [service(obj, Routing(version.id, version.id)), budget(obj), policy(obj, False), policy(obj, True)]
    scaler = [autoscaler(obj, reference)] if obj.spec.scale.max else []
    for manifest in (server, its_pod(server), *shared, *scaler):
        taken(restricted, manifest)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_builds_is_taken(restricted: Any, name: str) -> None:
    plan = GEN_DEPLOYMENT_STAGE.plan(resource(GEN_DEPLOYMENT_STAGE, "front", DEPLOYMENTS[name]), Seen(), NOW)
    job = next(c for c in plan.children if c["kind"] == "Job")
    for manifest in (job, its_pod(job)):
        taken(restricted, manifest)


def test_what_measures_is_taken(restricted: Any) -> None:
    spec = {
        "subject": {"trainingJobRef": {"name": "digits"}},
        "datasetRef": {"name": "digits"},
        "metrics": [{"name": "fid", "op": "<=", "threshold": 8.0}],
    }
    ready = [{"type": "Ready", "status": "True"}]
    references = {
        Key(GEN_TRAINING_JOB, "team", "digits"): {
            "status": {"output": {"uri": "pvc://genops-store/w", "digest": DIGEST}}
        },
        Key(GEN_DATASET, "team", "digits"): {
            "status": {"uri": "pvc://genops-store/d", "digest": DIGEST, "conditions": ready}
        },
    }
    plan = EVALUATION.plan(resource(EVALUATION, "judge", spec), Seen(references=references), NOW)
    job = next(c for c in plan.children if c["kind"] == "Job")
    for manifest in (job, its_pod(job)):
        taken(restricted, manifest)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_applied_server_holds_all_that_was_asked_for(restricted: Any, name: str) -> None:
    """Else the operator would write it again at every look."""
    obj = resource(GEN_DEPLOYMENT_STAGE, "front", DEPLOYMENTS[name])
    version = Version("0123456789", DIGEST, "pvc://genops-store/engine", DIGEST, "onnx")
    for manifest in (
        serve_deployment(obj, version, 1, Config()),
        service(obj, Routing("x")),
        budget(obj),
        policy(obj, False),
    ):
        there = taken(restricted, manifest)
        assert contains(there["spec"], manifest["spec"])


def test_a_pod_that_does_not_meet_the_standard_would_be_refused(restricted: Any) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    }
    with pytest.raises(Exception, match="restricted"):
        taken(restricted, pod)


GATEWAY = {"name": "public", "sectionName": "https", "hostname": "front.example.org"}
ROUTED = {
    "canary": {"strategy": "Canary", "gatewayRef": GATEWAY},
    "shadow": {"strategy": "Shadow", "mirrorPercent": 20, "holdSeconds": 60, "gatewayRef": {"name": "public"}},
}


@pytest.fixture
def others(namespace: Any) -> Iterator[Any]:
    """A cluster that serves the kinds of Gateway API, KEDA and its HTTP add-on."""
    files = [*of_gateways(), *of_keda()]
    for file in files:
        namespace.cluster.kubectl("apply", "--server-side", "-f", str(file))
    namespace.cluster.kubectl("wait", "--for=condition=Established", *(f"--filename={f}" for f in files))
    try:
        yield namespace
    finally:
        for file in files:
            namespace.cluster.kubectl("delete", "-f", str(file), "--wait=true")


def test_what_the_parts_of_others_are_told_is_taken_and_holds_all_that_was_asked_for(others: Any) -> None:
    version = Version("0123456789", DIGEST, "pvc://genops-store/engine", DIGEST, "onnx")
    made = []
    for rollout in ROUTED.values():
        obj = resource(GEN_DEPLOYMENT_STAGE, "front", {**MODEL, "rollout": rollout})
        server = Server(version, serve_deployment(obj, version, 1, Config()), 1, 1, settled=True)
        begun = Probation(legs_of(obj.spec.rollout), step=0)
        made.append(route(obj, Rollout(version.id, server, server, begun, version)))
    scale = {"min": 0, "max": 3, "metric": "queueTime", "target": 20.0, "idleToZeroAfterSeconds": 60}
    obj = resource(GEN_DEPLOYMENT_STAGE, "front", {**MODEL, "scale": scale})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front-serve-0123456789"}
    made += [scaled_object(obj, target, Config(prometheus="http://p:9090")), http_scaled_object(obj, target)]
    assert made[1]["spec"]["rules"][0]["filters"][0]["requestMirror"]["percent"] == 20
    for manifest in made:
        there = taken(others, manifest)
        assert contains(there["spec"], manifest["spec"]), manifest["kind"]
