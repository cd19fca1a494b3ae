"""The operator under faults: killed, cut off, lied to. Every object reaches its right end, with one Job each."""

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from operators import Operator, quick_dataset, until
from proxy import Fault, FaultProxy, Policy, Request, no_faults

from genops.local.cluster import LocalCluster

OBJECTS = 50
END_SECONDS = 240.0
QUIET_SECONDS = 15.0


@dataclass(frozen=True)
class Scene:
    """One test's namespace, and what is true in it."""

    cluster: LocalCluster
    namespace: str

    def create(self, names: list[str], **spec: Any) -> None:
        objects = [quick_dataset(name, self.namespace, **spec) for name in names]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self.cluster.kubectl("apply", "-f", "-", stdin=text)

    def items(self, kind: str) -> list[dict[str, Any]]:
        return list(json.loads(self.cluster.kubectl("get", kind, "-n", self.namespace, "-o", "json"))["items"])

    def phases(self) -> Counter[str]:
        return Counter((m.get("status") or {}).get("phase", "none") for m in self.items("gendatasets"))

    def wait_ready(self, count: int, operator: Operator) -> None:
        def what() -> str:
            return f"{count} Ready, have {dict(self.phases())}\n{operator.tail()}"

        until(lambda: self.phases()["Ready"] == count, END_SECONDS, what, every=0.5)

    def one_job_each(self, names: list[str]) -> None:
        """One Job an object, and one pod a Job: a second pod would mean a second Job, or a retry."""
        owners = Counter(j["metadata"]["ownerReferences"][0]["name"] for j in self.items("jobs"))
        pods = Counter(p["metadata"]["labels"]["genops.dev/owner-name"] for p in self.items("pods"))
        assert owners == pods == Counter(names)


@pytest.fixture
def scene(crds: LocalCluster, namespace: Any) -> Scene:
    return Scene(crds, namespace.name)


def test_killed_at_twenty_random_moments_during_fifty_creations(scene: Scene, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [f"d{i:02d}" for i in range(OBJECTS)]
    scene.create(names)
    with FaultProxy(scene.cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, scene.namespace, tmp_path, GENOPS_LEADER_ELECTION="false")
        try:
            for _ in range(20):
                operator.start(ready=False)
                _until_request(proxy, len(proxy.seen) + chance.randint(15, 60))
                operator.kill()
            operator.start()
            scene.wait_ready(OBJECTS, operator)
            scene.one_job_each(names)
        finally:
            operator.kill()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write_of_one_object(scene: Scene, tmp_path: Path, after: bool) -> None:
    """SIGKILL at the n-th write, before it or after it took effect, for every n there is."""
    names: list[str] = []
    with FaultProxy(scene.cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, scene.namespace, tmp_path, GENOPS_LEADER_ELECTION="false")
        while True:
            names.append(f"n{len(names) + 1}")
            operator.start()
            killing = _KillAt(len(proxy.writes) + len(names), after, operator)
            proxy.policy = killing
            scene.create(names[-1:])
            until(partial(_killed_or_done, killing, scene, len(names)), END_SECONDS, "a kill or an end")
            proxy.policy = no_faults
            if not killing.fired:
                break
            operator.start()
            scene.wait_ready(len(names), operator)
            operator.kill()
        operator.kill()
        scene.one_job_each(names)
    assert len(names) > 4, "a Job, two statuses and an event are four writes at least"


def _until_request(proxy: FaultProxy, number: int) -> None:
    """Wait for the request of that number; where the operator has nothing to ask for, a quiet moment will do."""
    deadline = time.monotonic() + QUIET_SECONDS
    while len(proxy.seen) < number and time.monotonic() < deadline:
        time.sleep(0.01)


class _KillAt:
    """A policy: at one write, the operator is killed."""

    def __init__(self, write: int, after: bool, operator: Operator) -> None:
        self.fired, self._write, self._after, self._operator = False, write, after, operator

    def __call__(self, request: Request) -> Fault | None:
        if request.write != self._write:
            return None
        return Fault(after=self._after, call=self._kill)

    def _kill(self) -> None:
        """Say that it was done only once it is: the test starts the next operator then."""
        self._operator.kill()
        self.fired = True


def _killed_or_done(killing: _KillAt, scene: Scene, count: int) -> bool:
    return killing.fired or scene.phases()["Ready"] == count


def _fifteen_percent(seed: int) -> Policy:
    chance = random.Random(seed)

    def policy(request: Request) -> Fault | None:
        if chance.random() >= 0.15:
            return None
        status = chance.choice([409, 429, 500, 504, None])
        return Fault(status=status, after=status in (504, None) and chance.random() < 0.5)

    return policy


def test_dropped_watches_and_fifteen_percent_of_requests_failing(scene: Scene, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    names = [f"d{i:02d}" for i in range(OBJECTS)]
    with FaultProxy(scene.cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, scene.namespace, tmp_path, GENOPS_RESYNC_SECONDS="5")
        with operator:
            proxy.policy = _fifteen_percent(seed)
            for start in range(0, OBJECTS, 10):
                scene.create(names[start : start + 10])
                until(lambda s=start: scene.phases()["Ready"] > s // 2, END_SECONDS, "half of what was asked")
                proxy.drop_watches()
            proxy.policy = no_faults
            scene.wait_ready(OBJECTS, operator)
            scene.one_job_each(names)


def test_an_idle_cluster_of_200_objects_sees_no_write_in_three_resyncs(scene: Scene, tmp_path: Path) -> None:
    names = [f"d{i:03d}" for i in range(200)]
    scene.create(names, suspend=True)
    with FaultProxy(scene.cluster.kubeconfig, tmp_path) as proxy:
        settings = {"GENOPS_RESYNC_SECONDS": "2", "GENOPS_LEADER_ELECTION": "false"}
        with Operator(proxy.kubeconfig, scene.namespace, tmp_path, **settings) as operator:
            until(lambda: scene.phases()["Suspended"] == 200, END_SECONDS, operator.tail)
            until(lambda: operator.metrics()["genops_queue_depth"] == 0, 30, "an empty queue")
            start, writes = len(proxy.seen), len(proxy.writes)

            def resyncs() -> int:
                lists = [r for r in proxy.seen[start:] if r.method == "GET" and r.path.endswith("/gendatasets")]
                return len(lists)

            until(lambda: resyncs() >= 4, 60, "three whole resyncs")
            assert proxy.writes[writes:] == []


def test_two_operators_and_a_frozen_leader(scene: Scene, tmp_path: Path) -> None:
    """SIGSTOP the leader until another leads, then let it go on: it writes nothing and ends."""
    with FaultProxy(scene.cluster.kubeconfig, tmp_path / "a") as proxy:
        (tmp_path / "b").mkdir()
        first = Operator(proxy.kubeconfig, scene.namespace, tmp_path / "a", GENOPS_IDENTITY="first")
        second = Operator(scene.cluster.kubeconfig, scene.namespace, tmp_path / "b", GENOPS_IDENTITY="second")
        with first, second:
            assert first.metrics()["genops_leading"] == 1
            assert second.metrics()["genops_leading"] == 0
            os.kill(first.pid, signal.SIGSTOP)
            until(lambda: second.metrics()["genops_leading"] == 1, 60, "the second to lead")
            scene.create(["after"])
            writes = len(proxy.writes)
            os.kill(first.pid, signal.SIGCONT)
            scene.wait_ready(1, second)
            assert first._process is not None
            assert first._process.wait(timeout=60) == 1, (
                "a leader that lost its lease ends, to start anew as a follower"
            )
            late = [r for r in proxy.writes[writes:] if "/leases/" not in r.path]
            assert late == []
            scene.one_job_each(["after"])
