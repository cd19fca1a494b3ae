"""Sources and artifacts in buckets of a real S3 gateway: credentials by reference, and every mistake said by name."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buckets import Buckets, buckets
from hands import SOON, World
from operators import until
from PIL import Image
from places import SMALL

pytestmark = pytest.mark.slow

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def picture(n: int) -> bytes:
    """An image that is like no other."""
    file = io.BytesIO()
    Image.frombytes("L", (8, 8), bytes((n * 37 + i * (n + 3)) % 256 for i in range(64))).save(file, "png")
    return file.getvalue()


def fill(store: Buckets, bucket: str) -> None:
    for n in range(40):
        store.files.pipe_file(f"{bucket}/pictures/{n:02}.png", picture(n))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Buckets]:
    with buckets(tmp_path) as made:
        for bucket in ("raw", "artifacts"):
            made.files.mkdir(bucket)
        fill(made, "raw")
        yield made


def keys(world: World, name: str, store: Buckets, secret: str = "") -> None:
    """Make or mend a Secret with the gateway's keys."""
    data = dict(zip(KEYS, (store.key, secret or store.secret), strict=True))
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    world.namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded})


def by_reference(store: Buckets, secret: str) -> dict[str, Any]:
    """What a pod carries that reads or writes artifacts in a bucket."""
    refs = [{"name": k, "secretKeyRef": {"name": secret, "key": k}} for k in KEYS]
    return {"env": [{"name": "AWS_ENDPOINT_URL", "value": store.url}, *refs]}


def from_bucket(store: Buckets, uri: str = "s3://raw/pictures", secret: str = "keys", **spec: Any) -> dict[str, Any]:
    return {
        "source": {"s3": {"uri": uri, "endpoint": store.url}, "secretRef": {"name": secret}},
        "format": "images",
        "splits": {"train": 0.8, "validation": 0.1, "test": 0.1},
        "storage": {"uri": "s3://artifacts/team"},
        "template": by_reference(store, "keys"),
        "resources": SMALL,
        **spec,
    }


def run_on(store: Buckets, dataset: str) -> dict[str, Any]:
    return {
        "datasetRef": {"name": dataset},
        "family": "flow",
        "hyperparameters": {"steps": 10, "batch": 8, "threads": 1},
        "output": {"uri": "s3://artifacts/team"},
        "template": by_reference(store, "keys"),
        "retry": {"limit": 0},
        "resources": SMALL,
    }


def test_artifacts_in_a_bucket_are_handed_over_by_digest_and_a_changed_byte_is_named(
    world: World, store: Buckets
) -> None:
    keys(world, "keys", store)
    world.make("GenDataset", "pictures", from_bucket(store, deletionPolicy="Delete"))
    data = world.phase("gendataset", "pictures", "Ready")
    assert data["samples"] == 40
    assert data["uri"].startswith("s3://artifacts/team/gendatasets/pictures-")
    world.make("GenTrainingJob", "first", run_on(store, "pictures"))
    end = world.phase("gentrainingjob", "first", "Succeeded")
    assert store.files.exists(f"{end['output']['uri']}/manifest.json")

    victim = next(f for f in store.files.find(data["uri"]) if not f.endswith("manifest.json") and "train" in f)
    store.flip(victim)
    world.make("GenTrainingJob", "second", run_on(store, "pictures"))
    message = world.says("gentrainingjob", "second", "DigestMismatch", which="Failed")
    assert f"s3://{victim}" in message
    assert "output" not in world.status("gentrainingjob", "second"), "nothing half-written looks finished"

    world.kubectl("delete", "gentrainingjob", "--all")
    world.kubectl("delete", "gendataset", "pictures", "--wait=true")
    assert store.files.find(data["uri"]) == []
    assert store.files.exists(f"{end['output']['uri']}/manifest.json"), "weights are not the dataset's to remove"


def test_wrong_keys_and_missing_buckets_are_named_mended_and_no_key_is_ever_shown(world: World, store: Buckets) -> None:
    keys(world, "keys", store)
    keys(world, "wrong", store, secret="not-the-secret")
    world.namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "empty"}})
    world.make("GenDataset", "forbidden", from_bucket(store, secret="wrong"))
    world.make("GenDataset", "keyless", from_bucket(store, secret="empty"))
    world.make("GenDataset", "nowhere", from_bucket(store, uri="s3://nobody/pictures"))
    world.make("GenDataset", "homeless", from_bucket(store, storage={"uri": "s3://no-store/team"}))
    names = ("forbidden", "keyless", "nowhere", "homeless")

    forbidden = world.says("gendataset", "forbidden", "Forbidden")
    assert "source.s3.uri s3://raw/pictures" in forbidden
    assert "the Secret wrong" in forbidden
    assert "the Secret empty has no key AWS_ACCESS_KEY_ID" in world.says("gendataset", "keyless", "BadConfig")
    assert "source.s3.uri s3://nobody/pictures does not exist" in world.says("gendataset", "nowhere", "MissingInput")
    homeless = world.says("gendataset", "homeless", "MissingInput")
    assert "s3://no-store/team" in homeless
    assert "make the bucket, or mend the address" in homeless

    keys(world, "wrong", store)
    keys(world, "empty", store)
    for bucket in ("no-store", "nobody"):
        store.files.mkdir(bucket)
    fill(store, "nobody")
    for name in names:
        world.patch("gendataset", name, syncRound=2)
    for name in names:
        assert world.phase("gendataset", name, "Ready")["samples"] == 40

    told = world.kubectl("get", "gendatasets,jobs,pods,events", "-o", "json") + world.operator.tail(100000)
    told += "".join(world.namespace.logs(p["metadata"]["name"]) for p in world.namespace.list("pods"))
    assert json.loads(world.kubectl("get", "secret", "keys", "-o", "json"))["data"], "they are there to be shown"
    for value in (store.key, store.secret, "not-the-secret"):
        assert value not in told
        assert base64.b64encode(value.encode()).decode() not in told
    until(lambda: not world.namespace.list("pods", "--field-selector", "status.phase=Running"), SOON, "no pod runs on")
