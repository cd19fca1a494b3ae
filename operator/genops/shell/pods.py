"""Read the pods of a Job: what they say of themselves, and how far they are.

The only reader of pods. A pod's report is its termination message, its progress the marked lines of its log.
"""

from typing import Any

from gencontract.layout import CONTAINER
from gencontract.wire import decode_report, last_progress
from genops.core.kinds import POD
from genops.core.model import Manifest, PodSeen
from genops.shell.cluster import Cluster

JOB_LABEL = "batch.kubernetes.io/job-name"
TAIL_LINES = 40


async def observe_pods(cluster: Cluster, namespace: str, job: str) -> tuple[PodSeen, ...]:
    """Look at every pod of a Job, oldest first; read the log of the newest running one."""
    manifests, _ = await cluster.list(POD, namespace, {JOB_LABEL: job})
    manifests.sort(key=lambda m: (str(m["metadata"].get("creationTimestamp", "")), str(m["metadata"]["name"])))
    seen = []
    for manifest in manifests:
        log = ""
        if manifest.get("status", {}).get("phase") == "Running" and _leads(manifest):
            log = await cluster.log_tail(namespace, manifest["metadata"]["name"], CONTAINER, TAIL_LINES)
        seen.append(pod_seen(manifest, log))
    return tuple(seen)


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
