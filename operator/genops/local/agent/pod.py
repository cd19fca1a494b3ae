"""One pod from its arrival on the node to its removal: volumes, order of containers, restarts, its end, its status.

A worker is told of new versions of its pod and never waits for anything that it was not told of.
"""

import asyncio
import logging
import shutil
from collections.abc import Iterable

from genops.local.agent import hosts, images, refusals, restarts, status
from genops.local.agent.container import Container
from genops.local.agent.context import Node, PodPlace
from genops.local.agent.environment import ConfigError
from genops.local.agent.facts import Json, is_sidecar, key, now, terminating, uid
from genops.local.agent.restarts import BackOff
from genops.local.agent.volumes import NotYet, Volumes
from genops.shell.errors import ApiError, ClusterError

log = logging.getLogger(__name__)
STRATEGIC = "application/strategic-merge-patch+json"
REFRESH_SECONDS, SIZE_SECONDS = 15.0, 2.0


class PodWorker:
    """Runs one pod."""

    def __init__(self, pod: Json, node: Node) -> None:
        self._node = node
        self._dirty = asyncio.Event()
        self._gone = asyncio.Event()  # the API has no such pod any more
        self._deletion = asyncio.Event()
        self.silent = False  # the agent ends: say nothing more
        self._reported: Json = {}
        known = bool(pod.get("status", {}).get("containerStatuses"))
        self.record = status.recovered(pod, now()) if known else status.fresh(pod, now())
        self.record.address = node.addresses.keep(self.record.address, uid(pod))
        self.place = PodPlace(pod, node, self.record.address, self._dirty.set)
        self.containers = {c["name"]: self._container(c, self.record.containers) for c in pod["spec"]["containers"]}
        self.inits = {c["name"]: self._container(c, self.record.inits) for c in pod["spec"].get("initContainers", [])}
        self._volumes = Volumes(pod, self.record.address, node.api, node.paths, node.facts)
        self.seen(pod)

    def seen(self, pod: Json) -> None:
        """Take note of a new version of the pod."""
        self.place.pod = self._volumes.pod = pod
        if pod["spec"].get("readinessGates"):
            self._dirty.set()  # somebody may have opened a gate
        if terminating(pod):
            self._deletion.set()
            self._end(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))

    def vanished(self) -> None:
        """Take note that the pod is no longer in the API: it was deleted by force, or we have deleted it."""
        self._gone.set()
        self._deletion.set()
        self._end(0)

    def shut_down(self, grace: float) -> None:
        """End the pod's processes because the agent ends; the pod itself lives on in the API."""
        self.silent = True
        self._end(grace)

    def container_named(self, name: str) -> Container | None:
        """Find a container of either kind."""
        return self.containers.get(name) or self.inits.get(name)

    async def run(self) -> None:
        """Live the pod's life."""
        reporter = asyncio.ensure_future(self._report_forever())
        try:
            if not self.record.finished:
                await self._live_or_fail()
            if not self.silent:
                await self._finish()
        finally:
            reporter.cancel()

    async def _live_or_fail(self) -> None:
        """Live, and let a mistake of ours end the pod rather than leave it without anybody who looks after it."""
        try:
            await self._live()
        except Exception as error:
            log.exception("%s", key(self.place.pod))
            self._fail("NodeAgentError", f"The local node made a mistake with this pod: {error!r}")
            self._end(0)
            await self._stop_all()

    async def _live(self) -> None:
        reasons = refusals.reasons(self.place.pod)
        if reasons:
            self._fail("UnsupportedPod", "The local node does not run this pod: " + "; ".join(reasons))
            self._say("UnsupportedPod", self.record.failed_message, warning=True)
            return
        if self.place.ending.is_set():
            return
        self._dirty.set()
        watchers = [asyncio.ensure_future(work) for work in (self._keep_deadline(), self._keep_volumes())]
        work = asyncio.ensure_future(self._work())
        ending = asyncio.ensure_future(self.place.ending.wait())
        try:
            await asyncio.wait([work, ending], return_when=asyncio.FIRST_COMPLETED)
            await self._stop_all()
            await work
        finally:
            for task in (*watchers, ending):
                task.cancel()

    async def _work(self) -> None:
        """Mount, run init containers in order, run the others side by side, then end sidecars."""
        sidecars: list[asyncio.Task[None]] = []
        if await self._mounted() and await self._initialized(sidecars):
            self.record.initialized = True
            for container in self.containers.values():
                if container.record.state.get("waiting", {}).get("reason") == status.INITIALIZING:
                    container.record.wait(status.CREATING)
            self._dirty.set()
            await asyncio.gather(*(self._supervise(c, init=False) for c in self.containers.values()))
        self._end(self.place.grace)
        await asyncio.gather(*sidecars)

    async def _mounted(self) -> bool:
        """Prepare the pod's folder and volumes, however long that takes. Says false if the pod is to end first."""
        self.place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        hosts_file = self.place.folder / "hosts"
        if not hosts_file.exists():
            hosts.rewrite(hosts_file, hosts.text(self.place.pod, self.record.address, self._node.names()))
        tries = 0
        while not self.place.ending.is_set():
            try:
                self.place.volumes = await self._volumes.mount()
            except (NotYet, ClusterError, OSError) as error:
                tries += 1
                if tries > 2:  # the API server may learn of a pod's volumes a moment after we do
                    self._say("FailedMount", str(error), warning=True)
                await self.place.pause(min(5.0, 0.2 * tries))
            else:
                return True
        return False

    async def _initialized(self, sidecars: list[asyncio.Task[None]]) -> bool:
        """Run init containers one by one. Says false where one has failed for good or the pod is to end."""
        for name, container in self.inits.items():
            if is_sidecar(container.spec):
                sidecars.append(asyncio.ensure_future(self._supervise(container, init=True)))
                await self._until_started(container)
            elif container.record.exit_code != 0:
                await self._supervise(container, init=True)
            if self.place.ending.is_set():
                return False
            if not is_sidecar(container.spec) and container.record.exit_code != 0:
                log.info("%s: init container %s failed", key(self.place.pod), name)
                return False
        return True

    async def _until_started(self, container: Container) -> None:
        while not container.record.started and not self.place.ending.is_set():
            await self.place.pause(0.05)

    async def _supervise(self, container: Container, init: bool) -> None:
        """Run a container again and again as its restart policy says."""
        policy = restarts.policy_of(self.place.pod, container.spec, init)
        back_off = BackOff(self._node.restart_back_off)
        code = container.record.exit_code  # known already if it ended while an earlier agent ran
        if code is not None and not restarts.again(container.spec, policy, code):
            return
        while await self._startable(container):
            ran_for = await self._run_once(container)
            code = container.record.exit_code
            if code is not None and not restarts.again(container.spec, policy, code):
                return
            if ran_for is not None and not self.place.ending.is_set():
                await self._back_off(container, back_off.after(ran_for))

    async def _run_once(self, container: Container) -> float | None:
        """Run a container to its end; nothing is returned if it could not be started as it is written."""
        try:
            return await container.run()
        except (ConfigError, ClusterError, OSError, ValueError) as error:
            reason = "CreateContainerConfigError" if isinstance(error, ConfigError) else "CreateContainerError"
            container.record.wait(reason, str(error))
            self._dirty.set()
            self._say("Failed", f"Error: {error}", warning=True)
            await self.place.pause(2.0)
            return None

    async def _back_off(self, container: Container, wait: float) -> None:
        if wait <= 0:
            return
        pod = f"{self.place.pod['metadata']['name']}_{self.place.pod['metadata']['namespace']}({uid(self.place.pod)})"
        text = f"back-off {wait:g}s restarting failed container={container.name} pod={pod}"
        container.record.wait("CrashLoopBackOff", text)
        self._dirty.set()
        self._say("BackOff", f"Back-off restarting failed container {container.name} in pod {pod}", warning=True)
        await self.place.pause(wait)

    async def _startable(self, container: Container) -> bool:
        """Wait until the container's image can be had, for ever if need be. Says false if the pod is to end."""
        image, wait = container.spec["image"], 10.0
        while not self.place.ending.is_set():
            if images.malformed(image):
                self._no_image(container, "InvalidImageName", f'Failed to apply default image tag "{image}"')
            elif images.unavailable(image):
                self._no_image(container, "ErrImagePull", f'Failed to pull image "{image}": not found')
                await self.place.pause(2.0)
                container.record.wait("ImagePullBackOff", f'Back-off pulling image "{image}"')
                self._dirty.set()
            else:
                return True
            await self.place.pause(wait)
            wait = min(300.0, 2 * wait)
        return False

    def _no_image(self, container: Container, reason: str, message: str) -> None:
        container.record.wait(reason, message)
        self._dirty.set()
        self._say("Failed", message, warning=True)

    async def _stop_all(self) -> None:
        """End what runs: ordinary containers together, sidecars after them."""
        self._node.leave(uid(self.place.pod))
        ordinary = [c for c in [*self.containers.values(), *self.inits.values()] if not is_sidecar(c.spec)]
        await asyncio.gather(*(container.stop("") for container in ordinary))
        for container in reversed(list(self.inits.values())):
            if is_sidecar(container.spec):
                await container.stop("")

    async def _keep_deadline(self) -> None:
        seconds = self.place.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            return
        left = seconds - (now() - self.record.started).total_seconds()
        await asyncio.sleep(max(0.0, left))
        text = "Pod was active on the node longer than the specified deadline"
        self._fail("DeadlineExceeded", text)
        self._end(self.place.grace)
        self._say("DeadlineExceeded", text, warning=True)

    async def _keep_volumes(self) -> None:
        """Keep projected files fresh, and end the pod when an emptyDir outgrows its limit."""
        await asyncio.gather(self._keep_fresh(), self._keep_small())

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._volumes.refresh()
            except (NotYet, ClusterError) as error:
                log.info("%s: volumes stay as they are: %s", key(self.place.pod), error)

    async def _keep_small(self) -> None:
        while self._volumes.limited and not self.place.ending.is_set():
            await asyncio.sleep(SIZE_SECONDS)
            message = await asyncio.to_thread(self._volumes.oversized)
            if message and not self.place.ending.is_set():
                self.record.disrupted = message
                self._fail("Evicted", message)
                self._end(0)
                self._say("Evicted", message, warning=True)

    def _fail(self, reason: str, message: str) -> None:
        self.record.failed_reason, self.record.failed_message = reason, message

    def _end(self, grace: float) -> None:
        """Ask the pod to end within so many seconds; a later call may only shorten the time."""
        self.place.kill_at = min(self.place.kill_at, asyncio.get_running_loop().time() + grace)
        self.place.ending.set()

    async def _finish(self) -> None:
        """Report the end, give back what the pod held, and complete its deletion when somebody asks for it."""
        self._node.leave(uid(self.place.pod))
        if not self.record.finished and self.record.initialized:
            self._account_for(self.record.containers.values())
        self.record.finished = True
        self._dirty.set()
        self._volumes.remove()
        shutil.rmtree(self.place.folder / "scratch", ignore_errors=True)
        await self._deletion.wait()
        if not self._gone.is_set():
            await self._report_until_done()
            await self._delete()
            await self._gone.wait()  # others may hold the object by finalizers for a while
        self._node.addresses.free(self.record.address, uid(self.place.pod))

    def _account_for(self, records: Iterable[status.ContainerRecord]) -> None:
        for record in records:
            if record.exit_code is None and "terminated" in record.last_state:
                record.end(record.last_state["terminated"])
            elif record.exit_code is None:
                record.end(status.terminated(137, status.LOST_REASON, "", (now(), now()), record.container_id))

    async def _delete(self) -> None:
        """Remove the pod from the API: the last step of a deletion."""
        meta = self.place.pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        while not self._gone.is_set():
            try:
                await self._node.api.call("DELETE", self._path, body=options)
            except ApiError as error:
                if error.status in (404, 409):
                    return
                await asyncio.sleep(1)
            except ClusterError:
                await asyncio.sleep(1)
            else:
                return

    async def _report_forever(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(0.01)  # changes that come together are written together
            self._dirty.clear()
            await self._report_until_done()

    async def _report_until_done(self) -> None:
        wait = 0.2
        while not self.silent and not self._gone.is_set():
            try:
                await self._report()
            except ClusterError as error:
                if isinstance(error, ApiError) and error.status in (404, 409):
                    return
                log.info("%s: status not written: %s", key(self.place.pod), error)
                await asyncio.sleep(wait)
                wait = min(5.0, 2 * wait)
            else:
                return

    async def _report(self) -> None:
        theirs = self.place.pod.get("status", {}).get("conditions", [])
        before = {**self.place.pod, "status": {"conditions": [*theirs, *self._reported.get("conditions", [])]}}
        report = status.report(before, self.record, self._node.facts.address, now())
        if report == self._reported:
            return
        body = {"metadata": {"uid": uid(self.place.pod)}, "status": report}
        await self._node.api.call("PATCH", f"{self._path}/status", body=body, content_type=STRATEGIC)
        self._reported = report

    @property
    def _path(self) -> str:
        meta = self.place.pod["metadata"]
        return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"

    def _container(self, spec: Json, records: dict[str, status.ContainerRecord]) -> Container:
        return Container(spec, records[spec["name"]], self.place)

    def _say(self, reason: str, message: str, warning: bool = False) -> None:
        self._node.events.say(self.place.pod, "Pod", reason, message, warning)
