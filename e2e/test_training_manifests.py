"""What GenTrainingJob asks for is taken by a real API server, in a namespace that enforces `restricted`."""

import json
from typing import Any

import pytest
from worlds import NOW, resource

from genops.core.model import Manifest, Seen
from genops.stages.training import TRAINING

RUNS: dict[str, dict[str, Any]] = {
    "minimal": {},
    "two nodes": {"nodes": 2},
    "torchrun on four nodes": {"nodes": 4, "procsPerNode": 8, "resources": {"limits": {"nvidia.com/gpu": "8"}}},
    "queued": {"scheduling": {"queueName": "team-a"}, "nodes": 2},
    "search": {
        "search": {"metric": "loss", "parameters": [{"name": "lr", "min": 0.1, "max": 1}], "trials": 4, "parallel": 2}
    },
    "full": {
        "nodes": 2,
        "resources": {"requests": {"cpu": "1", "memory": "1500Mi"}, "limits": {"memory": "2Gi"}},
        "retry": {"limit": 9, "after": ["Preempted", "NodeLost"]},
        "activeDeadlineSeconds": 3600,
        "ttlSecondsAfterFinished": 60,
        "checkpoint": {"uri": "pvc://fast/ckpt", "everySeconds": 5, "keep": 3},
        "template": {
            "labels": {"team": "faces"},
            "nodeSelector": {"gpu": "h100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
            "volumes": [{"name": "cache", "mountPath": "/cache", "emptyDir": {}}],
        },
    },
}


def taken(namespace: Any, manifest: Manifest) -> Manifest:
    """Have the API server judge an object by all its rules without keeping it."""
    body = json.loads(json.dumps(manifest))
    body["metadata"]["namespace"] = namespace.name
    body["metadata"].pop("ownerReferences", None)
    return dict(
        json.loads(namespace.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body)))
    )


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("owner", ["faces", "3d.v2-with-a-name-that-is-so-long-that-it-has-to-be-cut-somewhere"])
def test_what_trains_is_taken(namespace: Any, name: str, owner: str) -> None:
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    namespace.cluster.kubectl("label", "namespace", namespace.name, enforce, "--overwrite")
    obj = resource(
        TRAINING, owner, uid="9e0c4a5e", spec={"datasetUri": "pvc://data/digits", "family": "flow", **RUNS[name]}
    )
    for manifest in TRAINING.plan(obj, Seen(), NOW).children:
        kept = taken(namespace, manifest)
        if manifest["kind"] == "Job":
            template = manifest["spec"]["template"]
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "its-pod", **template["metadata"]}}
            taken(namespace, {**pod, "spec": template["spec"]})
            assert kept["spec"].get("completionMode") == ("Indexed" if RUNS[name].get("nodes", 1) > 1 else "NonIndexed")
