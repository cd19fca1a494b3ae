"""Keeps the proxy and all hosts files in step with services and pods."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from genops.local.agent import endpoints, hosts
from genops.local.agent.endpoints import Address, Listener
from genops.local.agent.events import Recorder
from genops.local.agent.facts import Json
from genops.local.agent.hosts import Entry
from genops.local.agent.informer import Informer
from genops.local.agent.proxy import Proxy
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
HostsFiles = Callable[[], dict[Path, tuple[Json, str]]]  # file -> its pod and address


class Services:
    """The node's view of services, and what follows from it."""

    def __init__(self, api: KubeApi, pods: Informer, server: Address, files: HostsFiles, events: Recorder) -> None:
        self._pods, self._server, self._files, self._events = pods, server, files, events
        self._services = Informer(api, "/api/v1/services", lambda obj, gone: self.changed())
        self._leaving: set[str] = set()
        self._dirty = asyncio.Event()
        self._complained: set[Address] = set()
        self._proxy = Proxy(self._complain)

    async def run(self) -> None:
        """Follow services and pods for ever."""
        mirror = asyncio.ensure_future(self._services.run())
        try:
            while True:
                await self._dirty.wait()
                await asyncio.sleep(0.02)  # changes that come together are carried out together
                self._dirty.clear()
                await self._carry_out()
        finally:
            mirror.cancel()
            self._proxy.close()

    def changed(self) -> None:
        """Look again at everything, soon."""
        self._dirty.set()

    async def synced(self) -> None:
        """Wait until services are known."""
        await self._services.synced.wait()

    def leave(self, pod: str) -> None:
        """Take a pod out of every service."""
        self._leaving.add(pod)
        self.changed()

    def of_namespace(self, namespace: str) -> list[Json]:
        """Return the services of a namespace."""
        return [s for s in self._services.items.values() if s["metadata"]["namespace"] == namespace]

    def names(self) -> list[Entry]:
        """Return what service names stand for now."""
        return endpoints.entries(self._services.items.values(), self._pods.items.values(), self._leaving)

    async def _carry_out(self) -> None:
        self._leaving &= set(self._pods.items)
        services, pods = list(self._services.items.values()), list(self._pods.items.values())
        await self._proxy.set(endpoints.listeners(services, pods, self._leaving, self._server))
        names = self.names()
        for path, (pod, address) in self._files().items():
            hosts.rewrite(path, hosts.text(pod, address, names))

    def _complain(self, listener: Listener, error: OSError) -> None:
        log.warning("service %s cannot listen on %s:%s: %s", listener.service, *listener.at, error)
        service = next((s for s in self._services.items.values() if s["spec"].get("clusterIP") == listener.at[0]), None)
        if service is not None and listener.at not in self._complained:
            self._complained.add(listener.at)
            text = f"The local node cannot listen on {listener.at[0]}:{listener.at[1]}: {error}"
            self._events.say(service, "Service", "CannotListen", text, warning=True)
