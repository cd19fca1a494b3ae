"""What the operator knows of the cluster: the newest version seen of each object it watches.

Filled by watch events, by the answers to our own writes, and by the LISTs of the resync, which also find the deletions
that a broken watch lost. A read from here may be stale; every write is safe under that (decision 0006).
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from gencontract import layout
from genops.core.kinds import JOB, JOB_LABEL, OURS, POD, Kind
from genops.core.model import Key, Manifest

_OUR_KINDS = {kind.kind: kind for kind in OURS}


class Store:
    """Objects by kind, namespace and name, with an index by the uid of their owner."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[tuple[str, str], Manifest]] = defaultdict(dict)
        self._owned: dict[str, dict[tuple[Kind, str, str], None]] = defaultdict(dict)
        self._uids: dict[str, Key] = {}  # of our kinds
        self._pods: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)  # names by namespace and Job

    def get(self, key: Key) -> Manifest | None:
        """Return the newest version seen."""
        return self._objects[key.kind].get((key.namespace, key.name))

    def keys(self, kind: Kind) -> list[Key]:
        """Return the keys of all objects of a kind."""
        return [Key(kind, namespace, name) for namespace, name in self._objects[kind]]

    def all(self, kind: Kind) -> Iterable[Manifest]:
        """Return all objects of a kind."""
        return self._objects[kind].values()

    def owned_by(self, uid: str, kinds: Iterable[Kind]) -> dict[Kind, tuple[Manifest, ...]]:
        """Return the children of the owner with that uid, by kind, sorted by name."""
        found: dict[Kind, list[Manifest]] = {kind: [] for kind in kinds}
        for kind, namespace, name in self._owned.get(uid, ()):
            if kind in found:
                found[kind].append(self._objects[kind][namespace, name])
        return {kind: tuple(sorted(ms, key=lambda m: str(m["metadata"]["name"]))) for kind, ms in found.items()}

    def put(self, kind: Kind, manifest: Manifest) -> bool:
        """Keep a version if it is newer than the one known. Says whether it was."""
        meta = manifest["metadata"]
        name = (meta.get("namespace", ""), meta["name"])
        known = self._objects[kind].get(name)
        if known and version(known) >= version(manifest):
            return False
        self._objects[kind][name] = trimmed(kind, manifest)
        if owner := owner_uid(manifest):
            self._owned[owner][kind, *name] = None
        if kind in _OUR_KINDS.values():
            self._uids[meta["uid"]] = Key(kind, *name)
        if kind == POD and (job := job_of(manifest)):
            self._pods[name[0], job][name[1]] = None
        return True

    def remove(self, key: Key) -> Manifest | None:
        """Forget an object. Returns what was known of it."""
        known = self._objects[key.kind].pop((key.namespace, key.name), None)
        if known and (owner := owner_uid(known)):
            self._owned[owner].pop((key.kind, key.namespace, key.name), None)
            if not self._owned[owner]:
                del self._owned[owner]
        if known:
            self._uids.pop(known["metadata"]["uid"], None)
        if known and key.kind == POD and (job := job_of(known)):
            self._pods[key.namespace, job].pop(key.name, None)
            if not self._pods[key.namespace, job]:
                del self._pods[key.namespace, job]
        return known

    def key_of(self, uid: str) -> Key | None:
        """Find the object of ours with that uid."""
        return self._uids.get(uid)

    def pods_of(self, namespace: str, job: str) -> list[Manifest]:
        """Return the pods of a Job."""
        names = self._pods.get((namespace, job), ())
        return [self._objects[POD][namespace, name] for name in names]

    def replace_all(self, kind: Kind, manifests: list[Manifest], listed_at: int) -> list[Manifest]:
        """Take a LIST as the truth: forget what it lacks and is not younger. Returns every object that changed."""
        listed = {(m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in manifests}
        gone = [
            Key(kind, *name)
            for name, m in self._objects[kind].items()
            if name not in listed and version(m) <= listed_at
        ]
        changed = [m for m in (self.remove(key) for key in gone) if m]
        return changed + [m for m in manifests if self.put(kind, m)]


def version(manifest: Manifest) -> int:
    """The resource version, which Kubernetes has promised to be an ordered number since 1.35."""
    return int(manifest["metadata"].get("resourceVersion") or 0)


def owner_uid(manifest: Manifest) -> str | None:
    """The uid of the object of ours that controls this one."""
    for reference in manifest["metadata"].get("ownerReferences", ()):
        if reference.get("controller") and str(reference.get("apiVersion", "")).startswith(layout.GROUP + "/"):
            return str(reference["uid"])
    return None


def job_of(pod: Manifest) -> str:
    """The Job that a pod belongs to, by its label."""
    return str(pod["metadata"].get("labels", {}).get(JOB_LABEL, ""))


def owner_key(manifest: Manifest) -> Key | None:
    """The key of the object of ours that controls this one."""
    for reference in manifest["metadata"].get("ownerReferences", ()):
        kind = _OUR_KINDS.get(str(reference.get("kind", "")))
        if kind and reference.get("controller") and reference.get("apiVersion") == kind.api_version:
            return Key(kind, manifest["metadata"].get("namespace", ""), str(reference["name"]))
    return None


def trimmed(kind: Kind, manifest: Manifest) -> Manifest:
    """Drop what is never read: field ownership, the pod template of a Job, and of a pod all but how it is."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "managedFields"}
    small: dict[str, Any] = {**manifest, "metadata": metadata}
    if kind == JOB:
        small["spec"] = {k: v for k, v in manifest.get("spec", {}).items() if k not in ("template", "podFailurePolicy")}
    if kind == POD:
        small.pop("spec", None)
        metadata.pop("annotations", None)
    return small
