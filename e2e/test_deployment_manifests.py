"""What GenDeployment and GenEvaluation ask for is taken by a real API server, in a namespace that enforces `restricted`."""

import json
from typing import Any

import pytest
from worlds import DIGEST, NOW, resource

from genops.core.kinds import GEN_DATASET, GEN_TRAINING_JOB
from genops.core.model import Config, Key, Manifest, Seen
from genops.shell.subset import contains
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE
from genops.stages.deployment.children import autoscaler, budget, policy, serve_deployment, service
from genops.stages.deployment.servers import Version
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
    shared = [service(obj, version.id), budget(obj), policy(obj, False), policy(obj, True)]
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
    for manifest in (serve_deployment(obj, version, 1, Config()), service(obj, "x"), budget(obj), policy(obj, False)):
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
