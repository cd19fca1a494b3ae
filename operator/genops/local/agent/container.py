"""One container of a pod, from one start to its end: sandbox, log, probes, limits, exit.

Knows nothing of other containers or of when to start again (pod.py).
"""

import asyncio
import hashlib
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from genops.local.agent import cgroups, environment, images, memory, mounts, probing, sandbox
from genops.local.agent.context import PodPlace, interpreter_points
from genops.local.agent.environment import ConfigError, World
from genops.local.agent.facts import Json, hostname, now, uid
from genops.local.agent.logs import last_text, pump
from genops.local.agent.payload import decoded
from genops.local.agent.probes import Kind, Tally, Timing
from genops.local.agent.quantity import parse, whole
from genops.local.agent.rootfs import Point
from genops.local.agent.sandbox import Exit, Launch, Process
from genops.local.agent.status import ContainerRecord, terminated
from genops.shell.errors import ApiError

log = logging.getLogger(__name__)
MESSAGE_BYTES, MESSAGE_LINES = 2048, 80
NOBODY_SPECIAL = 65532  # the user that images meant for clusters run as
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container:
    """A container that can be run again and again."""

    def __init__(self, spec: Json, record: ContainerRecord, place: PodPlace) -> None:
        self.spec, self.record, self.place = spec, record, place
        self._process: Process | None = None
        self._launch: Launch | None = None
        self._group: cgroups.Group | None = None
        self._out_of_memory = False

    @property
    def name(self) -> str:
        """The container's name."""
        return str(self.spec["name"])

    @property
    def log_path(self) -> Path:
        """The log of the present or last run."""
        return self.log_of(self.record.restarts)

    def log_of(self, run: int) -> Path:
        """Return the log of one run."""
        return self.place.folder / "logs" / self.name / f"{run}.log"

    async def run(self) -> float:
        """Run once, from start to end, and record it. Returns the seconds it ran. Raises ConfigError, OSError."""
        launch = await self._prepare()
        self.record.about_to_start()
        began = now()
        container_id = f"genops://{_digest(uid(self.place.pod), self.name, str(self.record.restarts))}"
        self._event("Created", f"Created container: {self.name}")
        process = self._process = await sandbox.start(launch, self.place.node.bwrap)
        self._launch = launch
        self.record.run(container_id, began)
        self.place.changed()
        if self.place.ending.is_set():  # asked to end while it was starting
            self._stopping = asyncio.ensure_future(self.stop(""))
        ended = await self._attend(process)
        self._process = None
        self.record.end(self._ending(ended, (began, now()), container_id))
        self._clean_up()
        self.place.changed()
        return (now() - began).total_seconds()

    async def stop(self, why: str, grace: float | None = None) -> None:
        """End the container in order: its preStop handler, SIGTERM, and SIGKILL when the time is up."""
        process = self._process
        if process is None or process.done:
            return
        loop = asyncio.get_running_loop()
        until = self.place.kill_at if grace is None else loop.time() + grace
        self._event("Killing", f"Stopping container {self.name}{why}")
        if until > loop.time():
            await self._before_stop(until - loop.time())
            process.signal(signal.SIGTERM)
        while not process.done and loop.time() < min(until, self.place.kill_at):
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.1)
        process.kill()
        await process.wait()

    async def _prepare(self) -> Launch:
        """Work out all that the sandbox needs. Raises ConfigError."""
        world = await self._world()
        env = environment.variables(self.spec, world, self._base_env())
        argv = environment.command(self.spec, env)
        points = [*self._base_points(), *mounts.points(self.spec, self.place.volumes, env)]
        workdir = self.spec.get("workingDir") or "/"
        if not any(workdir == p.target or workdir.startswith(f"{p.target}/") for p in points):
            points.insert(0, Point(workdir, "dir")) if not os.path.isdir(workdir) else None
        uid_, gid = identity(self.place.pod, self.spec)
        if uid_ == 0 and must_not_be_root(self.place.pod, self.spec):
            raise ConfigError("container's runAsUser breaks non-root policy")
        self._group = self._limit()
        entries = self._group.entries if self._group else []
        return Launch(argv, env, points, uid_, gid, hostname(self.place.pod), workdir, entries)

    async def _world(self) -> World:
        place, sources = self.place, {}
        for kind, name in environment.sources(self.spec):
            sources[kind, name] = await self._source(kind, name)
        services = place.node.services(place.pod["metadata"]["namespace"])
        return World(place.pod, place.address, place.node.facts, sources, services)

    async def _source(self, kind: str, name: str) -> Mapping[str, str] | None:
        plural = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
        path = f"/api/v1/namespaces/{self.place.pod['metadata']['namespace']}/{plural}/{name}"
        try:
            obj = await self.place.node.api.call("GET", path)
        except ApiError as error:
            if error.not_found:
                return None
            raise ConfigError(error.message) from error
        return {key: value.decode(errors="replace") for key, value in decoded(obj).items()}

    def _base_env(self) -> dict[str, str]:
        venv = images.environment_of(self.spec["image"], self.place.node.images, sys.prefix)
        return {"PATH": f"{venv}/bin:{SYSTEM_PATH}", "HOME": "/tmp", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}

    def _base_points(self) -> list[Point]:
        """Return what every sandbox has: interpreter, scratch, hosts and user files; and what none may see."""
        place, scratch = self.place, self.place.folder / "scratch" / self.name
        message = self._message_file()
        for name in ("tmp", "var-tmp"):
            (scratch / name).mkdir(parents=True, exist_ok=True)
        message.write_bytes(b"")
        return [
            Point(str(hidden_root(place.node.paths.root)), "mask"),
            *(Point(path, source=path) for path in ("/etc/resolv.conf",) if os.path.exists(path)),
            *interpreter_points(place.node.images),
            Point("/tmp", source=str(scratch / "tmp"), read_only=False),
            Point("/var/tmp", source=str(scratch / "var-tmp"), read_only=False),
            Point("/etc/hosts", source=str(place.folder / "hosts")),
            Point("/etc/passwd", source=str(self._user_file(scratch))),
            Point(self._message_path(), source=str(message), read_only=False),
        ]

    def _message_path(self) -> str:
        return str(self.spec.get("terminationMessagePath") or "/dev/termination-log")

    def _message_file(self) -> Path:
        return self.place.folder / "scratch" / self.name / f"message-{self.record.restarts}"

    def _user_file(self, scratch: Path) -> Path:
        """Write a user list in which the container's own user has a name, as container runtimes do."""
        user, group = identity(self.place.pod, self.spec)
        path, host = scratch / "passwd", Path("/etc/passwd").read_text()
        known = any(line.split(":")[2:3] == [str(user)] for line in host.splitlines())
        path.write_text(host if known else f"{host}genops:x:{user}:{group}:genops:/tmp:/bin/sh\n")
        return path

    def _limit(self) -> cgroups.Group | None:
        parent, limits = self.place.node.cgroups, self.spec.get("resources", {}).get("limits", {})
        if parent is None or not limits:
            return None
        name = _digest(uid(self.place.pod), self.name, str(self.record.restarts))
        memory_limit = whole(limits["memory"]) if "memory" in limits else None
        return cgroups.create(parent, name, memory_limit, float(parse(limits["cpu"])) if "cpu" in limits else None)

    async def _attend(self, process: Process) -> Exit:
        """Do everything that goes on while the process runs."""
        pumps = asyncio.ensure_future(self._pump(process))
        helpers = [asyncio.ensure_future(work) for work in (self._after_start(), self._watch_memory(process))]
        try:
            ended = await process.wait()
            await pumps
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        return ended

    async def _pump(self, process: Process) -> None:
        assert process.outer.stdout is not None
        assert process.outer.stderr is not None
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as file:
            await asyncio.gather(pump(process.outer.stdout, "stdout", file), pump(process.outer.stderr, "stderr", file))

    async def _after_start(self) -> None:
        self._event("Started", f"Started container {self.name}")
        hook = self.spec.get("lifecycle", {}).get("postStart")
        if hook:
            good, why = await probing.handle(hook, self.spec, self.place.address, self._execute, 3600)
            if not good:
                self._event("FailedPostStartHook", why, warning=True)
                await self.stop(", FailedPostStartHook", self.place.grace)
                return
        await self._probe()

    async def _before_stop(self, seconds: float) -> None:
        hook = self.spec.get("lifecycle", {}).get("preStop")
        if hook:
            good, why = await probing.handle(hook, self.spec, self.place.address, self._execute, seconds)
            if not good:
                self._event("FailedPreStopHook", why, warning=True)

    async def _probe(self) -> None:
        """Run the startup probe until it passes, then the others for ever."""
        if "startupProbe" in self.spec and not await self._ask("startup", self.spec["startupProbe"]):
            return
        self.record.started = True
        self.record.ready = "readinessProbe" not in self.spec
        self.place.changed()
        kinds: Sequence[Kind] = ("liveness", "readiness")
        present = [(kind, self.spec[f"{kind}Probe"]) for kind in kinds if f"{kind}Probe" in self.spec]
        await asyncio.gather(*(self._ask(kind, spec) for kind, spec in present))

    async def _ask(self, kind: Kind, spec: Json) -> bool:
        """Probe at the asked pace. A startup probe returns when it passes, a fatal verdict ends the container."""
        tally, timing = Tally.of(kind, spec), Timing.of(spec)
        await asyncio.sleep(timing.delay)
        while True:
            good, why = await probing.probe(spec, self.spec, self.place.address, self._execute)
            if not good and not self.place.ending.is_set():
                self._event("Unhealthy", f"{kind.capitalize()} probe failed: {why}", warning=True)
            verdict = tally.count(good)
            if kind == "readiness" and verdict is not None:
                self._set_ready(verdict)
            elif kind == "startup" and verdict:
                return True
            elif verdict is False:
                self._end_soon(kind, spec)
                return False
            await asyncio.sleep(timing.period)

    def _set_ready(self, ready: bool) -> None:
        if self.record.ready != ready:
            self.record.ready = ready
            self.place.changed()

    def _end_soon(self, kind: Kind, spec: Json) -> None:
        """End the container for a failed probe; not awaited, since the end cancels the probe."""
        grace = float(spec.get("terminationGracePeriodSeconds") or self.place.grace)
        task = asyncio.ensure_future(self.stop(f", failed {kind} probe, will be restarted", grace))
        self._stopping = task  # keeps the task from being collected

    async def _execute(self, command: list[str], timeout: float) -> tuple[int, str]:
        """Run a command in a sandbox like the container's own: same files, variables and user, other processes."""
        assert self._launch is not None
        launch = self._launch
        aside = Launch(
            command, launch.env, launch.points, launch.uid, launch.gid, launch.hostname, launch.workdir, launch.cgroups
        )
        return await sandbox.run_to_end(aside, self.place.node.bwrap, timeout)

    async def _watch_memory(self, process: Process) -> None:
        """Without control groups, look at the memory twice a second and end what exceeds its limit."""
        limit = self.spec.get("resources", {}).get("limits", {}).get("memory")
        while limit and self._group is None:
            if memory.used_by_tree(process.outer.pid) > whole(limit):
                self._out_of_memory = True
                process.kill()
                return
            await asyncio.sleep(0.5)

    def _ending(self, ended: Exit, times: tuple[datetime, datetime], container_id: str) -> Json:
        killed = self._out_of_memory or (self._group is not None and self._group.kills() > 0)
        reason = "Completed" if ended.code == 0 else "OOMKilled" if killed else "Error"
        if not ended.started and ended.code == 128:
            reason = "StartError"
        return terminated(ended.code, reason, self._message(ended.code, reason), times, container_id)

    def _message(self, code: int, reason: str) -> str:
        text = ""
        with suppress(OSError):
            text = self._message_file().read_bytes()[:4096].decode(errors="replace")
        wants_log = self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError" or reason == "StartError"
        return text or (last_text(self.log_path, MESSAGE_BYTES, MESSAGE_LINES) if code and wants_log else "")

    def _clean_up(self) -> None:
        if self._group is not None:
            self._group.remove()
        self._group, self._out_of_memory = None, False

    def _event(self, reason: str, message: str, warning: bool = False) -> None:
        self.place.node.events.say(self.place.pod, "Pod", reason, message, warning)


def identity(pod: Json, container: Json) -> tuple[int, int]:
    """Return the user and group that a container runs as."""
    contexts = (container.get("securityContext", {}), pod["spec"].get("securityContext", {}))
    user = next((c["runAsUser"] for c in contexts if c.get("runAsUser") is not None), NOBODY_SPECIAL)
    group = next((c["runAsGroup"] for c in contexts if c.get("runAsGroup") is not None), user)
    return int(user), int(group)


def must_not_be_root(pod: Json, container: Json) -> bool:
    """Say whether a container may not run as root; its own word counts for more than the pod's."""
    contexts = (container.get("securityContext", {}), pod["spec"].get("securityContext", {}))
    return bool(next((c["runAsNonRoot"] for c in contexts if c.get("runAsNonRoot") is not None), False))


def hidden_root(root: Path) -> Path:
    """Return the folder to hide so that no cluster's certificates and volumes are seen: all of `.genops`, if in one."""
    return next((parent for parent in root.parents if parent.name == ".genops"), root)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
