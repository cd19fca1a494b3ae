"""What all parts of the running agent share: connections, facts, limits and the view of services."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genops.local.agent.addresses import Addresses
from genops.local.agent.cgroups import Parent
from genops.local.agent.events import Recorder
from genops.local.agent.facts import Json, NodeFacts, uid
from genops.local.agent.hosts import Entry
from genops.local.agent.rootfs import Point
from genops.local.agent.volumes import Volume
from genops.local.paths import Paths
from genops.shell.kube import KubeApi


@dataclass
class Node:
    """The agent's surroundings, made once at its start."""

    api: KubeApi
    facts: NodeFacts
    paths: Paths
    events: Recorder
    addresses: Addresses
    bwrap: str
    restart_back_off: float
    images: Mapping[str, str]
    cgroups: Parent | None
    services: Callable[[str], list[Json]]  # namespace -> its services
    names: Callable[[], list[Entry]]  # what service names stand for now
    leave: Callable[[str], None]  # take a pod out of every service at once


@dataclass
class PodPlace:
    """One pod on this node, as its containers see it."""

    pod: Json
    node: Node
    address: str
    changed: Callable[[], None]  # the record of the pod is other than before
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    kill_at: float = float("inf")  # loop time after which nothing waits for a container's own end
    volumes: Mapping[str, Volume] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The pod's folder on the host."""
        return self.node.paths.pods / uid(self.pod)

    @property
    def grace(self) -> float:
        """Seconds that a container of this pod has between SIGTERM and SIGKILL."""
        return float(self.pod["spec"].get("terminationGracePeriodSeconds") or 0)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the pod is to end."""
        try:
            await asyncio.wait_for(self.ending.wait(), seconds)
        except TimeoutError:
            return


def interpreter_points(environments: Mapping[str, str]) -> list[Point]:
    """Return what running Python needs even where it lies in a hidden folder such as a home."""
    roots = {sys.prefix, sys.base_prefix, *environments.values(), *map(base_of, environments.values()), *sys.path}
    both = roots | {os.path.realpath(root) for root in roots if root}  # a venv may name its base by a link
    return [Point(path, source=path) for path in sorted(both) if path and Path(path).is_dir()]


def base_of(environment: str) -> str:
    """Return the installation that a virtual environment was made from, or nothing."""
    config = Path(environment) / "pyvenv.cfg"
    lines = config.read_text().splitlines() if config.is_file() else []
    homes = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "home"]
    return str(Path(homes[0]).parent) if homes else ""
