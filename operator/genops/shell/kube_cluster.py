"""The port on a real API server."""

from collections.abc import Callable, Mapping
from typing import Any

from genops.core.kinds import POD, Kind
from genops.core.model import Manifest
from genops.shell.cluster import FIELD_MANAGER
from genops.shell.errors import ApiError, NotLeading
from genops.shell.kube import APPLY, MERGE, KubeApi

PAGE = 500


class KubeCluster:
    """Cluster by KubeApi. `may_write` is asked before each write: a process that lost its lease writes nothing."""

    def __init__(self, api: KubeApi, may_write: Callable[[], bool] = lambda: True) -> None:
        self._api, self._may_write = api, may_write

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Read one object; None where there is none."""
        try:
            return _manifest(await self._api.call("GET", kind.path(namespace, name)))
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[list[Manifest], int]:
        """Read all objects of a kind page by page, and the resource version of the whole list."""
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
        items: list[Manifest] = []
        while True:
            page = await self._api.call("GET", kind.path(namespace), query=query)
            for item in page["items"]:
                items.append({"apiVersion": kind.api_version, "kind": kind.kind, **item})
            if not page["metadata"].get("continue"):
                return items, int(page["metadata"]["resourceVersion"])
            query["continue"] = page["metadata"]["continue"]

    async def create(self, kind: Kind, body: Manifest) -> Manifest:
        """Create an object."""
        path = kind.path(body["metadata"].get("namespace"))
        return _manifest(await self._write("POST", path, query={"fieldManager": FIELD_MANAGER}, body=body))

    async def replace(self, kind: Kind, body: Manifest) -> Manifest:
        """Replace an object at its resource version."""
        return _manifest(await self._write("PUT", _path(kind, body), body=body))

    async def apply(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the full intent."""
        return await self._apply(_path(kind, body), kind, body)

    async def apply_status(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the status."""
        return await self._apply(_path(kind, body, "status"), kind, body)

    async def patch(self, kind: Kind, namespace: str, name: str, body: Any) -> Manifest:
        """Merge a patch into an object."""
        path = kind.path(namespace, name)
        return _manifest(await self._write("PATCH", path, body=body, content_type=MERGE))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that uid; one that has gone, or was replaced by another, is fine."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._write("DELETE", kind.path(namespace, name), body=body)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    async def log_tail(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """Read the last lines of a container's log; a container that has not started has none (400), nor has a node
        that is away (5xx)."""
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(256 * lines)}
        try:
            return await self._api.text(POD.path(namespace, pod, "log"), query=query, timeout=5)
        except ApiError as error:
            if error.status in (400, 404) or error.status >= 500:
                return ""
            raise

    async def serves(self, kind: Kind) -> bool:
        """Say whether the cluster knows the kind."""
        root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        try:
            reply = await self._api.call("GET", root)
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return any(r["name"] == kind.plural for r in reply["resources"])

    async def _write(self, method: str, path: str, **request: Any) -> Any:
        if not self._may_write():
            raise NotLeading(f"{method} {path} not sent: another process may lead by now")
        return await self._api.call(method, path, **request)

    async def _apply(self, path: str, kind: Kind, body: Manifest) -> Manifest:
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        full = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return _manifest(await self._write("PATCH", path, query=query, body=full, content_type=APPLY))


def _path(kind: Kind, body: Manifest, sub: str | None = None) -> str:
    return kind.path(body["metadata"].get("namespace"), body["metadata"]["name"], sub)


def _manifest(reply: Any) -> Manifest:
    manifest: Manifest = reply
    manifest["metadata"].pop("managedFields", None)
    return manifest
