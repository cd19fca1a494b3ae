"""What a server pod is told to record, and where it may write."""

from typing import Any

import pytest
from worlds import DIGEST, resource

from gencontract.task import ServeTask
from gencontract.wire import decode_task
from genops.core.model import Config, Manifest
from genops.core.podspec import TASK_ANNOTATION
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment import capture
from genops.stages.deployment.children import serve_deployment
from genops.stages.deployment.servers import Version

VERSION = Version("v1", DIGEST, "pvc://genops-store/engine", DIGEST, "onnx", "", ())
SAMPLED = {"sampleRate": 0.5, "store": {"pvc": {"claimName": "seen", "path": "faces"}}}


def a_deployment(**spec: Any) -> Any:
    return resource(STAGE, "front", {"model": {"trainingJobRef": {"name": "digits"}}, **spec})


def a_server(**spec: Any) -> Manifest:
    template = serve_deployment(a_deployment(**spec), VERSION, 1, Config())["spec"]["template"]
    assert isinstance(template, dict)
    return template


def told(template: Manifest) -> ServeTask:
    task = decode_task(template["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert isinstance(task, ServeTask)
    return task


def mounts(template: Manifest) -> dict[str, bool]:
    """Each claim, and whether it is mounted without the right to write."""
    found = template["spec"]["containers"][0]["volumeMounts"]
    return {m["mountPath"].split("/")[-1]: m.get("readOnly", False) for m in found if m["name"].startswith("store-")}


def test_nothing_is_recorded_and_nothing_can_be_written_unless_asked_for() -> None:
    server = a_server()
    assert told(server).capture is None
    assert mounts(server) == {"genops-store": True}


def test_a_server_is_told_what_to_record_and_may_write_there_alone() -> None:
    server = a_server(capture={**SAMPLED, "redact": "drop", "maxPerMinute": 6, "rotateSeconds": 7})
    recording = told(server).capture
    assert recording is not None
    assert recording.uri.startswith("/genops/store/seen/faces/captured/front-")
    assert (recording.rate, recording.per_minute, recording.redact) == (0.5, 6, "drop")
    assert (recording.rotate_seconds, recording.keep_seconds) == (7, 604_800)
    assert mounts(server) == {"genops-store": True, "seen": False}


def test_one_claim_for_engine_and_records_is_mounted_once() -> None:
    server = a_server(capture={"sampleRate": 1, "store": {"uri": "pvc://genops-store/seen"}})
    assert mounts(server) == {"genops-store": False}


@pytest.mark.parametrize(("uri", "leaves"), [("s3://bucket/seen", True), ("pvc://seen", False)])
def test_records_that_leave_the_cluster_need_a_way_out(uri: str, leaves: bool) -> None:
    assert capture.leaves(a_deployment(capture={"sampleRate": 1, "store": {"uri": uri}})) is leaves


def test_two_objects_of_one_name_share_no_folder() -> None:
    first, second = (
        capture.location(resource(STAGE, "front", {"model": {"uri": "s3://m/x"}, "capture": SAMPLED}, uid=uid))
        for uid in ("a", "b")
    )
    assert first != second
