"""Serve an engine by Triton: verify it, start the server, compare its first generation, and only then say ready.

    verify digests ─► lay out ─► start Triton ─► wait for it ─► golden generation ─► /readyz says ok ─► until SIGTERM
                                                                                     not ready ─► drain ─► stop

Runs in the server's own environment: gentrainers, numpy, tritonclient and Triton, without what training needs.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gencontract.codes import Code
from gencontract.layout import ENV_POD_IP
from gencontract.report import Progress, Report
from gencontract.task import ServeTask
from gentrainers.artifact import open_artifact
from gentrainers.errors import JobError
from gentrainers.pod import Pod
from gentrainers.serving import assemble, launcher
from gentrainers.serving.assemble import Laid
from gentrainers.serving.client import Client, difference
from gentrainers.serving.launcher import Listen, Server
from gentrainers.serving.readiness import Readiness
from gentrainers.serving.recording import Recorder

LOAD_SECONDS = 600  # for the server to load the model; the pod's startup probe may be shorter
LOOK_SECONDS = 0.25
STARTING = "starting"


@dataclass
class State:
    """Where a server pod is: what /readyz and /livez answer."""

    server: Server | None = None
    client: Client | None = None
    why_not: str = STARTING

    def ready(self) -> str:
        """Say why no request should come, or nothing."""
        if self.why_not:
            return self.why_not
        return "" if self.client and self.client.ready() else "Triton is not ready"

    def live(self) -> str:
        """Say why the pod should be started again, or nothing. Loading may take as long as it takes."""
        if self.server and not self.server.alive:
            return "Triton has ended"
        loading = self.why_not == STARTING or self.client is None
        return "" if loading or (self.client and self.client.live()) else "Triton does not answer"


def run(task: ServeTask, pod: Pod) -> Report:
    """Serve until asked to stop. Raises JobError where the engine or the server is not to be trusted."""
    opened = open_artifact(task.repository.uri, "engines", task.repository.digest)
    triton = launcher.find()
    address = os.environ.get(ENV_POD_IP) or task.address
    state = State()
    with tempfile.TemporaryDirectory(prefix="genops-serve-") as name:
        laid = assemble.lay(opened, triton.backends, Path(name))
        recorder = Recorder(task.capture, opened.digest, laid, Path(name) / "spool") if task.capture else None
        probes = _listen(address, task.ready_port, state)
        try:
            more = recorder.environment if recorder else {}
            server = launcher.start(triton, laid.path, _where(address, task), Path(name), more)
            state.server = server
            try:
                state.client = Client(f"{address}:{task.grpc_port}", laid.model, probe=True)
                return _serve(task, pod, laid, state, server, recorder)
            finally:
                server.stop()
                if recorder:
                    recorder.close()
        finally:
            probes.close()


def _where(address: str, task: ServeTask) -> Listen:
    return Listen(address, task.http_port, task.grpc_port, task.metrics_port)


def _listen(address: str, port: int, state: State) -> Readiness:
    try:
        return Readiness(address, port, state.ready, state.live)
    except OSError as error:
        raise JobError(Code.BAD_CONFIG, f"readyPort: {address}:{port} cannot be used ({error.strerror})") from None


def _serve(task: ServeTask, pod: Pod, laid: Laid, state: State, server: Server, recorder: Recorder | None) -> Report:
    started = time.monotonic()
    pod.progress(Progress(stage="loading"))
    assert state.client is not None
    if not _loaded(pod, state.client, server, laid):
        return Report(verb="serve", code=Code.PREEMPTED, message="Asked to stop before the model was loaded")
    check_first(state.client, laid)
    p50, p95 = np.percentile(state.client.times(1), [50, 95])
    load = time.monotonic() - started
    facts = {"loadSeconds": round(load, 3), "p50Ms": round(float(p50), 3), "p95Ms": round(float(p95), 3)}
    if recorder:
        recorder.start()
    state.why_not = ""
    pod.progress(Progress(stage="ready", metrics=facts))
    while not pod.wait(LOOK_SECONDS):
        if not server.alive:
            raise JobError(Code.CRASHED, f"Triton ended by {server.process.returncode}: {server.why()}")
    return _drain(task, pod, state, server)


def _loaded(pod: Pod, client: Client, server: Server, laid: Laid) -> bool:
    """Wait until the model is loaded; False when asked to stop before. Raises JobError with Triton's own words."""
    until = time.monotonic() + LOAD_SECONDS
    while not client.ready():
        if not server.alive:
            raise _refused(laid, server)
        if time.monotonic() > until:
            raise JobError(Code.STALLED, f"Triton did not load {laid.model} in {LOAD_SECONDS} s: {server.why()}")
        if pod.wait(LOOK_SECONDS):
            return False
    return True


def _refused(laid: Laid, server: Server) -> JobError:
    """Tell a port that is taken from a model that cannot be loaded."""
    why = server.why()
    if "in use" in why or "failed to start" in why:
        return JobError(Code.BAD_CONFIG, f"Triton cannot listen: {why}; choose other ports")
    return JobError(Code.BAD_DATA, f"Triton refused {laid.model} version {laid.version}: {why}")


def check_first(client: Client, laid: Laid) -> None:
    """Compare the first generation with the engine's own. Raises JobError(OUT_OF_TOLERANCE)."""
    seeds, expected = (np.load(laid.home / f"golden-{n}.npy", allow_pickle=False) for n in ("seed", "sample"))
    try:
        got = client.generate(seeds)
    except Exception as error:  # a failing model answers with words of its own
        raise JobError(Code.OUT_OF_TOLERANCE, f"the first generation of {laid.model} failed: {error}") from None
    wrong = difference(got, expected, int(laid.spec["sample"].get("levels", 255)))
    if wrong:
        detail = f"the first generation of {laid.model} is not the engine's own: {wrong}"
        raise JobError(Code.OUT_OF_TOLERANCE, f"{detail}; build the engine again for this server")


def _drain(task: ServeTask, pod: Pod, state: State, server: Server) -> Report:
    """Say not ready, serve on while balancers notice, then let Triton finish what is in flight."""
    state.why_not = "stopping"
    pod.progress(Progress(stage="draining"))
    time.sleep(task.drain_seconds)
    ended = server.stop()
    if ended not in (0, -15):
        raise JobError(Code.CRASHED, f"Triton ended by {ended} when asked to stop: {server.why()}")
    return Report(verb="serve", code=Code.DONE, message="Asked to stop; all requests were finished")
