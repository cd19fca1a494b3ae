"""A canary under load on a real API server, Triton and Prometheus: promoted, held, and taken back; no request is lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from monitoring import Monitor, free_port, prometheus, serves
from operators import until
from places import SMALL, Place, a_place, a_serving_cluster, said, train_digits
from traffic import Traffic, targets

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

ERRORS = {"name": "errors", "builtin": "errorRate", "op": "<=", "threshold": 0.01, "intervalSeconds": 1}
SLOW = {"name": "slow", "builtin": "latencyP95", "op": "<=", "threshold": 60000, "intervalSeconds": 1}
KINDS = "gendeployment"


def spec(instances: int, *metrics: dict[str, Any], seconds: int = 3) -> dict[str, Any]:
    """A GenDeployment; another count of instances is another version. `seconds` is the time of a step."""
    steps = [{"weight": weight, "seconds": seconds} for weight in (20, 50)]
    return {
        "model": {"trainingJobRef": {"name": "digits"}},
        "optimize": {"targets": ["onnx"], "shapes": {"batchSizes": [1, 8]}, "resources": SMALL},
        "server": {"resources": SMALL, "instances": instances},
        "rollout": {"strategy": "Canary", "steps": steps, "metrics": list(metrics)},
    }


@dataclass
class Watched:
    """A served model, its monitor and its clients."""

    place: Place
    monitor: Monitor
    traffic: Traffic

    def status(self) -> dict[str, Any]:
        return self.place.status(KINDS, "front")

    def roll(self, instances: int, *metrics: dict[str, Any], seconds: int = 3) -> str:
        """Ask for another version. Returns the engine digest of the one that answers."""
        before = str(self.status()["stable"]["engineDigest"])
        self.place.make("GenDeployment", "front", spec(instances, *metrics, seconds=seconds))
        return before

    def until(self, what: str, holds: Any, seconds: float = 300) -> dict[str, Any]:
        """Wait until the status is as it should be, and return it."""

        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if holds(status) else None

        return dict(until(look, seconds, lambda: f"{what}: {self.status()}\n{self.place.operator.tail()}", every=0.3))

    def servers(self) -> list[dict[str, Any]]:
        return self.place.list("deployments", "-l", "genops.dev/owner-name=front")


@contextmanager
def a_monitor(place: Place, folder: Path, address: str) -> Iterator[Monitor]:
    with serves(lambda: targets(place), "application/json") as page:
        job = {"job_name": "pods", "http_sd_configs": [{"url": f"http://{page}", "refresh_interval": "2s"}]}
        with prometheus(folder, job, port=int(address.rsplit(":", 1)[1])) as monitor:
            yield monitor


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, address = tmp_path_factory.mktemp("canary"), f"http://127.0.0.1:{free_port()}"
    with a_serving_cluster() as cluster, a_place(cluster, folder, GENOPS_PROMETHEUS=address) as place:
        train_digits(place)
        place.make("GenDeployment", "front", spec(1))
        place.phase(KINDS, "front", "Serving")
        with (
            a_monitor(place, folder / "monitor", address) as monitor,
            Traffic(place, "front", list(range(10))) as traffic,
        ):
            yield Watched(place, monitor, traffic)


def at(step: int) -> Any:
    return lambda status: status.get("canary", {}).get("step") == step


def serving(status: dict[str, Any], but: str) -> bool:
    return status["phase"] == "Serving" and status["stable"]["engineDigest"] != but


def test_a_good_version_is_promoted_though_prometheus_hangs_and_the_operator_dies(watched: Watched) -> None:
    watched.monitor.pause()
    try:
        before = watched.roll(2, ERRORS, SLOW)
        status = watched.until("a first step", at(0))
        assert (status["canary"]["weight"], status["stable"]["engineDigest"]) == (50, before), "one server beside one"
        chosen = watched.place.get("service", "front-serve")["spec"]["selector"]
        assert "genops.dev/version" not in chosen, "requests reach both"
        waits = watched.until("silence to be said", lambda s: said(s, "Progressing")["reason"] == "AnalysisUnknown")
        watched.place.operator.kill()
        time.sleep(5)
        watched.place.operator.start()
        time.sleep(5)
        held = watched.status()
        assert held["canary"]["step"] == waits["canary"]["step"], "what is not known promotes nothing"
        assert (held["stable"]["engineDigest"], len(watched.servers())) == (before, 2)
    finally:
        watched.monitor.go_on()
    watched.until("the new version to answer alone", lambda s: serving(s, before))
    until(lambda: len(watched.servers()) == 1, 60, "the old server to go")
    assert watched.traffic.failures == []


def test_a_slow_version_goes_back_by_itself_and_is_not_tried_again(watched: Watched) -> None:
    before = watched.roll(3, ERRORS, {**SLOW, "threshold": 0.001})
    status = watched.until("the way back", lambda s: said(s, "RolledBack").get("status") == "True")
    assert status["stable"]["engineDigest"] == before
    assert "slow" in said(status, "RolledBack")["message"]
    assert (status["phase"], len(status["quarantined"])) == ("Degraded", 1)
    until(lambda: len(watched.servers()) == 1, 30, "the new server to go")
    assert watched.traffic.failures == []
    time.sleep(3)
    assert watched.status()["stable"]["engineDigest"] == before


def test_a_version_that_crashes_goes_back_and_costs_no_more_than_its_share(watched: Watched) -> None:
    before = watched.roll(4, ERRORS, seconds=600)
    status = watched.until("a first step", at(0))
    answered, failed = watched.traffic.answered, len(watched.traffic.failures)
    new = next(s for s in watched.servers() if status["canary"]["engineDigest"] in str(s["metadata"]["annotations"]))
    version = new["metadata"]["labels"]["genops.dev/version"]
    killed = time.time()
    kill_triton(watched.place, version)
    status = watched.until("the way back", lambda s: said(s, "RolledBack").get("status") == "True", 30)
    assert status["stable"]["engineDigest"] == before
    until(lambda: len(watched.servers()) == 1, 30, "the new server to go")
    lost = len(watched.traffic.failures) - failed
    assert lost <= 0.5 * (watched.traffic.answered - answered) + 1
    ended = max((when for when, _ in watched.traffic.failures), default=killed)
    assert ended - killed <= 30


def kill_triton(place: Place, version: str) -> None:
    """End the Triton of a version as a fault of its own would: SIGSEGV."""
    pod = place.list("pods", "-l", f"genops.dev/version={version}")[0]
    address = f"--http-address={pod['status']['podIP']}"
    mine = [p for p in Path("/proc").glob("[0-9]*") if address in _words(p)]
    assert mine, f"no tritonserver at {address}"
    for process in mine:
        os.kill(int(process.name), signal.SIGSEGV)


def _words(process: Path) -> list[str]:
    """The command line of a process, which may have ended by now."""
    try:
        return (process / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def test_at_the_end_it_serves_on(watched: Watched) -> None:
    answered = watched.traffic.answered
    until(lambda: watched.traffic.answered > answered + 20, 60, "more answers")
