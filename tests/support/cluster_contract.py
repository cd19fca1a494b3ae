"""What the engine leans on in a Cluster. The same tests run against the fake (tests/) and a real API server (e2e/).

Each test takes the fixtures `port`, a Cluster, and `space`, a namespace of its own.
"""

import pytest

from genops.core.kinds import CONFIG_MAP, EVENT, GEN_DATASET, JOB, LEASE, SERVICE
from genops.core.model import Manifest
from genops.shell.cluster import Cluster
from genops.shell.errors import ApiError
from genops.shell.store import version


def config_map(space: str, name: str = "a", **data: str) -> Manifest:
    return {"metadata": {"name": name, "namespace": space}, "data": data}


def dataset(space: str, name: str = "digits") -> Manifest:
    spec = {"source": {"builtin": {"name": "digits"}}, "format": "images"}
    return {
        "apiVersion": GEN_DATASET.api_version,
        "kind": GEN_DATASET.kind,
        "metadata": {"name": name, "namespace": space},
        "spec": spec,
    }


def job(space: str, name: str = "work") -> Manifest:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none", "command": ["true"]}]}
    return {
        "metadata": {"name": name, "namespace": space, "labels": {"who": name}},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


async def test_what_is_not_there_reads_as_none(port: Cluster, space: str) -> None:
    assert await port.get(CONFIG_MAP, space, "nobody") is None


async def test_a_name_is_taken_once(port: Cluster, space: str) -> None:
    made = await port.create(CONFIG_MAP, config_map(space, a="1"))
    assert made["metadata"]["uid"]
    with pytest.raises(ApiError) as refused:
        await port.create(CONFIG_MAP, config_map(space, a="2"))
    assert refused.value.already_exists
    assert not refused.value.conflict
    found = await port.get(CONFIG_MAP, space, "a")
    assert found is not None
    assert found["data"] == {"a": "1"}


async def test_a_list_is_filtered_by_namespace_and_labels_and_says_its_kind(port: Cluster, space: str) -> None:
    for name in ("one", "two"):
        await port.create(JOB, job(space, name))
    found, listed_at = await port.list(JOB, space, {"who": "two"})
    assert [m["metadata"]["name"] for m in found] == ["two"]
    assert (found[0]["kind"], found[0]["apiVersion"]) == ("Job", "batch/v1")
    assert listed_at >= version(found[0])
    assert len((await port.list(JOB, space))[0]) == 2
    assert (await port.list(JOB, space, {"who": "three"}))[0] == []


async def test_apply_creates_and_then_changes_and_takes_back_what_it_no_longer_wants(port: Cluster, space: str) -> None:
    first = await port.apply(CONFIG_MAP, config_map(space, a="1", b="2"))
    second = await port.apply(CONFIG_MAP, config_map(space, a="3"))
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    assert second["data"] == {"a": "3"}


async def test_apply_leaves_fields_of_others_alone(port: Cluster, space: str) -> None:
    await port.apply(CONFIG_MAP, config_map(space, a="1"))
    await port.patch(CONFIG_MAP, space, "a", {"data": {"theirs": "x"}})
    after = await port.apply(CONFIG_MAP, config_map(space, a="2"))
    assert after["data"] == {"a": "2", "theirs": "x"}


async def test_an_apply_that_changes_nothing_keeps_the_version(port: Cluster, space: str) -> None:
    first = await port.apply(CONFIG_MAP, config_map(space, a="1"))
    again = await port.apply(CONFIG_MAP, config_map(space, a="1"))
    assert version(again) == version(first)


async def test_versions_rise_with_each_change(port: Cluster, space: str) -> None:
    first = await port.create(CONFIG_MAP, config_map(space, a="1"))
    second = await port.patch(CONFIG_MAP, space, "a", {"data": {"a": "2"}})
    assert version(second) > version(first)


async def test_a_replace_of_an_old_version_is_a_conflict(port: Cluster, space: str) -> None:
    body = {"metadata": {"name": "lead", "namespace": space}, "spec": {"holderIdentity": "a"}}
    body |= {"apiVersion": LEASE.api_version, "kind": LEASE.kind}
    first = await port.create(LEASE, body)
    await port.replace(LEASE, {**first, "spec": {"holderIdentity": "b"}})
    with pytest.raises(ApiError) as refused:
        await port.replace(LEASE, {**first, "spec": {"holderIdentity": "c"}})
    assert refused.value.conflict
    found = await port.get(LEASE, space, "lead")
    assert found is not None
    assert found["spec"]["holderIdentity"] == "b"


async def test_status_has_its_own_door(port: Cluster, space: str) -> None:
    made = await port.create(GEN_DATASET, {**dataset(space), "status": {"phase": "Ready"}})
    assert "status" not in made
    where = {"name": "digits", "namespace": space, "resourceVersion": made["metadata"]["resourceVersion"]}
    told = await port.apply_status(GEN_DATASET, {"metadata": where, "status": {"phase": "Preparing"}})
    assert told["status"] == {"phase": "Preparing"}
    assert told["metadata"]["generation"] == made["metadata"]["generation"] == 1
    assert told["spec"] == made["spec"]


async def test_a_status_for_an_object_that_has_gone_is_not_found(port: Cluster, space: str) -> None:
    where = {"name": "nobody", "namespace": space}
    with pytest.raises(ApiError) as refused:
        await port.apply_status(GEN_DATASET, {"metadata": where, "status": {"phase": "Ready"}})
    assert refused.value.not_found


async def test_a_status_about_an_older_version_is_a_conflict(port: Cluster, space: str) -> None:
    """So that what was seen of one object is never said of its successor, or of a spec that nobody has looked at."""
    made = await port.create(GEN_DATASET, dataset(space))
    await port.patch(GEN_DATASET, space, "digits", {"spec": {"suspend": True}})
    where = {"name": "digits", "namespace": space, "resourceVersion": made["metadata"]["resourceVersion"]}
    with pytest.raises(ApiError) as refused:
        await port.apply_status(GEN_DATASET, {"metadata": where, "status": {"phase": "Ready"}})
    assert refused.value.conflict
    found = await port.get(GEN_DATASET, space, "digits")
    assert found is not None
    assert "status" not in found


async def test_a_status_field_that_is_no_longer_said_goes_away(port: Cluster, space: str) -> None:
    made = await port.create(GEN_DATASET, dataset(space))
    where = {"name": "digits", "namespace": space, "resourceVersion": made["metadata"]["resourceVersion"]}
    first = await port.apply_status(GEN_DATASET, {"metadata": where, "status": {"phase": "Preparing", "samples": 3}})
    where["resourceVersion"] = first["metadata"]["resourceVersion"]
    told = await port.apply_status(GEN_DATASET, {"metadata": where, "status": {"phase": "Failed"}})
    assert told["status"] == {"phase": "Failed"}


async def test_delete_asks_for_the_uid(port: Cluster, space: str) -> None:
    made = await port.create(CONFIG_MAP, config_map(space, a="1"))
    await port.delete(CONFIG_MAP, space, "a", "11111111-1111-1111-1111-111111111111")
    assert await port.get(CONFIG_MAP, space, "a") is not None
    await port.delete(CONFIG_MAP, space, "a", made["metadata"]["uid"])
    assert await port.get(CONFIG_MAP, space, "a") is None
    await port.delete(CONFIG_MAP, space, "a", made["metadata"]["uid"])


async def test_a_merge_patch_flips_suspend(port: Cluster, space: str) -> None:
    await port.create(JOB, job(space))
    after = await port.patch(JOB, space, "work", {"spec": {"suspend": False}})
    assert after["spec"]["suspend"] is False


async def test_an_object_with_a_finalizer_is_marked_and_goes_with_it(port: Cluster, space: str) -> None:
    made = await port.create(GEN_DATASET, dataset(space))
    at = made["metadata"]["resourceVersion"]
    held = await port.patch(
        GEN_DATASET, space, "digits", {"metadata": {"resourceVersion": at, "finalizers": ["genops.dev/test"]}}
    )
    assert held["metadata"]["generation"] == made["metadata"]["generation"]
    await port.delete(GEN_DATASET, space, "digits", made["metadata"]["uid"])
    marked = await port.get(GEN_DATASET, space, "digits")
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"]
    await port.patch(GEN_DATASET, space, "digits", {"metadata": {"finalizers": []}})
    assert await port.get(GEN_DATASET, space, "digits") is None


async def test_a_patch_of_an_older_version_is_a_conflict(port: Cluster, space: str) -> None:
    """So that a list that is written whole, as the finalizers', loses no entry of another writer."""
    made = await port.create(GEN_DATASET, dataset(space))
    at = made["metadata"]["resourceVersion"]
    await port.patch(GEN_DATASET, space, "digits", {"spec": {"suspend": True}})
    with pytest.raises(ApiError) as refused:
        await port.patch(GEN_DATASET, space, "digits", {"metadata": {"resourceVersion": at, "finalizers": ["x/y"]}})
    assert refused.value.conflict


async def test_an_event_gets_its_name_from_the_server(port: Cluster, space: str) -> None:
    body = {
        "metadata": {"generateName": "digits-", "namespace": space},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Reconcile",
        "type": "Normal",
        "reason": "Frozen",
        "note": "done",
        "reportingController": "genops.dev/operator",
        "reportingInstance": "genops",
        "regarding": {
            "apiVersion": GEN_DATASET.api_version,
            "kind": "GenDataset",
            "namespace": space,
            "name": "digits",
        },
    }
    made = await port.create(EVENT, body)
    assert made["metadata"]["name"].startswith("digits-")


async def test_a_log_of_nobody_is_empty(port: Cluster, space: str) -> None:
    assert await port.log_tail(space, "nobody", "main", 10) == ""


async def test_the_cluster_says_what_it_serves(port: Cluster, space: str) -> None:
    assert await port.serves(SERVICE)
    assert await port.serves(JOB)
