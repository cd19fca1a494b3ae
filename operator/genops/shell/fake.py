"""The port in memory: for `genops plan`, for tests, and for whoever writes a stage.

It keeps the promises of the API server that the operator leans on: names are taken once, versions rise with each
change and only then, generations rise with the spec, status is its own door, apply removes what its manager no longer
wants, dependents go with their owner. `faults` may refuse a request before or after it took effect.
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from genops.core.kinds import CRD, Kind
from genops.core.model import Answer, Key, Manifest
from genops.core.reasons import Reason
from genops.shell.errors import ApiError

Listener = Callable[[Kind, str, Manifest], None]
Fault = Callable[[str, Kind, str], Exception | None]


class FakeCluster:
    """A Kubernetes API in a dictionary."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.listener = listener
        self.before: Fault = lambda verb, kind, name: None
        self.after: Fault = lambda verb, kind, name: None
        self.calls: list[tuple[str, str, str]] = []
        self.logs: dict[tuple[str, str], str] = {}
        self._objects: dict[Key, Manifest] = {}
        self._applied: dict[tuple[Key, str], Any] = {}  # what our manager applied last, by door
        self._counter = itertools.count(1)

    def all(self, kind: Kind | None = None) -> list[Manifest]:
        """Return copies of all objects, or of one kind's."""
        return [copy.deepcopy(m) for key, m in sorted(self._objects.items()) if kind in (None, key.kind)]

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Read one object."""
        with _Call(self, "get", kind, name):
            found = self._objects.get(Key(kind, namespace, name))
            return copy.deepcopy(found)

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[list[Manifest], int]:
        """Read all objects of a kind."""
        with _Call(self, "list", kind, ""):
            wanted = (labels or {}).items()
            found = [
                copy.deepcopy(m)
                for key, m in sorted(self._objects.items())
                if key.kind == kind
                and namespace in (None, key.namespace)
                and wanted <= (m["metadata"].get("labels") or {}).items()
            ]
            return found, self._version()

    async def create(self, kind: Kind, body: Manifest) -> Manifest:
        """Create an object."""
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}{next(self._counter):x}"
        with _Call(self, "create", kind, name):
            key = Key(kind, body["metadata"].get("namespace", ""), name)
            if key in self._objects:
                raise ApiError(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
            made = copy.deepcopy(body)
            made["metadata"]["name"] = name
            made.pop("status", None)
            return self._store(key, made, "ADDED")

    async def replace(self, kind: Kind, body: Manifest) -> Manifest:
        """Replace an object at its version."""
        key = _key(kind, body)
        with _Call(self, "update", kind, key.name):
            known = self._need(key)
            if body["metadata"].get("resourceVersion") != known["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", f'{kind.plural} "{key.name}": the object has been modified')
            return self._store(key, {**copy.deepcopy(body), "status": known.get("status", {})}, "MODIFIED")

    async def apply(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the full intent."""
        key = _key(kind, body)
        with _Call(self, "apply", kind, key.name):
            before = self._objects.get(key)
            merged = _applied(before or {}, body, self._applied.get((key, "")))
            self._applied[key, ""] = copy.deepcopy(body)
            return self._store(key, merged, "MODIFIED" if before else "ADDED")

    async def apply_status(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the status."""
        key = _key(kind, body)
        with _Call(self, "apply", kind, key.name):
            known = self._at_version(key, body["metadata"])
            status = _applied(known.get("status") or {}, body["status"], self._applied.get((key, "status")))
            self._applied[key, "status"] = copy.deepcopy(body["status"])
            return self._store(key, {**known, "status": status}, "MODIFIED")

    async def patch(self, kind: Kind, namespace: str, name: str, body: Any) -> Manifest:
        """Merge a patch into an object."""
        key = Key(kind, namespace, name)
        with _Call(self, "patch", kind, name):
            known = self._at_version(key, body.get("metadata", {}))
            return self._store(key, _merged(known, body), "MODIFIED")

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that uid, and what it owns."""
        key = Key(kind, namespace, name)
        with _Call(self, "delete", kind, name):
            known = self._objects.get(key)
            if known and known["metadata"]["uid"] == uid:
                self._delete(key)

    async def log_tail(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """Read the last lines that a test wrote into `logs`."""
        return "\n".join(self.logs.get((namespace, pod), "").splitlines()[-lines:])

    async def serves(self, kind: Kind) -> bool:
        """Say yes to everything but optional kinds, which a test adds as CRDs."""
        name = f"{kind.plural}.{kind.group}"
        return Key(CRD, "", name) in self._objects or kind.group in ("", "apps", "batch") or "k8s.io" in kind.group

    def remove(self, key: Key) -> None:
        """Take an object away, with its dependents, as the garbage collector would."""
        gone = self._objects.pop(key, None)
        if gone is None:
            return
        gone["metadata"]["resourceVersion"] = str(self._version())
        self._say(key.kind, "DELETED", gone)
        for other, manifest in list(self._objects.items()):
            owners = manifest["metadata"].get("ownerReferences", ())
            if any(o.get("uid") == gone["metadata"]["uid"] for o in owners):
                self._delete(other)

    def _delete(self, key: Key) -> None:
        """Take an object away, or mark it while it carries finalizers."""
        known = self._objects.get(key)
        if known and known["metadata"].get("finalizers"):
            marked = {**known["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
            self._store(key, {**known, "metadata": marked}, "MODIFIED")
        else:
            self.remove(key)

    def set_status(self, key: Key, status: Manifest) -> Manifest:
        """Write a status as another controller would."""
        return self._store(key, {**self._need(key), "status": copy.deepcopy(status)}, "MODIFIED")

    def _need(self, key: Key) -> Manifest:
        if key not in self._objects:
            raise ApiError(404, "NotFound", f'{key.kind.plural} "{key.name}" not found')
        return self._objects[key]

    def _at_version(self, key: Key, meta: Manifest) -> Manifest:
        """Find an object. Raises ApiError where `meta` asks for another version than the newest."""
        known = self._need(key)
        if meta.get("resourceVersion", known["metadata"]["resourceVersion"]) != known["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f'{key.kind.plural} "{key.name}": the object has been modified')
        return known

    def _version(self) -> int:
        return next(self._counter)

    def _store(self, key: Key, manifest: Manifest, event: str) -> Manifest:
        before = self._objects.get(key)
        made = copy.deepcopy({"apiVersion": key.kind.api_version, "kind": key.kind.kind, **manifest})
        meta = made["metadata"]
        kept = before["metadata"] if before else {}
        meta["uid"] = kept.get("uid") or f"uid-{next(self._counter)}"
        meta["creationTimestamp"] = kept.get("creationTimestamp") or "2026-01-01T00:00:00Z"
        old = kept.get("generation", 0)
        meta["generation"] = old if before and before.get("spec") == made.get("spec") else old + 1
        meta["resourceVersion"] = kept.get("resourceVersion")
        if before == made:
            return copy.deepcopy(made)
        meta["resourceVersion"] = str(self._version())
        self._objects[key] = made
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self.remove(key)
        else:
            self._say(key.kind, event, made)
        return copy.deepcopy(made)

    def _say(self, kind: Kind, event: str, manifest: Manifest) -> None:
        if self.listener:
            self.listener(kind, event, copy.deepcopy(manifest))


class FakeOracle:
    """A Prometheus that answers as it is told; what it was not told of, it has no series for."""

    def __init__(self, tell: Callable[[str], Answer | None] = lambda query: None) -> None:
        self.tell = tell
        self.asked: list[str] = []

    async def ask(self, questions: Mapping[str, str], now: datetime) -> Mapping[str, Answer]:
        """Answer each of the named queries."""
        self.asked += questions.values()
        nothing = Answer(None, Reason.NO_METRICS, "Prometheus has no such series")
        return {name: self.tell(query) or nothing for name, query in questions.items()}


class _Call:
    """One request: counted, and refused where a test wants it, before or after it took effect."""

    def __init__(self, cluster: FakeCluster, verb: str, kind: Kind, name: str) -> None:
        self._cluster, self._what = cluster, (verb, kind, name)

    def __enter__(self) -> None:
        verb, kind, name = self._what
        self._cluster.calls.append((verb, kind.kind, name))
        if error := self._cluster.before(*self._what):
            raise error

    def __exit__(self, type_: object, *_: object) -> None:
        if type_ is None and (error := self._cluster.after(*self._what)):
            raise error


def _key(kind: Kind, body: Manifest) -> Key:
    return Key(kind, body["metadata"].get("namespace", ""), body["metadata"]["name"])


def _merged(base: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _applied(base: Any, wanted: Any, before: Any) -> Any:
    """Server-side apply for one manager: fields applied before and no longer wanted go; lists are taken whole."""
    if not isinstance(wanted, dict):
        return copy.deepcopy(wanted)
    old = before if isinstance(before, dict) else {}
    result = {k: copy.deepcopy(v) for k, v in base.items() if k not in old or k in wanted} if base else {}
    for name, value in wanted.items():
        result[name] = _applied(result.get(name) or {}, value, old.get(name))
    return result
