"""The operator dies while it writes, before a write or after it took effect, all along one chain from data to a server.

A share of the moments is drawn by a seed; `make chaos` takes every one: no write is then survived by the process that
made it, and the chain ends where an undisturbed one does, with each Job made once.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import standin
from operators import Operator, until
from places import Place
from proxy import Fault, FaultProxy, Request, no_faults

from genops.local.cluster import LocalCluster

pytestmark = pytest.mark.slow

SHARE = float(os.environ.get("GENOPS_CHAOS_SHARE", "0.1"))  # of the moments, about fifty in all
END_SECONDS = 1800.0 if SHARE > 0.5 else 300.0
OURS = "genmodels,gendatasets,gentrainingjobs,genevaluations,gendeployments"
CHILDREN = "jobs,deployments,services,persistentvolumeclaims,poddisruptionbudgets,networkpolicies,pods"


class Deadly:
    """A policy: some writes die with their process before they take effect, and once more, made anew, after it.

    `dead` says that the process has to be started again.
    """

    def __init__(self, chance: random.Random, kill: Callable[[], None]) -> None:
        self.dead = False
        self.kills: Counter[str] = Counter()
        self._chance, self._kill = chance, kill
        self._again = False  # the write that died comes again

    def __call__(self, request: Request) -> Fault | None:
        if not request.is_write or self.dead:
            return None
        after, self._again = self._again, False
        if not after and self._chance.random() >= SHARE:
            return None
        self._again = not after
        self.kills["after" if after else "before"] += 1
        return Fault(after=after, call=self._die)

    def _die(self) -> None:
        self._kill()
        self.dead = True


def ends(place: Place) -> dict[str, Any]:
    """Everything that a chain leaves, without what differs from one to the next: names, times, uids and digests."""
    found: dict[str, Any] = {}
    for m in place.list(f"{OURS},{CHILDREN}"):
        status = m.get("status") or {}
        if m["apiVersion"].startswith("genops.dev/"):
            said = sorted((c["type"], c["status"], c["reason"]) for c in status.get("conditions", ()))
            runs = [r["outcome"] for r in status.get("runs", ())]
            found[m["kind"]] = (status.get("phase"), status.get("verdict"), runs, said)
        else:
            role = m["metadata"]["labels"]["genops.dev/role"]
            found.setdefault(m["kind"], Counter())[role] += 1
    return found


def test_killed_at_the_writes_of_a_whole_chain(crds: LocalCluster, namespace: Any, tmp_path: Path) -> None:
    seed = int(os.environ.get("GENOPS_CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}, share {SHARE}")
    calm = f"{namespace.name}-calm"
    crds.kubectl("create", "namespace", calm)
    try:
        wanted = _undisturbed(crds, calm, tmp_path / "calm")
    finally:
        crds.kubectl("delete", "namespace", calm, "--wait=false")
    kills = _disturbed(crds, namespace.name, tmp_path, random.Random(seed), wanted)
    print(f"killed {kills['before']} times before a write and {kills['after']} times after it")
    assert kills.total() > 0, "a share of the moments was to be hit"


def _undisturbed(cluster: LocalCluster, name: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    operator = Operator(cluster.kubeconfig, name, folder, **standin.SETTINGS)
    place = Place(cluster, name, operator)
    with operator:
        place.kubectl("apply", "-f", "-", stdin=standin.model("idea"))
        place.phase("genmodel", "idea", "Serving", seconds=END_SECONDS)
        until(lambda: operator.metrics()["genops_queue_depth"] == 0, 30, "an empty queue")
    found = ends(place)
    assert set(found["Job"].values()) == set(found["Pod"].values()) == {1}, "one Job for each step, one pod each"
    return found


def _disturbed(
    cluster: LocalCluster, name: str, folder: Path, chance: random.Random, wanted: dict[str, Any]
) -> Counter[str]:
    """Let the operator die until the chain has come to the end of an undisturbed one."""
    with FaultProxy(cluster.kubeconfig, folder) as proxy:
        operator = Operator(proxy.kubeconfig, name, folder, GENOPS_LEADER_ELECTION="false", **standin.SETTINGS)
        place = Place(cluster, name, operator)
        deadly = Deadly(chance, operator.kill)
        proxy.policy = deadly
        place.kubectl("apply", "-f", "-", stdin=standin.model("idea"))
        operator.start(ready=False)

        def there() -> bool:
            if deadly.dead:
                operator.start(ready=False)
                deadly.dead = False
            return ends(place) == wanted

        try:
            until(there, END_SECONDS, lambda: f"{wanted},\nhave {ends(place)}\n{operator.tail()}", every=0.3)
        finally:
            proxy.policy = no_faults
            if not deadly.dead:
                operator.kill()
        return deadly.kills
