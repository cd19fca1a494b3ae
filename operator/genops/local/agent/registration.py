"""The Node object of this machine, its status, and the lease that says it is alive."""

import asyncio
import logging
import os
import platform
import shutil
from datetime import datetime

from genops.local.agent.facts import Json, NodeFacts, micro_stamp, now, stamp
from genops.local.programs import VERSION
from genops.local.state import NODE_PORT
from genops.shell.errors import ApiError, ClusterError
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
LEASE_SECONDS, RENEW_SECONDS, STATUS_SECONDS = 40, 10.0, 60.0
PODS = 250
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Registration:
    """Registers the node and keeps it registered."""

    def __init__(self, api: KubeApi, facts: NodeFacts) -> None:
        self._api, self._facts = api, facts
        self._since = now()

    async def register(self) -> None:
        """Create the node, or bring the one that is there up to date."""
        try:
            await self._api.call("POST", "/api/v1/nodes", body=node(self._facts))
        except ApiError as error:
            if not error.already_exists:
                raise
        await self._report()

    async def run(self) -> None:
        """Renew the lease and the status for ever."""
        next_status = STATUS_SECONDS
        while True:
            await self._attempt()
            await asyncio.sleep(RENEW_SECONDS)
            next_status -= RENEW_SECONDS
            if next_status <= 0:
                next_status = STATUS_SECONDS
                await self._attempt_report()

    async def _attempt(self) -> None:
        try:
            await self._renew()
        except ClusterError as error:
            log.info("lease not renewed: %s", error)

    async def _attempt_report(self) -> None:
        try:
            await self._report()
        except ClusterError as error:
            log.info("node status not written: %s", error)

    async def _report(self) -> None:
        body = {"status": status(self._facts, self._since, now())}
        path = f"/api/v1/nodes/{self._facts.name}/status"
        await self._api.call("PATCH", path, body=body, content_type=STRATEGIC)

    async def _renew(self) -> None:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {
            "holderIdentity": self._facts.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": micro_stamp(now()),
        }
        try:
            body: Json = {"spec": spec}
            await self._api.call("PATCH", f"{path}/{self._facts.name}", body=body, content_type=MERGE)
        except ApiError as error:
            if not error.not_found:
                raise
            await self._api.call("POST", path, body={"metadata": {"name": self._facts.name}, "spec": spec})


def facts(name: str, address: str, cpus: int | None, api: tuple[str, int]) -> NodeFacts:
    """Look at the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    storage = shutil.disk_usage("/").total
    return NodeFacts(name, address, cpus or os.cpu_count() or 1, memory, storage, *api)


def node(facts: NodeFacts) -> Json:
    """Return the Node object to register."""
    arch = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {"kubernetes.io/hostname": facts.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": arch}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": facts.name, "labels": labels}}


def status(facts: NodeFacts, since: datetime, moment: datetime) -> Json:
    """Return the node's status."""
    offers = {
        "cpu": str(facts.cpus),
        "memory": str(facts.memory),
        "ephemeral-storage": str(facts.storage),
        "pods": str(PODS),
    }
    return {
        "capacity": offers,
        "allocatable": offers,
        "conditions": _conditions(since, moment),
        "addresses": [
            {"type": "InternalIP", "address": facts.address},
            {"type": "Hostname", "address": facts.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": NODE_PORT}},
        "nodeInfo": _info(),
    }


def _conditions(since: datetime, moment: datetime) -> list[Json]:
    times = {"lastHeartbeatTime": stamp(moment), "lastTransitionTime": stamp(since)}
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    well = [{"type": kind, "status": "False", "reason": "NotWatched", **times} for kind in pressures]
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "The node agent runs", **times}
    return [*well, ready]


def _info() -> Json:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "operatingSystem": "linux",
        "kernelVersion": platform.release(),
        "osImage": "the host's own",
        "containerRuntimeVersion": "genops://bubblewrap",
        "kubeletVersion": f"v{VERSION}",
        "kubeProxyVersion": "",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }
