"""What the operator adds to a chain: the time from an idea to its server, without the time of the chain's own pods.

    make bench-chain        (or: python e2e/bench/chain.py --chains 5)

Real control plane and pods; what the pods do is nothing, so that the hand-overs are what is measured. Every moment is
that at which a watch told of it, by one clock. Prints a table; asserts nothing.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[1] / "support")]

import standin
from operators import Operator

from genops.core.kinds import DEPLOYMENT, GEN_MODEL, JOB, Kind
from genops.local.cluster import LocalCluster
from genops.local.state import Options
from genops.shell.kube import KubeApi

ROOT = Path(__file__).parents[2]
NAMESPACE = "bench-chain"
ROLES = ("prepare", "train", "evaluate", "optimize", "serve")
STEPS = ("asked", *(f"{role} {end}" for role in ROLES for end in ("made", "ended")), "Serving")
CHAIN_SECONDS = 300.0

Stamps = dict[str, float]


async def watch(api: KubeApi, kind: Kind, stamps: dict[str, Stamps]) -> None:
    """Stamp the first moment of each step of each chain, by the name that its objects begin with."""
    while True:
        async for event in api.watch(kind.path(NAMESPACE)):
            now, manifest = time.monotonic(), event["object"]
            if event["type"] in ("ADDED", "MODIFIED"):
                chain = stamps.setdefault(manifest["metadata"]["name"].partition("-")[0], {})
                for step in reached(kind, manifest):
                    chain.setdefault(step, now)


def reached(kind: Kind, manifest: dict[str, Any]) -> list[str]:
    """Name the steps that an object has come to."""
    status = manifest.get("status") or {}
    if kind == GEN_MODEL:
        return ["Serving"] if status.get("phase") == "Serving" else []
    role = manifest["metadata"]["labels"]["genops.dev/role"]
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    ended = conditions.get("Complete") == "True" or status.get("availableReplicas", 0) > 0
    return [f"{role} made", *([f"{role} ended"] if ended else [])]


async def chains(cluster: LocalCluster, count: int) -> list[Stamps]:
    """Run one chain after another."""
    stamps: dict[str, Stamps] = {}
    api = await KubeApi.connect(cluster.kubeconfig, user_agent="bench")
    watches = [asyncio.create_task(watch(api, kind, stamps)) for kind in (JOB, DEPLOYMENT, GEN_MODEL)]
    for number in range(count + 1):  # the first warms everything up and is not counted
        chain = stamps.setdefault(f"m{number}", {})
        chain["asked"] = time.monotonic()
        await api.call("POST", GEN_MODEL.path(NAMESPACE), body=json.loads(standin.model(f"m{number}")))
        async with asyncio.timeout(CHAIN_SECONDS):
            while "Serving" not in chain:
                await asyncio.sleep(0.02)
    for task in watches:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await api.close()
    return [stamps[f"m{number}"] for number in range(1, count + 1)]


def table(found: list[Stamps]) -> str:
    """Write the median time between each step and the next, as Markdown; what the operator does stands first."""
    spans = {pair: statistics.median(s[pair[1]] - s[pair[0]] for s in found) for pair in pairs()}
    lines = ["| From | To | Median |", "|---|---|---|"]
    lines += [f"| {a} | {b} | {spans[a, b]:.2f} s |" for a, b in pairs() if hands_over(a, b)]
    overheads = sorted(overhead(s) for s in found)
    wholes = [s["Serving"] - s["asked"] for s in found]
    lines.append(f"| **All of these** | | **{statistics.median(overheads):.2f} s** (most {overheads[-1]:.2f} s) |")
    lines.append(f"| The whole chain, with its pods | | {statistics.median(wholes):.2f} s |")
    return "\n".join(lines)


def pairs() -> list[tuple[str, str]]:
    """Each step with the one after it."""
    return list(pairwise(STEPS))


def hands_over(a: str, b: str) -> bool:
    """Say whether what passes between two steps is the operator's time, and not that of a Job or a server."""
    return not (a.endswith(" made") and b.endswith(" ended"))


def overhead(stamps: Stamps) -> float:
    """The time of a chain without that of its pods."""
    return sum(stamps[b] - stamps[a] for a, b in pairs() if hands_over(a, b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = {standin.IMAGE: standin.image(folder / "image")}
        with LocalCluster(folder / "cluster", Options(cpus=32, images=images)) as cluster:
            cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
            cluster.kubectl("create", "namespace", NAMESPACE)
            with Operator(cluster.kubeconfig, NAMESPACE, folder, **standin.SETTINGS):
                print(table(asyncio.run(chains(cluster, args.chains))))


if __name__ == "__main__":
    main()
