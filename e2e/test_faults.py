"""What goes wrong on a real cluster: each fault is said on the object within a minute, and mending its cause is enough."""

from typing import Any

import pytest
from hands import SOON, World
from operators import quick_dataset, until
from places import SMALL

pytestmark = pytest.mark.slow

# Writes images whose pixels differ, so that none is a copy of another.
PICTURES = """
import pathlib, sys
from PIL import Image
folder = pathlib.Path(sys.argv[1]); folder.mkdir(parents=True, exist_ok=True)
for old in folder.glob("*"): old.unlink()
for n in range(40):
    Image.frombytes("L", (8, 8), bytes((n * 37 + i * (n + 3)) % 256 for i in range(64))).save(folder / f"{n:02}.png")
"""


def from_folder(path: str, **spec: Any) -> dict[str, Any]:
    source = {"pvc": {"claimName": "raw", "path": path}}
    return {"source": source, "format": "images", "resources": SMALL, **spec}


def test_data_that_is_missing_empty_unreadable_or_blocked_is_said_and_mended(world: World) -> None:
    world.claim("raw")
    world.on_claim("raw", PICTURES, "/data/few")
    world.on_claim("raw", "import os; os.makedirs('/data/empty')")
    world.on_claim(
        "raw",
        "import os, pathlib; os.makedirs('/data/broken'); pathlib.Path('/data/broken/bad.png').write_bytes(b'not a png')",
    )
    world.make("GenDataset", "missing", from_folder("nowhere"))
    world.make("GenDataset", "empty", from_folder("empty"))
    world.make("GenDataset", "unreadable", from_folder("broken"))
    enough = [{"name": "enough", "kind": "rows", "threshold": 1000}]
    world.make("GenDataset", "blocked", from_folder("few", checks=enough))

    assert "nowhere" in world.says("gendataset", "missing", "MissingInput")
    assert "empty" in world.says("gendataset", "empty", "BadData")
    assert "bad.png" in world.says("gendataset", "unreadable", "BadData")
    assert "enough" in world.says("gendataset", "blocked", "CheckBlocked")
    for name in ("missing", "empty", "unreadable", "blocked"):
        status = world.status("gendataset", name)
        assert status["phase"] == ("Blocked" if name == "blocked" else "Failed")
        assert "digest" not in status, "nothing half-written looks finished"

    waits = {"datasetRef": {"name": "blocked"}, "family": "flow", "resources": SMALL}
    world.make("GenTrainingJob", "waits", waits)
    until(lambda: world.condition("gentrainingjob", "waits", "InputsResolved"), SOON, "the run says what it waits for")
    assert "blocked" in world.condition("gentrainingjob", "waits", "InputsResolved")["message"]
    assert world.namespace.list("jobs", "-l", "genops.dev/role=train") == []

    for folder in ("nowhere", "empty", "broken"):
        world.on_claim("raw", PICTURES, f"/data/{folder}")
    for name in ("missing", "empty", "unreadable"):
        world.patch("gendataset", name, syncRound=2)
    for name in ("missing", "empty", "unreadable"):
        assert world.phase("gendataset", name, "Ready")["samples"] == 40


def run_of(script: str = "", **spec: Any) -> dict[str, Any]:
    """A run of our own flow, or of a script in its place."""
    body: dict[str, Any] = {"datasetRef": {"name": "data"}, "resources": SMALL, "retry": {"limit": 0}, **spec}
    if not script:
        return {"family": "flow", "hyperparameters": {"steps": 5000, "batch": 32, "threads": 1}, **body}
    return {"family": "custom", "image": "genops-trainers:latest", "command": ["python", "-c", script], **body}


def test_runs_that_fail_say_why_and_runs_that_were_disturbed_go_on(world: World) -> None:
    world.make(
        "GenDataset", "data", {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": SMALL}
    )
    world.phase("gendataset", "data", "Ready")
    typo = {"steps": 20, "widht": 8}
    world.make("GenTrainingJob", "disturbed", run_of(checkpoint={"everySeconds": 2}, retry={"limit": 3}))
    until(
        lambda: saved(world, "disturbed"), 120, lambda: f"a checkpoint: {world.status('gentrainingjob', 'disturbed')}"
    )
    (pod,) = pods(world, "disturbed")
    world.namespace.kubectl("delete", "pod", pod, "--wait=false")
    world.make("GenTrainingJob", "typo", run_of(hyperparameters=typo))
    world.make("GenTrainingJob", "crashes", run_of("raise SystemExit(1)"))
    world.make("GenTrainingJob", "hangs", run_of("import time; time.sleep(600)", activeDeadlineSeconds=5))
    world.make("GenTrainingJob", "no-image", run_of(image="registry.invalid/nobody:1"))

    assert "widht" in world.says("gentrainingjob", "typo", "BadConfig", which="Failed")
    world.says("gentrainingjob", "crashes", "Crashed", which="Failed")
    # A process that does not hear SIGTERM ends when its grace period is over; that it has failed is said before.
    until(lambda: failure(world, "hangs").get("reason") == "DeadlineExceeded", SOON, "the run that hangs says so")
    stuck = world.says("gentrainingjob", "no-image", "PodNotStarted", which="Complete")
    assert "registry.invalid/nobody:1" in stuck
    for name in ("typo", "crashes"):
        status = world.status("gentrainingjob", name)
        assert status["phase"] == "Failed"
        assert "output" not in status, "nothing half-written looks finished"

    end = world.phase("gentrainingjob", "disturbed", "Succeeded", seconds=300)
    assert end["progress"]["percent"] == 100
    assert end["output"]["digest"].startswith("sha256:")
    assert len(world.namespace.list("jobs", "-l", "genops.dev/owner-name=disturbed")) == 1


def failure(world: World, name: str) -> dict[str, Any]:
    return dict(world.status("gentrainingjob", name).get("lastFailure") or {})


def saved(world: World, name: str) -> int:
    return int(world.status("gentrainingjob", name).get("checkpoint", {}).get("step", 0))


def pods(world: World, name: str) -> list[str]:
    """Name the pods of an object that have not ended."""
    found = world.namespace.list("pods", "-l", f"genops.dev/owner-name={name}")
    return [p["metadata"]["name"] for p in found if p["status"].get("phase") in ("Pending", "Running")]


def test_what_is_deleted_at_any_stage_takes_what_it_made_with_it(world: World) -> None:
    """While it waits, while its pod runs, when it has ended: no Job and no pod is left, and the rest goes on."""
    world.make("GenTrainingJob", "waits", run_of())
    world.says("gentrainingjob", "waits", "WaitingForReference", which="InputsResolved")
    slow = quick_dataset("runs", world.namespace.name, seconds=120)
    world.namespace.apply(slow, quick_dataset("ended", world.namespace.name))
    world.phase("gendataset", "ended", "Ready")
    until(lambda: pods(world, "runs"), SOON, "a pod of the dataset that runs")
    for kind, name in (("gentrainingjob", "waits"), ("gendataset", "runs"), ("gendataset", "ended")):
        world.namespace.kubectl("delete", kind, name, "--wait=true", timeout=60)
    until(lambda: not world.namespace.list("jobs") and not world.namespace.list("pods"), SOON, "no Job and no pod")
    world.namespace.apply(quick_dataset("next", world.namespace.name))
    world.phase("gendataset", "next", "Ready")


def test_a_namespace_that_is_deleted_goes_while_its_objects_are_at_work(world: World) -> None:
    name = world.namespace.name
    world.namespace.apply(quick_dataset("runs", name, seconds=120), quick_dataset("ended", name))
    world.phase("gendataset", "ended", "Ready")
    until(lambda: pods(world, "runs"), SOON, "a pod that runs")
    world.namespace.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s", timeout=90)
    assert world.namespace.kubectl("get", "namespace", name, "--ignore-not-found") == ""
    assert world.operator.stop() == 0, "the operator has outlived it"
