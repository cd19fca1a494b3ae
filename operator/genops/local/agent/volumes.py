"""The volumes of one pod as folders of the host, filled from the API. Knows every volume kind the node supports."""

import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from genops.local.agent import downward, payload
from genops.local.agent.facts import Json, NodeFacts, now, parse_stamp, uid
from genops.local.agent.payload import DEFAULT_MODE, File
from genops.local.agent.quantity import whole
from genops.local.bootstrap import PROVISIONER
from genops.local.paths import Paths
from genops.shell.errors import ApiError
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
_CONTENT = ("configMap", "secret", "projected", "downwardAPI")


class NotYet(Exception):
    """A volume that cannot be mounted now, and maybe later: FailedMount."""


@dataclass(frozen=True)
class Volume:
    """A volume ready to be mounted."""

    path: Path
    read_only: bool = False


@dataclass
class _Token:
    """A service account token, kept until most of its life is over."""

    text: str
    renew_at: datetime


@dataclass
class Volumes:
    """All volumes of one pod."""

    pod: Json
    address: str
    api: KubeApi
    paths: Paths
    node: NodeFacts
    _tokens: dict[str, _Token] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the pod's own volumes lie."""
        return self.paths.pods / uid(self.pod) / "volumes"

    async def mount(self) -> dict[str, Volume]:
        """Prepare all volumes. Raises NotYet saying which one cannot be had."""
        return {volume["name"]: await self._mount(volume) for volume in self.pod["spec"].get("volumes", [])}

    async def refresh(self) -> None:
        """Bring mounted ConfigMaps, Secrets, labels and tokens up to date; what cannot be read now stays as it is."""
        for volume in self.pod["spec"].get("volumes", []):
            kind = _kind(volume)
            if kind in _CONTENT and not self._still_good(volume["name"]):
                await self._fill(volume["name"], volume[kind], kind)

    def _still_good(self, name: str) -> bool:
        """Say whether a volume is the one that every pod gets, which changes only with its token."""
        return name.startswith("kube-api-access-") and all(t.renew_at > now() for t in self._tokens.values())

    def remove(self) -> None:
        """Remove what lives no longer than the pod."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._memory, ignore_errors=True)

    @property
    def limited(self) -> bool:
        """Say whether any emptyDir has a limit to watch."""
        return any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in self.pod["spec"].get("volumes", []))

    def oversized(self) -> str:
        """Name the first emptyDir that has outgrown its limit, with a message; nothing if none has."""
        for volume in self.pod["spec"].get("volumes", []):
            limit = (volume.get("emptyDir") or {}).get("sizeLimit")
            if limit and _size(self._empty_dir(volume)) > whole(limit):
                return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
        return ""

    @property
    def _memory(self) -> Path:
        return self.paths.memory / uid(self.pod)

    def _empty_dir(self, volume: Json) -> Path:
        in_memory = volume["emptyDir"].get("medium") == "Memory"
        return (self._memory if in_memory else self.folder) / str(volume["name"])

    async def _mount(self, volume: Json) -> Volume:
        kind, name = _kind(volume), volume["name"]
        if kind in _CONTENT:
            await self._fill(name, volume[kind], kind)
            return Volume(self.folder / name, read_only=True)
        if kind == "emptyDir":
            path = self._empty_dir({**volume, "emptyDir": volume.get("emptyDir") or {}})
            _private_folder(path)
            return Volume(path)
        claim = volume[kind].get("claimName") or f"{self.pod['metadata']['name']}-{name}"
        return await self._claimed(claim, bool(volume[kind].get("readOnly")))

    async def _fill(self, name: str, source: Json, kind: str) -> None:
        try:
            files = await self._files(source, kind)
            payload.write(self.folder / name, files)
        except (payload.MissingKey, downward.UnknownField) as error:
            raise NotYet(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
        except ApiError as error:
            raise NotYet(f'MountVolume.SetUp failed for volume "{name}" : {error.message}') from error

    async def _files(self, source: Json, kind: str) -> dict[str, File]:
        mode = source.get("defaultMode", DEFAULT_MODE)
        readers: dict[str, Callable[[Json, int], Awaitable[dict[str, File]]]] = {
            "configMap": self._config_map,
            "secret": self._secret,
            "downwardAPI": self._downward,
            "projected": self._projected,
            "serviceAccountToken": self._token_file,
        }
        return await readers[kind](source, mode)

    async def _config_map(self, source: Json, mode: int) -> dict[str, File]:
        return await self._data("configmaps", source["name"], source, mode)

    async def _secret(self, source: Json, mode: int) -> dict[str, File]:
        return await self._data("secrets", source.get("secretName") or source["name"], source, mode)

    async def _data(self, kind: str, name: str, source: Json, mode: int) -> dict[str, File]:
        optional = bool(source.get("optional"))
        try:
            obj = await self.api.call("GET", f"{self._namespace}/{kind}/{name}")
        except ApiError as error:
            if error.not_found and optional:
                return {}
            raise
        return payload.chosen(payload.decoded(obj), source.get("items"), mode, optional)

    async def _downward(self, source: Json, mode: int) -> dict[str, File]:
        items = source.get("items", [])
        return {item["path"]: File(self._fact(item).encode(), item.get("mode") or mode) for item in items}

    def _fact(self, item: Json) -> str:
        if "fieldRef" in item:
            return downward.field(self.pod, item["fieldRef"]["fieldPath"], self.address, self.node)
        return downward.named_resource(self.pod, item["resourceFieldRef"], self.node)

    async def _projected(self, source: Json, mode: int) -> dict[str, File]:
        files: dict[str, File] = {}
        for part in source.get("sources", []):
            for kind, inner in part.items():
                files.update(await self._files({"defaultMode": mode, **inner}, kind))
        return files

    async def _token_file(self, source: Json, mode: int) -> dict[str, File]:
        held = self._tokens.get(source["path"])
        if held is None or held.renew_at <= now():
            held = self._tokens[source["path"]] = await self._token(source)
        return {source["path"]: File(held.text.encode(), 0o600 if mode == DEFAULT_MODE else mode)}

    async def _token(self, source: Json) -> _Token:
        account = self.pod["spec"].get("serviceAccountName", "default")
        pod = {"apiVersion": "v1", "kind": "Pod", "name": self.pod["metadata"]["name"], "uid": uid(self.pod)}
        spec: Json = {"expirationSeconds": source.get("expirationSeconds", 3600), "boundObjectRef": pod}
        if source.get("audience"):
            spec["audiences"] = [source["audience"]]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        reply = await self.api.call("POST", f"{self._namespace}/serviceaccounts/{account}/token", body=body)
        begin, end = now(), parse_stamp(reply["status"]["expirationTimestamp"])
        return _Token(reply["status"]["token"], begin + min((end - begin) * 0.8, timedelta(hours=24)))

    async def _claimed(self, claim: str, read_only: bool) -> Volume:
        try:
            pvc = await self.api.call("GET", f"{self._namespace}/persistentvolumeclaims/{claim}")
            if pvc.get("status", {}).get("phase") != "Bound":
                raise NotYet(f'persistentvolumeclaim "{claim}" is not bound')
            volume = await self.api.call("GET", f"/api/v1/persistentvolumes/{pvc['spec']['volumeName']}")
        except ApiError as error:
            raise NotYet(f'persistentvolumeclaim "{claim}": {error.message}') from error
        return Volume(self._volume_folder(volume), read_only)

    def _volume_folder(self, volume: Json) -> Path:
        """Find a volume's folder by its name alone: a path in the object could be anybody's."""
        annotations = volume["metadata"].get("annotations", {})
        path = self.paths.volumes / str(volume["metadata"]["name"])
        if annotations.get("pv.kubernetes.io/provisioned-by") != PROVISIONER or not path.is_dir():
            raise NotYet(f"persistentvolume {volume['metadata']['name']} is none of this node's")
        return path

    @property
    def _namespace(self) -> str:
        return f"/api/v1/namespaces/{self.pod['metadata']['namespace']}"


def _kind(volume: Json) -> str:
    return next((kind for kind in volume if kind != "name"), "emptyDir")


def _private_folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.mkdir(exist_ok=True)
    path.chmod(0o777)


def _size(path: Path) -> int:
    total = 0
    for base, _, names in os.walk(path):
        for name in names:
            total += _file_size(os.path.join(base, name))
    return total


def _file_size(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except OSError:
        return 0
