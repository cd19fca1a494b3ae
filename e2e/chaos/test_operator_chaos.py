"""The operator under faults: killed, cut off, lied to. Every object reaches its right end, with one Job each."""

import json
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from operators import Operator, quick_dataset, until
from proxy import Fault, FaultProxy, Policy, Request, no_faults

from genops.local.cluster import LocalCluster

OBJECTS = 50
END_SECONDS = 240.0


def create(cluster: LocalCluster, namespace: str, names: list[str], **spec: Any) -> None:
    objects = [quick_dataset(name, namespace, **spec) for name in names]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def items(cluster: LocalCluster, kind: str, namespace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("get", kind, "-n", namespace, "-o", "json"))["items"]
    return found


def phases(cluster: LocalCluster, namespace: str) -> Counter[str]:
    found = items(cluster, "gendatasets", namespace)
    return Counter((m.get("status") or {}).get("phase", "none") for m in found)


def wait_ready(cluster: LocalCluster, namespace: str, count: int, operator: Operator) -> None:
    def done() -> bool:
        return phases(cluster, namespace)["Ready"] == count

    what = lambda: f"{count} Ready, have {dict(phases(cluster, namespace))}\n{operator.tail()}"  # noqa: E731
    until(done, END_SECONDS, what, every=0.5)


def one_job_each(cluster: LocalCluster, namespace: str, names: list[str]) -> None:
    """One Job an object, made once, and none without an owner."""
    jobs = items(cluster, "jobs", namespace)
    owners = Counter(j["metadata"]["ownerReferences"][0]["name"] for j in jobs)
    assert owners == Counter(names)
    pods = Counter(p["metadata"]["labels"]["genops.dev/owner-name"] for p in items(cluster, "pods", namespace))
    assert pods == Counter(names), "a second pod would mean a second Job, or a retry"


def test_killed_at_twenty_random_moments_during_fifty_creations(
    cluster: LocalCluster, namespace: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [f"d{i:02d}" for i in range(OBJECTS)]
    create(cluster, namespace, names)
    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, namespace, tmp_path, GENOPS_LEADER_ELECTION="false")
        try:
            for _ in range(20):
                operator.start(ready=False)
                target = len(proxy.seen) + chance.randint(15, 60)
                until(
                    lambda t=target: len(proxy.seen) >= t or phases(cluster, namespace)["Ready"] == OBJECTS,
                    60,
                    "requests",
                    every=0.01,
                )
                operator.kill()
            operator.start()
            wait_ready(cluster, namespace, OBJECTS, operator)
            one_job_each(cluster, namespace, names)
        finally:
            operator.kill()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write_of_one_object(
    cluster: LocalCluster, namespace: str, tmp_path: Path, after: bool
) -> None:
    """SIGKILL at the n-th write, before it or after it took effect, for every n there is."""
    names: list[str] = []
    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, namespace, tmp_path, GENOPS_LEADER_ELECTION="false")
        while True:
            names.append(f"n{len(names) + 1}")
            operator.start()
            killing = _KillAt(len(proxy.writes) + len(names), after, operator)
            proxy.policy = killing
            create(cluster, namespace, names[-1:])
            until(partial(_killed_or_done, killing, cluster, namespace, len(names)), END_SECONDS, "a kill or an end")
            proxy.policy = no_faults
            if not killing.fired:
                break
            operator.start()
            wait_ready(cluster, namespace, len(names), operator)
            operator.kill()
        operator.kill()
        one_job_each(cluster, namespace, names)
    assert len(names) > 5, "creating, telling and finishing one object takes at least five writes"


class _KillAt:
    """A policy: at one write, the operator is killed."""

    def __init__(self, write: int, after: bool, operator: Operator) -> None:
        self.fired, self._write, self._after, self._operator = False, write, after, operator

    def __call__(self, request: Request) -> Fault | None:
        if request.write != self._write:
            return None
        self.fired = True
        return Fault(after=self._after, call=self._operator.kill)


def _killed_or_done(killing: _KillAt, cluster: LocalCluster, namespace: str, count: int) -> bool:
    return killing.fired or phases(cluster, namespace)["Ready"] == count


def _fifteen_percent(seed: int) -> Policy:
    chance = random.Random(seed)

    def policy(request: Request) -> Fault | None:
        if chance.random() >= 0.15:
            return None
        status = chance.choice([409, 429, 500, 504, None])
        return Fault(status=status, after=status in (504, None) and chance.random() < 0.5)

    return policy


def test_dropped_watches_and_fifteen_percent_of_requests_failing(
    cluster: LocalCluster, namespace: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    names = [f"d{i:02d}" for i in range(OBJECTS)]
    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        operator = Operator(proxy.kubeconfig, namespace, tmp_path, GENOPS_RESYNC_SECONDS="5")
        with operator:
            proxy.policy = _fifteen_percent(seed)
            for start in range(0, OBJECTS, 10):
                create(cluster, namespace, names[start : start + 10])
                until(
                    lambda s=start: phases(cluster, namespace)["Ready"] > s // 2, END_SECONDS, "half of what was asked"
                )
                proxy.drop_watches()
            proxy.policy = no_faults
            wait_ready(cluster, namespace, OBJECTS, operator)
            one_job_each(cluster, namespace, names)


def test_an_idle_cluster_of_200_objects_sees_no_write_in_three_resyncs(
    cluster: LocalCluster, namespace: str, tmp_path: Path
) -> None:
    names = [f"d{i:03d}" for i in range(200)]
    create(cluster, namespace, names, suspend=True)
    with FaultProxy(cluster.kubeconfig, tmp_path) as proxy:
        settings = {"GENOPS_RESYNC_SECONDS": "2", "GENOPS_LEADER_ELECTION": "false"}
        with Operator(proxy.kubeconfig, namespace, tmp_path, **settings) as operator:
            until(lambda: phases(cluster, namespace)["Suspended"] == 200, END_SECONDS, operator.tail)
            until(lambda: operator.metrics()["genops_queue_depth"] == 0, 30, "an empty queue")
            start, writes = len(proxy.seen), len(proxy.writes)

            def resyncs() -> int:
                lists = [r for r in proxy.seen[start:] if r.method == "GET" and r.path.endswith("/gendatasets")]
                return len(lists)

            until(lambda: resyncs() >= 4, 60, "three whole resyncs")
            assert proxy.writes[writes:] == []


def test_two_operators_and_a_frozen_leader(cluster: LocalCluster, namespace: str, tmp_path: Path) -> None:
    """SIGSTOP the leader until another leads, then let it go on: it writes nothing and ends."""
    import os
    import signal

    with FaultProxy(cluster.kubeconfig, tmp_path / "a") as proxy:
        (tmp_path / "b").mkdir()
        first = Operator(proxy.kubeconfig, namespace, tmp_path / "a", GENOPS_IDENTITY="first")
        second = Operator(cluster.kubeconfig, namespace, tmp_path / "b", GENOPS_IDENTITY="second")
        with first, second:
            assert first.metrics()["genops_leading"] == 1
            assert second.metrics()["genops_leading"] == 0
            os.kill(first.pid, signal.SIGSTOP)
            until(lambda: second.metrics()["genops_leading"] == 1, 60, "the second to lead")
            create(cluster, namespace, ["after"])
            writes = len(proxy.writes)
            os.kill(first.pid, signal.SIGCONT)
            wait_ready(cluster, namespace, 1, second)
            assert first._process is not None
            assert first._process.wait(timeout=60) == 1, (
                "a leader that lost its lease ends, to start anew as a follower"
            )
            late = [r for r in proxy.writes[writes:] if "/leases/" not in r.path]
            assert late == []
            one_job_each(cluster, namespace, ["after"])
