"""What the node's parts share: the shape of API objects, time as the API writes it, and the node's own facts. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class NodeFacts:
    """What pods may learn about the node."""

    name: str
    address: str
    cpus: int
    memory: int  # bytes
    storage: int  # bytes
    api_host: str
    api_port: int


def now() -> datetime:
    """Return the present time with its zone."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Write a time as the API does, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(moment: datetime) -> str:
    """Write a time as the API does where it counts microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_stamp(text: str) -> datetime:
    """Read a time that the API wrote."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def key(obj: Json) -> str:
    """Name an object in messages: namespace/name."""
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


def uid(obj: Json) -> str:
    """Return the identity of an object."""
    return str(obj["metadata"]["uid"])


def terminating(obj: Json) -> bool:
    """Say whether somebody asked for the object's deletion."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def hostname(pod: Json) -> str:
    """Return the host name that a pod sees."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def ready(pod: Json) -> bool:
    """Say whether a pod's condition Ready holds."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod_address(pod: Json) -> str:
    """Return a pod's address, or nothing."""
    return str(pod.get("status", {}).get("podIP") or "")


def is_sidecar(container: Json) -> bool:
    """Say whether an init container is one that keeps running."""
    return bool(container.get("restartPolicy") == "Always")
