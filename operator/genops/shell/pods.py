"""Read the pods of a Job: what they say of themselves, and how far they are.

The only reader of pods. A pod's report is its termination message, its progress the marked lines of its log.
"""

from typing import Any

from gencontract.layout import CONTAINER
from gencontract.wire import decode_report, last_progress
from genops.core.kinds import JOB_LABEL, POD
from genops.core.model import Manifest, PodSeen
from genops.shell.cluster import Cluster

TAIL_LINES = 40


async def list_pods(cluster: Cluster, namespace: str, job: str) -> list[Manifest]:
    """Read the pods of a Job from the cluster itself: a Job may be seen to end before its pod is."""
    manifests, _ = await cluster.list(POD, namespace, {JOB_LABEL: job})
    return manifests


async def observe_pods(cluster: Cluster, manifests: list[Manifest], with_log: bool) -> tuple[PodSeen, ...]:
    """Look at pods, oldest first; read the log of one that runs and leads."""
    manifests.sort(key=lambda m: (str(m["metadata"].get("creationTimestamp", "")), str(m["metadata"]["name"])))
    return tuple([pod_seen(m, await _log(cluster, m) if with_log else "") for m in manifests])


async def _log(cluster: Cluster, manifest: Manifest) -> str:
    if manifest.get("status", {}).get("phase") != "Running" or not _leads(manifest):
        return ""
    meta = manifest["metadata"]
    return await cluster.log_tail(meta["namespace"], meta["name"], CONTAINER, TAIL_LINES)


def pod_seen(manifest: Manifest, log: str = "") -> PodSeen:
    """Read one pod's manifest and the tail of its log."""
    status = manifest.get("status", {})
    state = _container_state(status)
    ended: dict[str, Any] = state.get("terminated") or {}
    waiting: dict[str, Any] = state.get("waiting") or {}
    return PodSeen(
        name=manifest["metadata"]["name"],
        phase=status.get("phase", "Pending"),
        exit_code=ended.get("exitCode"),
        oom_killed=ended.get("reason") == "OOMKilled",
        waiting=_stuck(waiting),
        unschedulable=_unschedulable(status),
        started_at=str((state.get("running") or ended).get("startedAt") or ""),
        finished_at=str(ended.get("finishedAt") or ""),
        report=decode_report(ended.get("message") or "") if ended else None,
        progress=last_progress(log),
        index=_index(manifest),
        image=_image(status),
    )


def _leads(manifest: Manifest) -> bool:
    return _index(manifest) == 0


def _index(manifest: Manifest) -> int:
    return int(manifest["metadata"].get("labels", {}).get("batch.kubernetes.io/job-completion-index", 0))


def _image(status: dict[str, Any]) -> str:
    """What the container runtime says it runs."""
    found = [c for c in status.get("containerStatuses", ()) if c.get("name") == CONTAINER]
    return str(found[0].get("imageID") or "") if found else ""


def _container_state(status: dict[str, Any]) -> dict[str, Any]:
    for container in status.get("containerStatuses", ()):
        if container.get("name") == CONTAINER:
            return dict(container.get("state") or {})
    return {}


def _stuck(waiting: dict[str, Any]) -> str:
    """What a container waits for, unless it is merely being created."""
    reason = waiting.get("reason", "")
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return ""
    return f"{reason}: {waiting.get('message', '')}".rstrip(": ")


def _unschedulable(status: dict[str, Any]) -> str:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message", "no node fits"))
    return ""
