"""The operator as a process: ready, measured, and stopped in good order."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from operators import Operator, quick_dataset, until


def lease(namespace: Any) -> dict[str, Any]:
    return dict(json.loads(namespace.kubectl("get", "lease", "genops-operator", "-o", "json"))["spec"])


def test_it_says_that_it_is_ready_counts_what_it_does_and_gives_its_lease_back(
    operator: Operator, namespace: Any
) -> None:
    namespace.apply(quick_dataset("one", namespace.name))
    until(lambda: namespace.get("gendataset", "one").get("status", {}).get("phase") == "Ready", 90, operator.tail)
    samples = operator.metrics()
    assert samples["genops_leading"] == 1
    assert samples['genops_reconcile_total{kind="GenDataset",result="done"}'] >= 3
    assert samples['genops_objects{kind="GenDataset",phase="Ready"}'] == 1
    assert samples['genops_reconcile_duration_seconds_count{kind="GenDataset"}'] >= 3
    assert samples['genops_api_requests_total{code="201",verb="create"}'] >= 2
    assert samples["genops_queue_depth"] == 0
    assert lease(namespace)["holderIdentity"] == "run-1"
    assert operator.stop() == 0
    assert lease(namespace).get("holderIdentity", "") == ""
    operator.start()
    assert lease(namespace)["holderIdentity"] == "run-2", "the next one leads at once"


def test_a_dataset_of_the_built_in_source_becomes_data_under_a_digest(operator: Operator, namespace: Any) -> None:
    spec = {"source": {"builtin": {"name": "digits"}}, "format": "images"}
    body = {"apiVersion": "genops.dev/v1alpha1", "kind": "GenDataset", "metadata": {"name": "digits"}, "spec": spec}
    namespace.apply(body)

    def status() -> dict[str, Any]:
        return dict(namespace.get("gendataset", "digits").get("status", {}))

    until(lambda: status().get("phase") in ("Ready", "Failed"), 240, lambda: f"{status()}\n{operator.tail()}")
    said = status()
    assert said["phase"] == "Ready", said
    assert said["samples"] == 1797
    assert said["digest"].startswith("sha256:")
    assert {s["name"] for s in said["splits"]} == {"train", "validation", "test"}
    assert sum(s["samples"] for s in said["splits"]) == 1797
    events = namespace.list("events.events.k8s.io")
    assert [e["reason"] for e in events if e["regarding"]["kind"] == "GenDataset"] == ["Frozen"]


def test_a_pod_whose_image_cannot_be_had_is_said_on_the_object_and_mended_by_a_new_object(
    operator: Operator, namespace: Any
) -> None:
    broken = quick_dataset("one", namespace.name)
    broken["spec"]["prepare"]["image"] = "registry.invalid/nobody:1"
    namespace.apply(broken)

    def ready() -> dict[str, Any]:
        conditions = namespace.get("gendataset", "one").get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Ready"), {})

    until(lambda: ready().get("reason") == "PodNotStarted", 60, lambda: f"{ready()}\n{operator.tail()}")
    assert "registry.invalid/nobody:1" in ready()["message"]


def test_deleting_an_object_takes_its_job_and_pods_and_leaves_the_store(operator: Operator, namespace: Any) -> None:
    namespace.apply(quick_dataset("one", namespace.name, seconds=60))
    until(lambda: [p for p in namespace.list("pods") if p["status"].get("phase") == "Running"], 60, operator.tail)
    namespace.kubectl("delete", "gendataset", "one", "--wait=true", timeout=60)
    until(lambda: not namespace.list("jobs") and not namespace.list("pods"), 60, "no Job and no pod")
    assert [c["metadata"]["name"] for c in namespace.list("pvc")] == ["genops-store"]


def test_a_wrong_setting_ends_with_two_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genops", "run"],
        env={"PATH": "/usr/bin", "GENOPS_WORKERS": "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "genops: GENOPS_WORKERS='many' is not a number; use 1 to 256\n"
