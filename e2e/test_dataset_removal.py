"""GenDataset with deletionPolicy Delete on a real cluster: its data goes with it, nobody else's does, nothing hangs."""

from typing import Any

import pytest
from hands import SOON, World
from operators import until
from places import SMALL

pytestmark = pytest.mark.slow

FINALIZER = "genops.dev/cleanup"
DIGITS: dict[str, Any] = {
    "source": {"builtin": {"name": "digits", "samples": 100}},
    "format": "images",
    "resources": SMALL,
    "deletionPolicy": "Delete",
}
LISTS = "import pathlib; print(*sorted(p.name for p in pathlib.Path('/data/gendatasets').iterdir()))"


def folder(world: World, name: str) -> str:
    """The name of the folder that holds all rounds of a dataset."""
    return str(world.status("gendataset", name)["uri"].split("/")[-2])


def gone(world: World, kind: str, name: str) -> None:
    until(
        lambda: not world.namespace.get(kind, name),
        SOON,
        lambda: f"{kind}/{name} to go: {world.status(kind, name)}\n{world.operator.tail()}",
    )


def events(world: World, name: str) -> dict[str, str]:
    found = world.namespace.list("events.events.k8s.io", "--field-selector", f"regarding.name={name}")
    return {e["reason"]: e["note"] for e in found}


def test_its_data_goes_with_it_once_nobody_refers_to_it_and_a_neighbours_stays(world: World) -> None:
    for name, policy in (("mine", "Delete"), ("kept", "Keep"), ("front", "Delete")):
        world.make("GenDataset", name, {**DIGITS, "deletionPolicy": policy})
    for name in ("mine", "kept", "front"):
        world.phase("gendataset", name, "Ready")
    folders = {name: folder(world, name) for name in ("mine", "kept", "front")}
    run = {"datasetRef": {"name": "mine"}, "family": "flow", "suspend": True, "resources": SMALL}
    world.make("GenTrainingJob", "run", run)

    world.kubectl("delete", "gendataset", "mine", "--wait=false")
    assert "GenTrainingJob/run" in world.says("gendataset", "mine", "DataInUse")
    world.kubectl("delete", "gendataset", "kept", "--wait=true")
    world.kubectl("delete", "gendataset", "front", "--wait=true", "--cascade=foreground")
    assert set(world.on_claim("genops-store", LISTS).split()) == {folders["mine"], folders["kept"]}

    world.kubectl("delete", "gentrainingjob", "run")
    gone(world, "gendataset", "mine")
    assert "DataRemoved" in events(world, "mine")
    assert world.on_claim("genops-store", LISTS).split() == [folders["kept"]]
    until(lambda: not world.namespace.list("jobs"), SOON, "no Job is left")


def test_nothing_hangs_when_the_store_or_the_namespace_goes_or_the_policy_is_keep(world: World) -> None:
    world.claim("own")
    world.make("GenDataset", "orphan", {**DIGITS, "storage": {"pvc": {"claimName": "own"}}})
    world.make("GenDataset", "spared", DIGITS)
    world.make("GenDataset", "last", {**DIGITS, "suspend": True})
    world.phase("gendataset", "orphan", "Ready")
    world.phase("gendataset", "spared", "Ready")
    world.phase("gendataset", "last", "Suspended")

    world.kubectl("delete", "pods", "--all")
    world.kubectl("delete", "pvc", "own", "--wait=true")
    world.kubectl("delete", "gendataset", "orphan", "--wait=false")
    gone(world, "gendataset", "orphan")
    assert 'persistentvolumeclaim "own"' in events(world, "orphan")["DataLeftBehind"]

    assert world.get("gendataset", "spared")["metadata"]["finalizers"] == [FINALIZER]
    world.patch("gendataset", "spared", deletionPolicy="Keep")
    until(lambda: "finalizers" not in world.get("gendataset", "spared")["metadata"], SOON, "no finalizer")

    name = world.namespace.name
    world.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s")
    assert world.kubectl("get", "namespace", name, "--ignore-not-found") == ""
    assert world.operator.stop() == 0, "the operator has outlived it"
