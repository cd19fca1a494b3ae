"""A local cluster as a value: bring it up, look at it, take it down.

    with LocalCluster(".genops/local") as cluster:
        cluster.kubectl("get", "nodes")

Knows the order in which things start. It must not know any component's flags (controlplane.py) or pods (agent/).
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from genops.local import bootstrap, controlplane, health, processes, programs, state
from genops.local.agent import cgroups
from genops.local.controlplane import COMPONENTS, NODE, NODE_NAME
from genops.local.errors import LocalError
from genops.local.locks import held
from genops.local.paths import Paths
from genops.local.progress import Progress, Quiet
from genops.local.state import Options, State

START_SECONDS = 90.0  # a machine under load; an idle one needs about six
STOP_SECONDS = 10.0
FOLDERS = ("logs", "pki", "conf", "run", "pods", "volumes", "etcd", "kubeconfig", "cluster.json")


@dataclass(frozen=True)
class ComponentStatus:
    """One line of `genops local status`."""

    name: str
    pid: int | None
    running: bool
    healthy: bool


class LocalCluster:
    """One cluster in one folder. All methods may be called at any time, by any number of processes."""

    def __init__(
        self, directory: str | Path = ".genops/local", options: Options | None = None, progress: Progress | None = None
    ) -> None:
        self.paths = Paths.of(directory)
        self._options = options
        self._progress = progress or Quiet()

    @property
    def kubeconfig(self) -> str:
        """The administrator's kubeconfig file."""
        return str(self.paths.kubeconfig)

    def up(self) -> "LocalCluster":
        """Start what does not run, wait until all is ready. Raises LocalError saying what is missing."""
        programs.bubblewrap()
        found = programs.ensure(self._progress)
        with held(self.paths.lock):
            wanted = self._settle()
            with self._progress.step("Start the cluster") as detail:
                self._start(wanted, found, detail)
        return self

    def down(self, keep_data: bool = False) -> None:
        """Stop our processes, the node first so that pods end in order, then remove the data."""
        with held(self.paths.lock):
            self._stop(COMPONENTS)
            shutil.rmtree(self.paths.memory, ignore_errors=True)
            cgroups.clean_up(self.paths.cgroups)
            if not keep_data:
                self._remove()

    def status(self) -> list[ComponentStatus]:
        """Look at each component: does its process run, and does it answer?"""
        known = state.load(self.paths.state)
        expected = [name for name in COMPONENTS if name != NODE or known is None or known.options.node]
        return [self._look(name, known) for name in expected]

    def is_up(self) -> bool:
        """Say whether every component answers."""
        return all(component.healthy for component in self.status())

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run kubectl as administrator and return what it printed. Raises LocalError with its complaint."""
        done = subprocess.run(
            [programs.kubectl(), "--kubeconfig", self.kubeconfig, *args],
            input=stdin, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        if check and done.returncode:
            raise LocalError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def __enter__(self) -> "LocalCluster":
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    async def __aenter__(self) -> "LocalCluster":
        return await asyncio.to_thread(self.up)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.down)

    def _settle(self) -> State:
        """Return the state to run with: the one on disk, changed where options or taken ports ask for it."""
        self.paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = state.load(self.paths.state)
        wanted = known or state.choose(self._options or Options())
        if known and self._options and self._options != known.options:
            wanted = replace(wanted, options=self._options)
        self._check_slice(wanted)
        if self._ports_taken(wanted):
            wanted = state.moved(wanted)
        if wanted != known:
            self._stop(COMPONENTS)
            state.save(self.paths.state, wanted)
        controlplane.write_config(self.paths, wanted)
        return wanted

    def _check_slice(self, wanted: State) -> None:
        """Refuse to go on where another cluster has taken our addresses, which services in etcd are bound to."""
        if not self._running(NODE) and not state.is_free(wanted.node_address, state.NODE_PORT):
            raise LocalError(
                f"{wanted.node_address}:{state.NODE_PORT} is taken, most likely by another local cluster\n"
                f"  remedy: stop that one, or begin anew: genops local down --dir {self.paths.root}"
            )

    def _ports_taken(self, wanted: State) -> bool:
        idle = [name for name in state.PORTS if not self._running(name.removesuffix("-peer"))]
        return not all(state.is_free("127.0.0.1", wanted.ports[name]) for name in idle)

    def _start(self, wanted: State, found: programs.Programs, detail: Callable[[str], None]) -> None:
        for name in ("etcd", "kube-apiserver"):
            detail(name)
            self._ensure_running(name, wanted, found)
            self._wait_healthy(name, wanted)
        self._apply_bootstrap()
        rest = [name for name in COMPONENTS[2:] if name != NODE or wanted.options.node]
        for name in rest:
            self._ensure_running(name, wanted, found)
        for name in rest:
            detail(name)
            self._wait_healthy(name, wanted)
        if wanted.options.node:
            detail("node ready")
            self._wait_for(self._node_ready, "the node to become ready", NODE)

    def _ensure_running(self, name: str, wanted: State, found: programs.Programs) -> None:
        if self._running(name):
            return
        command = controlplane.command(name, self.paths, wanted, found)
        processes.start(name, command, self.paths.run, self.paths.logs, os.environ)

    def _wait_healthy(self, name: str, wanted: State) -> None:
        self._wait_for(lambda: health.healthy(name, self.paths, wanted), f"{name} to answer", name)

    def _wait_for(self, condition: Callable[[], bool], what: str, name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if not self._running(name):
                raise LocalError(f"{name} ended while starting:\n{self.tail(name)}")
            if time.monotonic() > deadline:
                raise LocalError(f"Waited {START_SECONDS:.0f} s for {what}:\n{self.tail(name)}")
            time.sleep(0.05)

    def tail(self, name: str, lines: int = 15) -> str:
        """Return the end of a component's log."""
        log = self.paths.logs / f"{name}.log"
        text = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([*text[-lines:], f"  log: {log}"])

    def _apply_bootstrap(self) -> None:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": bootstrap.objects()})
        self._retrying("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)

    def _retrying(self, *args: str, stdin: str) -> None:
        """Run kubectl against a server that is ready but may still be filling its caches."""
        for _ in range(4):
            try:
                self.kubectl(*args, stdin=stdin)
            except LocalError:
                time.sleep(0.5)
            else:
                return
        self.kubectl(*args, stdin=stdin)

    def _node_ready(self) -> bool:
        ready = '{.status.conditions[?(@.type=="Ready")].status}/{.spec.taints}'
        return self.kubectl("get", "node", NODE_NAME, "-o", f"jsonpath={ready}", check=False) == "True/"

    def _look(self, name: str, known: State | None) -> ComponentStatus:
        record = processes.recorded(name, self.paths.run)
        running = processes.alive(record)
        well = running and known is not None and health.healthy(name, self.paths, known)
        return ComponentStatus(name, record.pid if record and running else None, running, well)

    def _running(self, name: str) -> bool:
        return processes.alive(processes.recorded(name, self.paths.run))

    def _stop(self, names: tuple[str, ...]) -> None:
        for name in reversed(names):
            processes.stop([name], self.paths.run, STOP_SECONDS)

    def _remove(self) -> None:
        """Remove what we have written, and the folder if nothing else lies in it."""
        for name in FOLDERS:
            path = self.paths.root / name
            path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        if self.paths.root.is_dir() and not any(self.paths.root.iterdir()):
            self.paths.root.rmdir()
