"""Makes a folder and a PersistentVolume for each claim of our storage classes, and removes both after it."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Mapping
from pathlib import Path

from genops.local.agent.events import Recorder
from genops.local.agent.facts import Json, uid
from genops.local.agent.informer import Informer
from genops.local.bootstrap import PROVISIONER
from genops.shell.errors import ApiError, ClusterError
from genops.shell.kube import KubeApi

log = logging.getLogger(__name__)
_SELECTED = "volume.kubernetes.io/selected-node"
_PROVISIONED = "pv.kubernetes.io/provisioned-by"


class Provisioner:
    """Binds claims to folders under one folder."""

    def __init__(self, api: KubeApi, folder: Path, node: str, events: Recorder) -> None:
        self._api, self._folder, self._node, self._events = api, folder, node, events
        self._claims = Informer(api, "/api/v1/persistentvolumeclaims", self._changed)
        self._volumes = Informer(api, "/api/v1/persistentvolumes", self._changed)
        self._classes = Informer(api, "/apis/storage.k8s.io/v1/storageclasses", self._changed)
        self._dirty = asyncio.Event()

    async def run(self) -> None:
        """Serve claims for ever."""
        informers = (self._claims, self._volumes, self._classes)
        mirrors = asyncio.gather(*(informer.run() for informer in informers))
        try:
            await asyncio.gather(*(informer.synced.wait() for informer in informers))
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                await self._look()
        finally:
            mirrors.cancel()

    def _changed(self, obj: Json, gone: bool) -> None:
        self._dirty.set()

    async def _look(self) -> None:
        classes = {item["metadata"]["name"]: item for item in self._classes.items.values()}
        for claim in list(self._claims.items.values()):
            if wants_volume(claim, classes):
                await self._attempt(self._provision(claim, classes[claim["spec"]["storageClassName"]]))
        for volume in list(self._volumes.items.values()):
            if is_done_with(volume):
                await self._attempt(self._remove(volume))

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (ClusterError, OSError) as error:
            log.warning("%s", error)
            asyncio.get_running_loop().call_later(1.0, self._dirty.set)

    async def _provision(self, claim: Json, storage_class: Json) -> None:
        volume = volume_for(claim, storage_class, self._folder, self._node)
        path = self._folder / volume["metadata"]["name"]
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        try:
            await self._api.call("POST", "/api/v1/persistentvolumes", body=volume)
        except ApiError as error:
            if not error.already_exists:
                raise
            return
        text = f"Successfully provisioned volume {volume['metadata']['name']}"
        self._events.say(claim, "PersistentVolumeClaim", "ProvisioningSucceeded", text)

    async def _remove(self, volume: Json) -> None:
        name = volume["metadata"]["name"]
        await asyncio.to_thread(shutil.rmtree, self._folder / name, True)
        try:
            await self._api.call("DELETE", f"/api/v1/persistentvolumes/{name}")
        except ApiError as error:
            if not error.not_found:
                raise


def wants_volume(claim: Json, classes: Mapping[str, Json]) -> bool:
    """Say whether it is our turn to make a volume for a claim."""
    spec, annotations = claim["spec"], claim["metadata"].get("annotations", {})
    storage_class = classes.get(spec.get("storageClassName") or "")
    if storage_class is None or storage_class["provisioner"] != PROVISIONER or spec.get("volumeName"):
        return False
    if claim["metadata"].get("deletionTimestamp"):
        return False
    return storage_class.get("volumeBindingMode") == "Immediate" or _SELECTED in annotations


def is_done_with(volume: Json) -> bool:
    """Say whether a volume of ours is to be removed with what it holds."""
    ours = volume["metadata"].get("annotations", {}).get(_PROVISIONED) == PROVISIONER
    released = volume.get("status", {}).get("phase") in ("Released", "Failed")
    deletes = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    return ours and released and deletes and not volume["metadata"].get("deletionTimestamp")


def volume_for(claim: Json, storage_class: Json, folder: Path, node: str) -> Json:
    """Return the PersistentVolume for a claim."""
    name = f"pvc-{uid(claim)}"
    meta, spec = claim["metadata"], claim["spec"]
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "local": {"path": str(folder / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }
