"""The hosts file of a pod: itself, its aliases, and every service by all its names. Pure but for `rewrite`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genops.local.agent.facts import Json, hostname

DOMAIN = "cluster.local"
_HEAD = ("127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback")


@dataclass(frozen=True)
class Entry:
    """An address that a service name stands for; `host` is set where one pod of a headless service is meant."""

    namespace: str
    service: str
    address: str
    host: str = ""

    def names(self, namespace: str) -> list[str]:
        """Return the names by which a pod of this namespace may call the address."""
        stem = f"{self.host}.{self.service}" if self.host else self.service
        full = [f"{stem}.{self.namespace}.svc.{DOMAIN}", f"{stem}.{self.namespace}.svc", f"{stem}.{self.namespace}"]
        return [*full, stem] if namespace == self.namespace else full


def text(pod: Json, address: str, entries: Iterable[Entry]) -> str:
    """Return a pod's hosts file."""
    lines = [*_HEAD, f"{address}\t{' '.join(_own_names(pod))}"]
    lines += [f"{alias['ip']}\t{' '.join(alias['hostnames'])}" for alias in pod["spec"].get("hostAliases") or []]
    namespace = pod["metadata"]["namespace"]
    lines += [f"{entry.address}\t{' '.join(entry.names(namespace))}" for entry in entries]
    return "\n".join(lines) + "\n"


def for_pods(pods: Mapping[str, tuple[Json, str]], entries: list[Entry]) -> dict[str, str]:
    """Return the hosts files of all pods, by their uid."""
    return {identity: text(pod, address, entries) for identity, (pod, address) in pods.items()}


def rewrite(path: Path, content: str) -> None:
    """Change a file in place: sandboxes have it mounted, so it must stay the same file."""
    data = content.encode()
    if path.exists() and path.read_bytes() == data:
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, data, 0)
        os.ftruncate(handle, len(data))
    finally:
        os.close(handle)


def _own_names(pod: Json) -> list[str]:
    name, domain = hostname(pod), pod["spec"].get("subdomain")
    if not domain:
        return [name]
    return [f"{name}.{domain}.{pod['metadata']['namespace']}.svc.{DOMAIN}", name]
