"""kopf as informer: the only importer of kopf.

Its low-level event handlers hand what they see to `arrived` and do nothing else: kopf swallows their errors and never
repeats them. Children are watched by a server-side label selector. Nothing of kopf's is ever stored on an object.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from gencontract import layout
from genops.core.kinds import Kind
from genops.core.model import Manifest
from genops.shell.kube import KubeApi

Arrival = Callable[[Kind, str | None, Manifest], None]

# A service account's token is renewed every hour; kopf asks again this often.
LOGIN_LIFETIME = timedelta(minutes=10)
KEEPER_OF_WATCHES = "multidimensional multitasker"  # kopf's own name for it
SHUTDOWN_SECONDS = 5.0


class WatchBroke(RuntimeError):
    """Nothing is watched any more."""


class Informer:
    """kopf's operator, reduced to telling what happens to objects of the given kinds."""

    def __init__(self, api: KubeApi, whole: Iterable[Kind], labelled: Iterable[Kind], arrived: Arrival) -> None:
        self._registry = _registry(api, [*whole, *labelled], arrived)
        self._settings = _settings(labelled)
        self._stop, self.ready = asyncio.Event(), asyncio.Event()

    async def run(self, namespaces: tuple[str, ...], on_ready: Callable[[], None]) -> None:
        """Watch until stopped. Raises WatchBroke, or what kopf raises, when it cannot go on.

        kopf takes over the process's signals when it starts; `on_ready` is called after that.
        """
        whole = asyncio.create_task(
            kopf.operator(
                registry=self._registry,
                settings=self._settings,
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=self._stop,
                ready_flag=self.ready,
            )
        )
        try:
            await self._watch_over(whole, on_ready)
        finally:
            whole.cancel()
            await asyncio.wait({whole}, timeout=SHUTDOWN_SECONDS)
        if whole.done() and not whole.cancelled():
            whole.result()

    async def _watch_over(self, whole: "asyncio.Task[None]", on_ready: Callable[[], None]) -> None:
        """Return when kopf has ended, or the task that keeps its watches has.

        kopf 1.45 can hang while it shuts down: a watch that waits for its answer is not cancelled, since the callback
        that should do it runs outside of any task. So its end is not waited for.
        """
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait({whole, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if whole.done():
            return
        on_ready()
        hearts = {task for task in asyncio.all_tasks() if task.get_name() == KEEPER_OF_WATCHES}
        await asyncio.wait({whole, *hearts}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({whole}, timeout=SHUTDOWN_SECONDS)
        if not whole.done() and not self._stop.is_set():
            raise WatchBroke("kopf's watches ended, and kopf did not")

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stop.set()


def _registry(api: KubeApi, kinds: Iterable[Kind], arrived: Arrival) -> kopf.OperatorRegistry:
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        expiration = datetime.now(UTC) + LOGIN_LIFETIME
        return kopf.ConnectionInfo(**await api.credentials(), expiration=expiration)

    for kind in kinds:
        _watch(made, kind, arrived)
    return made


def _watch(made: kopf.OperatorRegistry, kind: Kind, arrived: Arrival) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, registry=made, id=f"see-{kind.plural}")
    async def see(event: Any, **_: Any) -> None:
        arrived(kind, event["type"], event["object"])


def _settings(labelled: Iterable[Kind]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 290
    settings.networking.request_timeout = 30
    settings.queueing.exit_timeout = 2
    for kind in labelled:
        selector = f"{layout.LABEL_MANAGED_BY}={layout.MANAGED_BY}"
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = selector
    return settings
