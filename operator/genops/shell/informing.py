"""From what is seen to who is looked at: fills the store and the queue, from watches and from LISTs.

The LISTs of the resync are the truth that mends what broken watches lost: every object is looked at again, and
children that vanished unseen wake their owners.
"""

import asyncio
import logging
import random
import time
from typing import Any

from gencontract import layout
from genops.core.kinds import JOB, OPTIONAL, POD, Kind
from genops.core.model import Key, Manifest
from genops.shell import metrics
from genops.shell.engine import Engine
from genops.shell.errors import ClusterError
from genops.shell.pods import pod_seen
from genops.shell.store import owner_key
from genops.shell.vouching import vouched

log = logging.getLogger("genops.informing")

MANAGED = {layout.LABEL_MANAGED_BY: layout.MANAGED_BY}


class Informing:
    """Feeds one engine."""

    def __init__(self, engine: Engine, namespaces: tuple[str, ...] = (), also: frozenset[Kind] = frozenset()) -> None:
        self._engine, self._namespaces = engine, namespaces
        self._synced_at = time.monotonic()
        self.whole = tuple(sorted({*engine.stages, *also}))
        owned = {kind for stage in engine.stages.values() for kind in stage.owns} | {POD}
        missing = set(OPTIONAL) - engine.present
        self.labelled = tuple(sorted(owned - missing - set(self.whole)))

    def arrived(self, kind: Kind, type: str | None, manifest: Manifest) -> None:
        """Take in one watch event."""
        metrics.WATCH_EVENTS.labels(kind.kind).inc()
        store, key = self._engine.store, _key(kind, manifest)
        before = store.get(key)
        if type == "DELETED":
            store.remove(key)
        elif not store.put(kind, manifest) or (before and _alike(kind, before, manifest)):
            return
        self._wake(kind, manifest)

    async def resync(self) -> None:
        """List every kind, mend the store, and have every object of ours looked at.

        A kind whose listing fails keeps no other from being mended. Raises the first error in the end.
        """
        failed: list[ClusterError] = []
        try:
            self._engine.vouched = await vouched(self._engine.cluster)
        except ClusterError as error:
            failed.append(error)
        for kind in (*self.whole, *self.labelled):
            try:
                changed = await self._changed(kind)
            except ClusterError as error:
                failed.append(error)
                continue
            for manifest in changed:
                self._wake(kind, manifest)
        for kind in self._engine.stages:
            for key in self._engine.store.keys(kind):
                self._engine.queue.add(key)
        if failed:
            raise failed[0]
        self._synced_at = time.monotonic()

    @property
    def stale_seconds(self) -> float:
        """Seconds since a whole resync last succeeded."""
        return time.monotonic() - self._synced_at

    async def resync_forever(self, seconds: float) -> None:
        """Resync every `seconds`, give or take a tenth; a resync that fails is tried again after a tenth of it."""
        delay = seconds
        while True:
            await asyncio.sleep(delay * (0.9 + random.random() / 5))
            try:
                await self.resync()
                delay = seconds
            except ClusterError as error:
                log.warning("Resync failed: %s", error)
                delay = seconds / 10

    async def _changed(self, kind: Kind) -> list[Manifest]:
        labels = MANAGED if kind in self.labelled else None
        found: list[Manifest] = []
        oldest = None
        for namespace in self._namespaces or (None,):
            manifests, listed_at = await self._engine.cluster.list(kind, namespace, labels)
            found += manifests
            oldest = listed_at if oldest is None else min(oldest, listed_at)
        return self._engine.store.replace_all(kind, found, oldest or 0)

    def _wake(self, kind: Kind, manifest: Manifest) -> None:
        engine, key = self._engine, _key(kind, manifest)
        owner = self._pods_owner(manifest) if kind == POD else owner_key(manifest)
        wanted = [key, *engine.wakeups.referrers(key), *([owner] if owner else [])]
        for each in wanted:
            if each.kind in engine.stages:
                engine.queue.add(each)

    def _pods_owner(self, pod: Manifest) -> Key | None:
        """Find whom a pod works for: its controller is a Job or a ReplicaSet, so its label is asked."""
        return self._engine.store.key_of(str(pod["metadata"].get("labels", {}).get(layout.LABEL_OWNER_UID)))


def _key(kind: Kind, manifest: Manifest) -> Key:
    meta = manifest["metadata"]
    return Key(kind, meta.get("namespace", ""), meta["name"])


def _alike(kind: Kind, before: Manifest, after: Manifest) -> bool:
    """Say whether two versions of a child look the same to every plan; bookkeeping of controllers does not count."""
    gist = {JOB: _job_gist, POD: _pod_gist}.get(kind)
    return gist is not None and gist(before) == gist(after)


def _job_gist(job: Manifest) -> tuple[Any, ...]:
    status, meta = job.get("status") or {}, job["metadata"]
    conditions = sorted((c["type"], c["status"]) for c in status.get("conditions", ()))
    counts = tuple(status.get(f) or 0 for f in ("active", "ready", "terminating", "failed", "succeeded"))
    return conditions, counts, job["spec"].get("suspend"), meta.get("deletionTimestamp"), meta["uid"]


def _pod_gist(pod: Manifest) -> tuple[Any, ...]:
    ready = [c["status"] for c in (pod.get("status") or {}).get("conditions", ()) if c["type"] == "Ready"]
    return pod_seen(pod), ready, pod["metadata"].get("deletionTimestamp"), pod["metadata"]["uid"]
