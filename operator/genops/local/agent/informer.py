"""A mirror of one list of the API, kept by list and watch. Knows no kind."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from genops.local.agent.facts import Json, uid
from genops.shell.errors import ApiError, ClusterError
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
Change = Callable[[Json, bool], None]  # object, whether it is gone


@dataclass
class Informer:
    """Holds what the API server last said, and tells of each change, including those missed while away."""

    api: KubeApi
    path: str
    on_change: Change
    query: Mapping[str, str] = field(default_factory=dict)
    items: dict[str, Json] = field(default_factory=dict)
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    _version: str = ""

    async def run(self) -> None:
        """Mirror for ever."""
        while True:
            try:
                self._version = self._version or await self._list()
                await self._watch()
            except ClusterError as error:
                log.info("%s: %s", self.path, error)
                if isinstance(error, ApiError):
                    self._version = ""  # too old to go on from
                await asyncio.sleep(0.5)

    async def _list(self) -> str:
        reply = await self.api.call("GET", self.path, query=self.query)
        found = {uid(item): item for item in reply["items"]}
        for gone in [item for identity, item in self.items.items() if identity not in found]:
            self._forget(gone)
        for item in found.values():
            self._keep(item)
        self.synced.set()
        return str(reply["metadata"]["resourceVersion"])

    async def _watch(self) -> None:
        async for event in self.api.watch(self.path, query={**self.query, "resourceVersion": self._version}):
            obj = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(obj.get("code", 410), obj.get("reason", ""), obj.get("message", ""))
            if event["type"] == "DELETED":
                self._forget(obj)
            elif event["type"] != "BOOKMARK":
                self._keep(obj)
            self._version = str(obj["metadata"]["resourceVersion"])

    def _keep(self, item: Json) -> None:
        before = self.items.get(uid(item))
        if before and before["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]:
            return
        self.items[uid(item)] = item
        self.on_change(item, False)

    def _forget(self, item: Json) -> None:
        self.items.pop(uid(item), None)
        self.on_change(item, True)
