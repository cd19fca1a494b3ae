"""GenDeployment on a real API server and a real Triton: refused, let in, served, followed by the next, tampered with."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operators import until
from places import GROUP, SMALL, Place, a_place, a_serving_cluster, evaluation, said, train_digits

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

SERVER: dict[str, Any] = {"resources": SMALL}
SPEC: dict[str, Any] = {
    "model": {"trainingJobRef": {"name": "digits"}},
    "requires": {"evaluationRef": {"name": "easy"}},
    "optimize": {"targets": ["onnx"], "shapes": {"batchSizes": [1, 10]}, "resources": SMALL},
    "server": SERVER,
    "rollout": {"strategy": "BlueGreen"},
}
REQUEST = {
    "inputs": [
        {"name": "seed", "shape": [1, 1], "datatype": "INT64", "data": [7]},
        {"name": "label", "shape": [1, 1], "datatype": "INT64", "data": [3]},
    ]
}
FLIP = """
import pathlib, sys
path = next(p for p in sorted(pathlib.Path(sys.argv[1]).rglob("*")) if p.name.startswith("model.") and p.suffix != ".py")
data = bytearray(path.read_bytes()); data[len(data) // 2] ^= 1; path.write_bytes(data); print(path.name)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_serving_cluster() as cluster, a_place(cluster, tmp_path_factory.mktemp("deployment")) as made:
        train_digits(made)
        yield made


@pytest.fixture(scope="module")
def served(place: Place) -> Place:
    """The flow with its verdict, served."""
    place.make("GenEvaluation", "easy", evaluation())
    place.make("GenDeployment", "front", SPEC)
    place.phase("gendeployment", "front", "Serving")
    return place


def curl(place: Place, name: str = "front") -> tuple[int, dict[str, Any]]:
    """Ask the Service for a sample, as a user would."""
    address = place.get("service", f"{name}-serve")["spec"]["clusterIP"]
    url = f"http://{address}:8000/v2/models/{name}/infer"
    argv = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "-w",
        "\\n%{http_code}",
        "-d",
        json.dumps(REQUEST),
        url,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    body, _, code = done.stdout.rpartition("\n")
    return int(code or 0), json.loads(body) if body.startswith("{") else {"error": body + done.stderr}


def test_without_its_verdict_nothing_is_built_or_served(place: Place) -> None:
    place.make("GenDeployment", "early", {**SPEC, "requires": {"evaluationRef": {"name": "nobody"}}})
    status = place.phase("gendeployment", "early", "Pending", seconds=60)
    ready = said(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "VerdictMissing")
    assert "GenEvaluation/nobody" in ready["message"]
    assert place.list("jobs,deployments,services", "-l", "genops.dev/owner-name=early") == []
    place.kubectl("delete", "gendeployment", "early")


def test_a_model_that_failed_is_refused(place: Place) -> None:
    place.make("GenEvaluation", "hard", evaluation(threshold=1e-6))
    place.phase("genevaluation", "hard", "Complete")
    place.make("GenDeployment", "bad", {**SPEC, "requires": {"evaluationRef": {"name": "hard"}}})
    status = place.phase("gendeployment", "bad", "Failed", seconds=60)
    assert said(status, "Ready")["reason"] == "VerdictNotPassed"
    assert place.list("jobs,deployments,services", "-l", "genops.dev/owner-name=bad") == []
    place.kubectl("delete", "gendeployment", "bad")


def test_a_request_to_the_service_is_answered_with_a_sample(served: Place) -> None:
    code, answer = curl(served)
    assert code == 200, answer
    sample = answer["outputs"][0]
    assert (sample["name"], sample["shape"]) == ("sample", [1, 8, 8, 1])
    assert len(set(sample["data"])) > 1


def test_the_status_says_what_serves_and_how_fast(served: Place) -> None:
    status = served.status("gendeployment", "front")
    run = served.status("gentrainingjob", "digits")
    assert status["stable"]["digest"] == run["output"]["digest"]
    assert status["stable"]["evaluation"] == "easy"
    chosen = next(e for e in status["engines"] if e["chosen"])
    assert chosen["target"] == status["stable"]["engine"]
    assert float(chosen["p50Ms"]) > 0
    assert float(chosen["throughput"]) > 0
    assert {c["type"] for c in status["conditions"] if c["status"] == "True"} >= {
        "Ready",
        "EngineReady",
        "ServerReady",
        "Routed",
    }
    assert json.loads(served.kubectl("get", "--raw", _scale(served)))["status"]["replicas"] == 1
    for condition in ("EngineReady", "ServerReady", "Routed", "Ready", "Progressing=False"):
        served.kubectl("wait", "gendeployment/front", f"--for=condition={condition}", "--timeout=5s")


def _scale(place: Place) -> str:
    return f"/apis/genops.dev/v1alpha1/namespaces/{place.name}/gendeployments/front/scale"


def test_the_demo_runs_on_a_cluster_that_it_knows_by_a_context_alone(served: Place, tmp_path: Path) -> None:
    """What is there already is applied again, and pictures come from the Service, which this machine reaches."""
    for kind, name, spec in (("GenEvaluation", "easy", evaluation()), ("GenDeployment", "front", SPEC)):
        body = {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}
        (tmp_path / f"{kind}.yaml").write_text(json.dumps(body))
    picture = tmp_path / "samples.png"
    command = [sys.executable, "-m", "genops", "demo", "--context", "genops-local", "--namespace", served.name]
    command += ["--manifests", str(tmp_path), "--output", str(picture), "--timeout", "60"]
    env = {**os.environ, "KUBECONFIG": served.cluster.kubeconfig}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "Verdict: Passed" in done.stdout
    assert f"kubectl genops why --context genops-local -n {served.name} gdp/front" in done.stdout


def test_the_next_version_takes_over_while_requests_go_on(served: Place) -> None:
    before = served.status("gendeployment", "front")["stable"]["engineDigest"]
    codes: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            codes.append(curl(served)[0])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        served.make("GenDeployment", "front", {**SPEC, "server": {**SERVER, "instances": 2}})
        until(lambda: _settled(served, before), 600, lambda: str(served.status("gendeployment", "front")), every=1.0)
    finally:
        stop.set()
        asking.join()
    assert len(codes) > 3
    assert set(codes) == {200}
    assert len(served.list("deployments", "-l", "genops.dev/owner-name=front")) == 1


def _settled(place: Place, before: str) -> bool:
    status = place.status("gendeployment", "front")
    return status["phase"] == "Serving" and status["stable"]["engineDigest"] != before


def test_an_engine_with_a_changed_byte_is_never_served(served: Place) -> None:
    served.make("GenDeployment", "tampered", {**SPEC, "scale": {"min": 0}})
    served.phase("gendeployment", "tampered", "Parked")
    version = served.list("deployments", "-l", "genops.dev/owner-name=tampered")[0]["metadata"]["annotations"][
        "genops.dev/version"
    ]
    name = flip(served, json.loads(version)["uri"])
    served.make("GenDeployment", "tampered", {**SPEC, "scale": {"min": 1}})
    status = served.phase("gendeployment", "tampered", "Failed", seconds=180)
    ready = said(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "DigestMismatch")
    assert name in ready["message"]
    assert status["lastFailure"]["exitCode"] == 67
    assert "stable" not in status


def flip(place: Place, uri: str) -> str:
    """Change one byte of an engine in the store, from a pod that may write there. Returns the file's name."""
    claim, _, folder = uri.removeprefix("pvc://").partition("/")
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": "genops-trainers:latest",
        "command": ["python", "-c", FLIP, f"/store/{folder}"],
        "securityContext": security,
        "volumeMounts": [{"name": "store", "mountPath": "/store"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = [{"name": "store", "persistentVolumeClaim": {"claimName": claim}}]
    spec = {"restartPolicy": "Never", "securityContext": user, "containers": [container], "volumes": volumes}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "flip"}, "spec": spec}
    place.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    place.kubectl("wait", "pod/flip", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    return place.kubectl("logs", "flip").strip()


def test_all_that_was_made_goes_with_its_owner(served: Place) -> None:
    served.kubectl("delete", "gendeployment", "front", "--wait=true")
    kinds = "jobs,deployments,services,poddisruptionbudgets,networkpolicies"
    until(lambda: not served.list(kinds, "-l", "genops.dev/owner-name=front"), 60, "all children to go")
