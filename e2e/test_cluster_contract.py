"""The adapter on a real API server keeps the port's contract: the same tests as the fake's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cluster_contract import *  # noqa: F403  (the tests are the module)

from genops.local.cluster import LocalCluster
from genops.shell.errors import ApiError, NotLeading
from genops.shell.kube import KubeApi
from genops.shell.kube_cluster import KubeCluster


@pytest.fixture
async def api(crds: LocalCluster) -> AsyncIterator[KubeApi]:
    connected = await KubeApi.connect(crds.kubeconfig, user_agent="contract")
    yield connected
    await connected.close()


@pytest.fixture
def port(api: KubeApi) -> KubeCluster:
    return KubeCluster(api)


@pytest.fixture
def space(namespace: Any) -> str:
    return str(namespace.name)


async def test_a_process_that_does_not_lead_reads_and_never_writes(api: KubeApi, space: str) -> None:
    follower = KubeCluster(api, may_write=lambda: False)
    with pytest.raises(NotLeading):
        await follower.create(CONFIG_MAP, config_map(space))  # noqa: F405
    assert await follower.get(CONFIG_MAP, space, "a") is None  # noqa: F405


async def test_an_error_carries_the_servers_words(api: KubeApi, space: str) -> None:
    with pytest.raises(ApiError, match=r"unable to parse quantity|quantities must match") as refused:
        await api.call("POST", f"/api/v1/namespaces/{space}/persistentvolumeclaims", body=CLAIM_WITH_A_BAD_SIZE)
    assert refused.value.refused


CLAIM_WITH_A_BAD_SIZE = {
    "metadata": {"name": "x"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "lots"}}},
}
