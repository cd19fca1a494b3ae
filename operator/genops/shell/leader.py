"""Leader election on a coordination Lease: at most one process acts.

Age is measured on this process's monotonic clock from the moment a new version of the lease was first seen, as in
client-go, so that clocks that disagree between machines cannot steal a lease. A leader that could not renew in time
stops acting before anyone else may start: it gives up after RENEW_DEADLINE, which is less than DURATION.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from genops.core.kinds import LEASE
from genops.core.model import Manifest
from genops.shell.cluster import Cluster
from genops.shell.errors import ApiError, ClusterError

log = logging.getLogger("genops.leader")

DURATION = 15.0  # seconds a lease holds without renewal
RENEW_DEADLINE = 10.0  # seconds after which a leader that cannot renew gives up
RETRY = 2.0  # seconds between tries


class Leader:
    """One candidate for one lease."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._namespace, self._name, self._identity = cluster, namespace, name, identity
        self._monotonic = monotonic
        self._seen: tuple[str, float] = ("", 0.0)  # version of the lease, and when it was first seen
        self._renewed_at = float("-inf")
        self.trouble = f"the lease {namespace}/{name} was not asked for yet"  # empty while this process could take over

    @property
    def leading(self) -> bool:
        """Say whether this process may act now."""
        return self._monotonic() - self._renewed_at < RENEW_DEADLINE

    async def acquire(self) -> None:
        """Wait until this process leads."""
        while not await self._try():
            await asyncio.sleep(RETRY * (1 + random.random() / 5))
        log.info("Leading as %s", self._identity)

    async def hold(self) -> None:
        """Renew until it no longer can; returns when the lead is lost."""
        while self.leading:
            await asyncio.sleep(RETRY)
            if self.leading:
                await self._try()
        log.error("Lost the lease %s/%s", self._namespace, self._name)

    async def release(self) -> None:
        """Give the lease back, so that the next leader need not wait for it to run out."""
        try:
            lease = await self._cluster.get(LEASE, self._namespace, self._name)
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._cluster.replace(LEASE, lease)
        except ClusterError as error:
            log.warning("Lease not released: %s", error)
        self._renewed_at = float("-inf")

    async def _try(self) -> bool:
        """Take or renew the lease once. Says whether this process holds it."""
        asked_at = self._monotonic()
        try:
            held = await self._take()
        except ClusterError as error:
            log.warning("Lease not renewed: %s", error)
            self.trouble = str(error)
            return False
        self.trouble = ""
        if held:
            self._renewed_at = asked_at
        return held

    async def _take(self) -> bool:
        lease = await self._cluster.get(LEASE, self._namespace, self._name)
        if lease is None:
            body = {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": self._spec(None)}
            return await self._write(self._cluster.create(LEASE, _typed(body)))
        if not self._may_take(lease):
            return False
        lease["spec"] = self._spec(lease["spec"])
        return await self._write(self._cluster.replace(LEASE, lease))

    def _may_take(self, lease: Manifest) -> bool:
        version, spec = str(lease["metadata"]["resourceVersion"]), lease.get("spec") or {}
        if version != self._seen[0]:
            self._seen = (version, self._monotonic())
        holder = spec.get("holderIdentity")
        ran_out = self._monotonic() - self._seen[1] >= float(spec.get("leaseDurationSeconds") or DURATION)
        return holder in (self._identity, "", None) or ran_out

    async def _write(self, request: Any) -> bool:
        try:
            await request
        except ApiError as error:
            if error.status == 409:
                return False  # another candidate came first
            raise
        return True

    def _spec(self, before: Manifest | None) -> Manifest:
        old = before or {}
        same = old.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": old["acquireTime"] if same else _now(),
            "renewTime": _now(),
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if same or not old else 1),
        }


def _typed(body: Manifest) -> Manifest:
    return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, **body}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
