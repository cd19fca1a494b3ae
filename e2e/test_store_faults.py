"""Artifact stores that are full or away: said within a minute, and what waits goes on by itself once that is mended."""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from buckets import Buckets, buckets
from hands import SOON, World
from operators import until
from places import SMALL

pytestmark = pytest.mark.slow

DIGITS: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": SMALL}
MOUNTS = os.geteuid() == 0


@contextmanager
def cramped(folder: Path) -> Iterator[None]:
    """Put a file system of a few pages over a folder."""
    options = "size=32k,mode=1777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(not MOUNTS, reason="only root may mount a small file system; run as root")
def test_a_claim_without_room_is_said_and_room_is_enough_to_go_on(world: World) -> None:
    world.claim("tight")
    world.on_claim("tight", "print('bound')")
    folder = world.cluster.paths.volumes / world.get("pvc", "tight")["spec"]["volumeName"]
    with cramped(folder):
        world.make("GenDataset", "digits", {**DIGITS, "storage": {"pvc": {"claimName": "tight"}}})
        message = world.says("gendataset", "digits", "Retrying")
        assert "free some or make the store larger" in message
        assert world.status("gendataset", "digits")["lastFailure"]["reason"] == "StoreFull"
        assert "digest" not in world.status("gendataset", "digits"), "nothing half-written looks finished"
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        assert world.phase("gendataset", "digits", "Ready")["samples"] > 1000
        assert len(world.namespace.list("jobs")) == 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buckets]:
    with buckets(tmp_path) as made:
        made.files.mkdir("artifacts")
        yield made


def test_a_store_that_is_away_is_said_and_its_return_is_enough_to_go_on(world: World, store: Buckets) -> None:
    data = {"AWS_ACCESS_KEY_ID": store.key, "AWS_SECRET_ACCESS_KEY": store.secret}
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    world.namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": encoded})
    refs = [{"name": k, "secretKeyRef": {"name": "keys", "key": k}} for k in data]
    template = {"env": [{"name": "AWS_ENDPOINT_URL", "value": store.url}, *refs]}
    store.stop()
    world.make("GenDataset", "digits", {**DIGITS, "storage": {"uri": "s3://artifacts/team"}, "template": template})
    message = world.says("gendataset", "digits", "Retrying")
    assert "s3://artifacts/team/gendatasets/digits-" in message
    assert "did not answer" in message
    store.start()
    ready = world.phase("gendataset", "digits", "Ready")
    until(lambda: store.files.exists(f"{ready['uri']}/manifest.json"), SOON, "the data in the bucket")
    assert len(world.namespace.list("jobs")) == 1
