"""Writes Events about pods and volumes, a repeated one as a higher count. Never fails or holds up its caller."""

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field

from genops.local.agent.facts import Json, now, stamp
from genops.shell.errors import ClusterError
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
MERGE = "application/merge-patch+json"


@dataclass
class Recorder:
    """Posts events in the name of one component."""

    api: KubeApi
    component: str
    host: str
    _counts: dict[str, int] = field(default_factory=dict)
    _todo: asyncio.Queue[tuple[Json, str, str, str, bool]] = field(default_factory=asyncio.Queue)

    def say(self, about: Json, kind: str, reason: str, message: str, warning: bool = False) -> None:
        """Have an event posted soon."""
        self._todo.put_nowait((about, kind, reason, message, warning))

    async def run(self) -> None:
        """Post events in their order for ever; a lost one is only logged."""
        while True:
            await self._post(*await self._todo.get())

    async def _post(self, about: Json, kind: str, reason: str, message: str, warning: bool) -> None:
        namespace = about["metadata"].get("namespace", "default")
        name = f"{about['metadata']['name']}.{_digest(about['metadata']['uid'], reason, message)}"
        path = f"/api/v1/namespaces/{namespace}/events"
        count = self._counts[name] = self._counts.get(name, 0) + 1
        try:
            if count > 1:
                body = {"count": count, "lastTimestamp": stamp(now())}
                await self.api.call("PATCH", f"{path}/{name}", body=body, content_type=MERGE)
            else:
                await self.api.call("POST", path, body=self._event(about, kind, reason, message, warning, name))
        except ClusterError as error:
            log.info("event %s about %s was lost: %s", reason, name, error)

    def _event(self, about: Json, kind: str, reason: str, message: str, warning: bool, name: str) -> Json:
        namespace, moment = about["metadata"].get("namespace", ""), stamp(now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace or "default"},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": kind,
                "name": about["metadata"]["name"],
                "namespace": namespace,
                "uid": about["metadata"]["uid"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self.component, "host": self.host},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
