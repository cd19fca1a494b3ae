"""The node agent's process: puts the parts together, starts them, and ends them in order.

python -m genops.local.node --dir .genops/local
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from genops.local import programs, state
from genops.local.agent import cgroups, registration
from genops.local.agent.addresses import Addresses
from genops.local.agent.container import Container
from genops.local.agent.context import Node
from genops.local.agent.events import Recorder
from genops.local.agent.facts import Json, uid
from genops.local.agent.informer import Informer
from genops.local.agent.pod import PodWorker
from genops.local.agent.provisioner import Provisioner
from genops.local.agent.registration import Registration
from genops.local.agent.server import Server
from genops.local.agent.services import Services
from genops.local.controlplane import NODE_NAME
from genops.local.errors import LocalError
from genops.local.paths import Paths
from genops.local.state import State
from genops.shell.errors import ClusterError
from genops.shell.kube import KubeApi

log = logging.getLogger("genops.local.node")
SHUTDOWN_GRACE = 3.0


class Agent:
    """Everything that runs in the node's process."""

    def __init__(self, paths: Paths, known: State, api: KubeApi, provisioner_api: KubeApi) -> None:
        self._paths, self._known = paths, known
        server = ("127.0.0.1", known.ports["kube-apiserver"])
        facts = registration.facts(NODE_NAME, known.node_address, known.options.cpus, server)
        events = self._events = Recorder(api, "genops-local-node", NODE_NAME)
        query = {"fieldSelector": f"spec.nodeName={NODE_NAME}"}
        self._pods = Informer(api, "/api/v1/pods", self._pod_changed, query)
        self._services = Services(api, self._pods, server, self._hosts_files, events)
        self._registration = Registration(api, facts)
        provisioner_events = self._provisioner_events = Recorder(provisioner_api, "genops-local-provisioner", NODE_NAME)
        self._provisioner = Provisioner(provisioner_api, paths.volumes, NODE_NAME, provisioner_events)
        cgroups.clean_up(paths.cgroups)
        groups = cgroups.find_parent(f"genops-{paths.tag}")
        if groups is not None:
            cgroups.remember(groups, paths.cgroups)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._node = Node(
            api=api, facts=facts, paths=paths, events=events, addresses=Addresses(known.pod_network),
            bwrap=programs.bubblewrap(), restart_back_off=known.options.restart_back_off, images=known.options.images,
            cgroups=groups, services=self._services.of_namespace,
            names=self._services.names, leave=self._services.leave,
        )  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Run until asked to stop."""
        server = await Server(self._find, self._paths.pki).start(self._known.node_address)
        await self._register()
        services = asyncio.ensure_future(self._services.run())
        await self._services.synced()
        parts = (self._registration, self._provisioner, self._pods, self._events, self._provisioner_events)
        tasks = [asyncio.ensure_future(part.run()) for part in parts]
        await self._pods.synced.wait()
        self._remove_strangers()
        stopped = asyncio.ensure_future(_set(stop))
        done, _ = await asyncio.wait([*tasks, services, stopped], return_when=asyncio.FIRST_COMPLETED)
        await self._shut_down()
        for task in (*tasks, services):
            task.cancel()
        await server.cleanup()
        for task in done - {stopped}:
            await task  # raises what ended it

    async def _register(self) -> None:
        while True:
            try:
                await self._registration.register()
            except ClusterError as error:
                log.info("not registered yet: %s", error)
                await asyncio.sleep(0.5)
            else:
                return

    def _pod_changed(self, pod: Json, gone: bool) -> None:
        worker = self._workers.get(uid(pod))
        if worker is not None:
            worker.vanished() if gone else worker.seen(pod)
        elif not gone:
            self._begin(pod)
        self._services.changed()

    def _begin(self, pod: Json) -> None:
        worker = self._workers[uid(pod)] = PodWorker(pod, self._node)
        task = self._tasks[uid(pod)] = asyncio.ensure_future(worker.run())
        task.add_done_callback(lambda done: self._ended(uid(pod), done))

    def _ended(self, identity: str, task: "asyncio.Task[None]") -> None:
        """Forget a pod that is gone for good, with its logs."""
        if not task.cancelled() and task.exception() is not None:
            log.error("a pod's worker failed", exc_info=task.exception())
            return
        if not self._workers[identity].silent:
            del self._workers[identity], self._tasks[identity]
            shutil.rmtree(self._paths.pods / identity, ignore_errors=True)

    def _find(self, namespace: str, name: str, container: str) -> Container | None:
        for identity, pod in self._pods.items.items():
            meta = pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name) and identity in self._workers:
                return self._workers[identity].container_named(container)
        return None

    def _hosts_files(self) -> dict[Path, tuple[Json, str]]:
        files = {self._paths.pods / identity / "hosts": worker for identity, worker in self._workers.items()}
        return {path: (w.place.pod, w.place.address) for path, w in files.items() if path.exists()}

    def _remove_strangers(self) -> None:
        """Remove folders of pods that were deleted while no agent ran."""
        for base in (self._paths.pods, self._paths.memory):
            for folder in base.iterdir() if base.is_dir() else ():
                if folder.name not in self._pods.items:
                    shutil.rmtree(folder, ignore_errors=True)

    async def _shut_down(self) -> None:
        for worker in self._workers.values():
            worker.shut_down(SHUTDOWN_GRACE)
        if self._tasks:
            running = [task for identity, task in self._tasks.items() if not self._workers[identity].record.finished]
            await asyncio.wait(running, timeout=SHUTDOWN_GRACE + 3) if running else None
        for task in self._tasks.values():
            task.cancel()
        cgroups.clean_up(self._paths.cgroups)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def serve(paths: Paths) -> None:
    """Run the agent of the cluster in this folder until SIGTERM."""
    known = state.load(paths.state)
    if known is None:
        raise LocalError(f"no cluster at {paths.root}\n  remedy: genops local up --dir {paths.root}")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    api = await KubeApi.connect(str(paths.kubeconfig_of("node")), user_agent="genops-local-node")
    other = await KubeApi.connect(str(paths.kubeconfig_of("provisioner")), user_agent="genops-local-provisioner")
    try:
        await Agent(paths, known, api, other).run(stop)
    finally:
        await api.close()
        await other.close()


def main() -> int:
    """Run the node agent."""
    parser = argparse.ArgumentParser(prog="python -m genops.local.node", description="The node of a local cluster.")
    parser.add_argument("--dir", required=True, type=Path)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o022)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(Paths.of(args.dir)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
