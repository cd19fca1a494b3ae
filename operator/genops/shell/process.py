"""The operator as a process: connect, lead, inform, work, and stop in good order. `genops run`."""

import argparse
import asyncio
import itertools
import logging
import signal
import sys
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from genops.core.kinds import OPTIONAL, OURS, Kind
from genops.core.model import Key
from genops.shell import logs, metrics
from genops.shell.access import Access
from genops.shell.engine import Engine
from genops.shell.errors import ClusterError
from genops.shell.handlers import Informer
from genops.shell.health import Health
from genops.shell.informing import Informing
from genops.shell.kube import KubeApi
from genops.shell.kube_cluster import KubeCluster
from genops.shell.leader import Leader
from genops.shell.prometheus import Prometheus
from genops.shell.queue import WorkQueue
from genops.shell.settings import Settings, SettingsError, from_environment
from genops.shell.statuses import Statuses
from genops.stages import STAGES

log = logging.getLogger("genops")

DRAIN_SECONDS = 10.0
WATCH_CAP_SECONDS = 30.0
DEAD_AFTER_RESYNCS = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options; everything else is a GENOPS_* variable."""
    parser.description = "Run the operator against the cluster of the kubeconfig, or of the pod it runs in."
    parser.add_argument("--kubeconfig", help="path of a kubeconfig")
    parser.add_argument("--context", help="context in the kubeconfig")


def main(args: argparse.Namespace) -> int:
    """Run until asked to stop. Exit code 0 after SIGTERM, 1 after a lost lease or a crash, 2 for a wrong setting."""
    try:
        settings = from_environment()
    except SettingsError as error:
        print(f"genops: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_format, settings.log_level)
    named = {k: v for k, v in (("kubeconfig", args.kubeconfig), ("context", args.context)) if v}
    return asyncio.run(Process(Settings(**{**settings.__dict__, **named})).run())


@dataclass(frozen=True)
class Parts:
    """The tasks that make a leading operator. None of them ends while all is well."""

    informer: asyncio.Task[Any]
    others: list[asyncio.Task[Any]]
    workers: list[asyncio.Task[Any]]

    async def first_end(self, stop: asyncio.Event) -> bool:
        """Wait until a stop is asked for, or a part ends. Says whether it was asked for.

        kopf takes over the signals while it starts, so its quiet end is a request to stop as well.
        """
        asked = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([asked, *self._all()], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return asked in done or (self.informer in done and not self.informer.exception())

    async def finish(self) -> None:
        """Let running looks end, then cancel what is left, and say what had crashed."""
        await asyncio.wait([self.informer, *self.workers], timeout=DRAIN_SECONDS)
        for task in self._all():
            task.cancel()
        for result in await asyncio.gather(*self._all(), return_exceptions=True):
            if isinstance(result, Exception):
                log.error("A part of the operator crashed", exc_info=result)

    def _all(self) -> list[asyncio.Task[Any]]:
        return [self.informer, *self.others, *self.workers]


@dataclass
class Process:
    """One run of the operator."""

    settings: Settings
    health_port: int = 0
    _informer: Informer | None = None
    _informing: Informing | None = None
    _leader: Leader | None = None

    async def run(self) -> int:
        """Do everything, in order; undo it in the opposite order."""
        self._stop = asyncio.Event()
        self._state = "starting"
        self._take_signals()
        settings = self.settings
        api = await KubeApi.connect(
            settings.kubeconfig, settings.context, "genops-operator", observe=metrics.count_api_call
        )
        health = Health(alive=self._wrong_alive, ready=self._wrong_ready)
        address = settings.config.prometheus
        access = Access(settings.prometheus_token_file, settings.prometheus_ca_file)
        self._oracle = Prometheus(address, access=access) if address else None
        try:
            self.health_port = await health.start(settings.health_host, settings.health_port)
            log.info("Health and metrics on http://%s:%d", settings.health_host, self.health_port)
            return await self._lead(api)
        finally:
            await health.stop()
            if self._oracle:
                await self._oracle.close()
            await api.close()

    async def _lead(self, api: KubeApi) -> int:
        settings = self.settings
        present = await self._until_stop(served(KubeCluster(api)))  # before leading: a lease held idle runs out
        if present is None:
            return 0
        if not settings.leader_election:
            return await self._operate(api, KubeCluster(api), present, asyncio.Event().wait())
        leader = Leader(KubeCluster(api), settings.lease_namespace, settings.lease_name, settings.identity)
        self._leader = leader
        self._state = "standby"
        if not await self._until_stop(leader.acquire()):
            return 0
        metrics.LEADING.set(1)
        try:
            fenced = KubeCluster(api, may_write=lambda: leader.leading)
            return await self._operate(api, fenced, present, leader.hold())
        finally:
            metrics.LEADING.set(0)
            await leader.release()

    async def _operate(
        self, api: KubeApi, cluster: KubeCluster, present: frozenset[Kind], held: Coroutine[Any, Any, Any]
    ) -> int:
        settings = self.settings
        queue: WorkQueue[Key] = WorkQueue()
        engine = Engine(cluster, STAGES, queue, settings.config, present=present, oracle=self._oracle)
        informing = self._informing = Informing(engine, settings.namespaces, also=frozenset(OURS))
        _publish(engine, queue)
        holding = asyncio.create_task(held)  # from now on: the first look may take longer than a lease holds
        await self._until_stop(self._first_look(informing))
        parts = Parts(
            informer=asyncio.create_task(self._inform(api, informing)),
            others=[asyncio.create_task(informing.resync_forever(settings.resync_seconds)), holding],
            workers=[asyncio.create_task(engine.work()) for _ in range(settings.workers)],
        )
        self._state = "ready"
        log.info("Ready: %d kinds, %d workers", len(engine.stages), settings.workers)
        asked = await parts.first_end(self._stop)
        self._state = "stopping"
        log.info("Stopping%s", "" if asked else ": a part of the operator ended")
        if self._informer:
            self._informer.stop()
        queue.close()
        await parts.finish()
        return 0 if asked else 1

    async def _inform(self, api: KubeApi, informing: Informing) -> None:
        """Watch until stopped. kopf gives up on errors that pass, as a conflict while it lists: it is started anew."""
        for attempt in itertools.count():
            self._informer = Informer(api, informing.whole, informing.labelled, informing.arrived)
            try:
                await self._informer.run(self.settings.namespaces, on_ready=self._take_signals)
                break
            except Exception as error:
                delay = min(2.0**attempt, WATCH_CAP_SECONDS)
                log.warning("Watching broke, again in %.0f s: %r", delay, error)
            self._take_signals()
            await asyncio.sleep(delay)
            await self._first_look(informing)

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _first_look(self, informing: Informing) -> None:
        """Fill the store, before anyone works and after watches broke; an API server that is away is waited for."""
        while True:
            try:
                return await informing.resync()
            except ClusterError as error:
                log.warning("First listing failed, again in 2 s: %s", error)
                await asyncio.sleep(2)

    async def _until_stop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for `work`, or for a request to stop, which cancels it. Returns its result, or None."""
        task = asyncio.create_task(_truthy(work))
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return None
        return task.result()

    def _wrong_alive(self) -> str:
        """A leader whose listings fail for long is started anew: nothing else would notice a client that hangs."""
        limit = DEAD_AFTER_RESYNCS * self.settings.resync_seconds
        if self._informing is None or self._informing.stale_seconds < limit:
            return ""
        return f"no listing has succeeded for {self._informing.stale_seconds:.0f} s, the limit is {limit:.0f} s"

    def _wrong_ready(self) -> str:
        """A standby is ready when it could take over: it asked for the lease and got an answer."""
        if self._state == "standby" and self._leader and self._leader.trouble:
            return f"standby: {self._leader.trouble}"
        return "" if self._state in ("ready", "standby") else self._state


async def served(cluster: KubeCluster) -> frozenset[Kind]:
    """Wait until the cluster serves all our kinds; returns the optional kinds it serves."""
    missing = [kind for kind in OURS if not await _serves(cluster, kind)]
    while missing:
        log.warning("Waiting for the CRDs of %s: apply crds/", ", ".join(sorted(k.kind for k in missing)))
        await asyncio.sleep(2)
        missing = [kind for kind in missing if not await _serves(cluster, kind)]
    return frozenset([kind for kind in OPTIONAL if await _serves(cluster, kind)])


async def _serves(cluster: KubeCluster, kind: Kind) -> bool:
    try:
        return await cluster.serves(kind)
    except ClusterError as error:
        log.warning("Cannot ask for %s: %s", kind, error)
        return False


async def _truthy(work: Coroutine[Any, Any, Any]) -> Any:
    result = await work
    return True if result is None else result


def _publish(engine: Engine, queue: WorkQueue[Key]) -> None:
    """Connect the gauges to what they measure."""
    metrics.QUEUE_DEPTH.set_function(lambda: len(queue))
    metrics.QUEUE_AGE.set_function(lambda: queue.oldest_age)

    def count() -> dict[tuple[str, str], int]:
        found: Counter[tuple[str, str]] = Counter()
        for kind in engine.stages:
            for manifest in engine.store.all(kind):
                found[kind.kind, str((manifest.get("status") or {}).get("phase") or "New")] += 1
        return dict(found)

    metrics.REGISTRY.register(metrics.Objects(count))
    metrics.REGISTRY.register(Statuses(engine.store.all))
