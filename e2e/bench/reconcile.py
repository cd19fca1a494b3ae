"""How fast the operator is, and what it costs: from apply to Job for 1, 100 and 2,000 objects.

    make bench        (or: python e2e/bench/reconcile.py --objects 1 100)

A private control plane on this machine; the node takes no pods, so that only operator and control plane work. Prints a
table; asserts nothing. The time of an object goes from the request that creates it to its Job on a watch, by one
clock.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / "support")]

from operators import Operator, quick_dataset, until

from genops.core.kinds import GEN_DATASET
from genops.local import programs
from genops.local.cluster import LocalCluster
from genops.shell.kube import KubeApi

ROOT = Path(__file__).parents[2]


class Arrivals(threading.Thread):
    """Stamps when the Job of each object was first seen on a watch."""

    def __init__(self, cluster: LocalCluster, namespace: str) -> None:
        super().__init__(daemon=True)
        shape = "jsonpath={.metadata.ownerReferences[0].name}{'\\n'}"
        self._command = [programs.kubectl(), "--kubeconfig", cluster.kubeconfig]
        self._command += ["get", "jobs", "-n", namespace, "--watch", "-o", shape]
        self.jobs: dict[str, float] = {}
        self.start()

    def run(self) -> None:
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                now, owner = time.monotonic(), line.strip()
                if owner:
                    self.jobs.setdefault(owner, now)


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return (int(fields[11]) + int(fields[12])) / 100, int(resident.split()[1]) / 1024


def calls(operator: Operator) -> float:
    return sum(v for k, v in operator.metrics().items() if k.startswith("genops_api_requests_total"))


def measure(cluster: LocalCluster, count: int, folder: Path) -> dict[str, Any]:
    """Create `count` objects at once and wait for their Jobs."""
    namespace = f"bench-{count}"
    cluster.kubectl("create", "namespace", namespace)
    arrivals = Arrivals(cluster, namespace)
    (folder / namespace).mkdir()
    with Operator(cluster.kubeconfig, namespace, folder / namespace) as operator:
        create(cluster, namespace, ["warm"])
        until(lambda: "warm" in arrivals.jobs, 60, "the first Job")
        time.sleep(1)
        names = [f"d{i:05d}" for i in range(count)]
        cpu, _ = usage(operator.pid)
        before, started = calls(operator), time.monotonic()
        applied = create(cluster, namespace, names)
        until(lambda: all(n in arrivals.jobs for n in names), 600, lambda: f"{len(arrivals.jobs)} Jobs of {count}")
        seconds = max(arrivals.jobs[n] for n in names) - started
        until(lambda: operator.metrics()["genops_queue_depth"] == 0, 120, "an empty queue")
        time.sleep(1)
        cpu_after, resident = usage(operator.pid)
        made = calls(operator) - before
    times = sorted(arrivals.jobs[n] - applied[n] for n in names)
    return {
        "objects": count,
        "p50 s": round(statistics.median(times), 3),
        "p95 s": round(times[max(0, int(len(times) * 0.95) - 1)], 3),
        "all s": round(seconds, 2),
        "objects/s": round(count / seconds, 1),
        "CPU s": round(cpu_after - cpu, 2),
        "RSS MiB": round(resident, 1),
        "calls/object to Job": round(made / count, 2),
    }


def life(cluster: LocalCluster, count: int, folder: Path) -> float:
    """API calls per object from creation to Ready, with real pods."""
    namespace = "bench-life"
    cluster.kubectl("create", "namespace", namespace)
    (folder / namespace).mkdir()
    with Operator(cluster.kubeconfig, namespace, folder / namespace) as operator:
        before = calls(operator)
        create(cluster, namespace, [f"d{i}" for i in range(count)])

        def ready() -> bool:
            shape = "jsonpath={.items[*].status.phase}"
            return cluster.kubectl("get", "gendatasets", "-n", namespace, "-o", shape).split().count("Ready") == count

        until(ready, 300, "all to be Ready", every=0.5)
        leases = sum(
            v
            for k, v in operator.metrics().items()
            if k.startswith("genops_api_requests_total") and 'verb="update"' in k
        )
        return (calls(operator) - before - 2 * leases) / count


def create(cluster: LocalCluster, namespace: str, names: list[str]) -> dict[str, float]:
    """Create all at once, over 32 connections: faster than the operator, so that it is what is measured.

    Returns when each was asked for.
    """
    asked: dict[str, float] = {}

    async def go() -> None:
        api = await KubeApi.connect(cluster.kubeconfig, user_agent="bench")
        limit = asyncio.Semaphore(32)

        async def one(name: str) -> None:
            async with limit:
                asked[name] = time.monotonic()
                await api.call("POST", GEN_DATASET.path(namespace), body=quick_dataset(name, namespace), timeout=120)

        await asyncio.gather(*(one(name) for name in names))
        await api.close()

    asyncio.run(go())
    return asked


def table(rows: list[dict[str, Any]]) -> str:
    """Print rows as a Markdown table."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([str(r[h]) for h in heads] for r in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 100, 2000])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LocalCluster(Path(folder) / "cluster") as cluster:
        cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        per_life = life(cluster, 20, Path(folder))
        cluster.kubectl("cordon", "local")
        rows = [measure(cluster, count, Path(folder)) for count in args.objects]
    print(table(rows))
    print(f"\nAPI calls per object life, creation to Ready: {per_life:.1f}")


if __name__ == "__main__":
    main()
