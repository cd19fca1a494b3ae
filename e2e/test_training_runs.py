"""Training on the real cluster: digits become weights, and no interruption shows in them."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROLE = "genops.dev/role=train"
PATIENCE = 420.0
# Long enough that a run is still under way when a status of five seconds ago says so, on a fast machine too.
STEPS, STEPS_OF_TWO = 3000, 1000
DIGITS = {
    "apiVersion": "genops.dev/v1alpha1",
    "kind": "GenDataset",
    "metadata": {"name": "digits"},
    "spec": {"source": {"builtin": {"name": "digits"}}, "format": "images"},
}


def a_run(name: str, steps: int, **spec: Any) -> dict[str, Any]:
    dials = {"steps": steps, "batch": 32, "threads": 1, "warmup": 10}
    return {
        "apiVersion": "genops.dev/v1alpha1",
        "kind": "GenTrainingJob",
        "metadata": {"name": name},
        "spec": {
            "datasetRef": {"name": "digits"},
            "family": "flow",
            "hyperparameters": dials,
            "checkpoint": {"everySeconds": 3},
            "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}},
            "template": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
            **spec,
        },
    }


class Runs:
    """The runs of one namespace, and what may happen to them."""

    def __init__(self, namespace: Any, eventually: Any) -> None:
        self.namespace, self.eventually = namespace, eventually

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.namespace.get("gentrainingjob", name).get("status") or {})

    def until(self, name: str, what: str, holds: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def look() -> bool:
            seen.clear()
            seen.update(self.status(name))
            assert seen.get("phase") != "Failed" or what == "Failed", seen
            return bool(holds(seen))

        self.eventually(look, f"{name}: {what}", PATIENCE)
        return seen

    def phase(self, name: str, phase: str) -> dict[str, Any]:
        return self.until(name, phase, lambda s: s.get("phase") == phase)

    def past(self, name: str, step: int) -> dict[str, Any]:
        """Wait until the status says that a step was passed and that one is saved."""
        return self.until(
            name,
            f"past step {step}",
            lambda s: s.get("progress", {}).get("step", 0) > step and s["checkpoint"]["step"] > 0,
        )

    def pods(self, name: str) -> list[dict[str, Any]]:
        return list(self.namespace.list("pods", "-l", f"{ROLE},genops.dev/owner-name={name}"))

    def running(self, name: str) -> list[str]:
        return sorted(p["metadata"]["name"] for p in self.pods(name) if p["status"].get("phase") == "Running")

    def set(self, name: str, **spec: Any) -> None:
        import json

        self.namespace.kubectl("patch", "gentrainingjob", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def kill(self, pod: str) -> None:
        """SIGKILL every trainer process of a pod, as a kernel without memory would."""
        owner = self.namespace.get("pod", pod)["spec"].get("hostname", pod)
        found = [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_trainer(p, owner)]
        assert found, f"no trainer of {pod} runs"
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_trainer(pid: int, hostname: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return f"HOSTNAME={hostname}".encode() in environment
    except OSError:
        return False


def loss(status: dict[str, Any]) -> float:
    return float(next(m["value"] for m in status["metrics"] if m["name"] == "loss"))


@pytest.fixture
def runs(operator: Any, namespace: Any, eventually: Any) -> Runs:
    namespace.apply(DIGITS)
    return Runs(namespace, eventually)


def test_a_run_that_is_suspended_and_killed_ends_like_one_that_was_left_alone(runs: Runs) -> None:
    runs.namespace.apply(a_run("plain", STEPS), a_run("disturbed", STEPS))
    runs.past("disturbed", 5)
    runs.set("disturbed", suspend=True)
    held = runs.phase("disturbed", "Suspended")
    assert held["conditions"]
    runs.eventually(lambda: not runs.running("disturbed"), "the pod saves and ends", PATIENCE)
    runs.set("disturbed", suspend=False)
    resumed = runs.past("disturbed", held["progress"]["step"])
    (pod,) = runs.running("disturbed")
    runs.kill(pod)
    killed = runs.until("disturbed", "the kill is told", lambda s: s.get("lastFailure", {}).get("exitCode") == 137)
    assert killed["lastFailure"]["pod"] == pod
    end, plain = runs.phase("disturbed", "Succeeded"), runs.phase("plain", "Succeeded")
    assert end["attempts"] >= 2
    assert end["checkpoint"]["step"] == STEPS > resumed["checkpoint"]["step"] > 0
    assert abs(loss(end) - loss(plain)) <= 1e-6
    assert end["output"]["digest"] == plain["output"]["digest"], "the weights are the same to the last bit"
    assert plain["progress"]["percent"] == 100
    assert plain["inputs"]["datasetDigest"] == runs.namespace.get("gendataset", "digits")["status"]["digest"]
    assert float(plain["usage"]["cpuSeconds"]) > 1


def test_two_nodes_of_which_one_is_killed_end_like_two_that_were_left_alone(runs: Runs) -> None:
    runs.namespace.apply(a_run("plain", STEPS_OF_TWO, nodes=2))
    plain = runs.phase("plain", "Succeeded")
    runs.namespace.apply(a_run("disturbed", STEPS_OF_TWO, nodes=2))
    saved = runs.past("disturbed", 5)
    first, second = runs.running("disturbed")
    runs.kill(second)
    runs.eventually(lambda: not {first, second} & set(runs.running("disturbed")), "both pods end", PATIENCE)
    end = runs.phase("disturbed", "Succeeded")
    assert saved["checkpoint"]["step"] < STEPS_OF_TWO
    assert end["attempts"] >= 2
    assert abs(loss(end) - loss(plain)) <= 1e-6
    assert end["output"]["digest"] == plain["output"]["digest"], "the weights are the same to the last bit"


def test_a_search_keeps_the_best_of_its_trials(runs: Runs) -> None:
    parameters = [{"name": "lr", "values": ["1e-6", "2e-3"]}]
    search = {"metric": "loss", "algorithm": "grid", "parameters": parameters, "trials": 2, "parallel": 2}
    runs.namespace.apply(a_run("searched", 40, search=search))
    end = runs.phase("searched", "Succeeded")
    assert [t["phase"] for t in end["search"]["trials"]] == ["Succeeded", "Succeeded"]
    assert end["search"]["best"]["parameters"] == {"lr": "2e-3"}
    assert end["output"]["digest"].startswith("sha256:")
    assert float(end["search"]["best"]["value"]) == loss(end)


def test_a_dataset_that_comes_late_starts_the_run(runs: Runs) -> None:
    late = a_run("late", 5) | {"spec": {**a_run("late", 5)["spec"], "datasetRef": {"name": "later"}}}
    runs.namespace.apply(late)
    waiting = runs.until("late", "it waits", lambda s: s.get("phase") == "Pending")
    resolved = next(c for c in waiting["conditions"] if c["type"] == "InputsResolved")
    assert (resolved["status"], resolved["reason"]) == ("False", "WaitingForReference")
    assert runs.namespace.list("jobs", "-l", ROLE) == []
    runs.namespace.apply({**DIGITS, "metadata": {"name": "later"}})
    runs.phase("late", "Succeeded")
