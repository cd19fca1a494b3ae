"""What Triton costs: samples per second through the server against the same engine in this process, at batch 1 and 16.

    make bench-serving        (or: python -P e2e/bench/serving.py --seconds 10)

In-process runs and served runs take turns in one session. Served requests come by gRPC from clients in threads of this
process, so they share the machine with the server. On a machine that does other work, too, the medians of the waits
say more than the rates. Prints a table; asserts nothing.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path += [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2] / "tests/support")]

from served import Served, serving
from tiny_engines import a_model, an_engine

from gentrainers.serving.backend import engine as engines
from gentrainers.serving.client import Client

ROUNDS = 5


def in_process(engine: engines.Engine, batch: int, seconds: float) -> tuple[float, list[float]]:
    """Return samples per second of one caller, and the milliseconds of its calls."""
    times, started = list[float](), time.perf_counter()
    while time.perf_counter() < started + seconds:
        before = time.perf_counter()
        engine.generate(range(len(times), len(times) + batch))
        times.append(1000 * (time.perf_counter() - before))
    return batch * len(times) / (time.perf_counter() - started), times


def through_triton(served: Served, batch: int, seconds: float, clients: int) -> tuple[float, list[float]]:
    """Return samples per second of all clients together, and the milliseconds of their requests."""
    counts, times = [0] * clients, list[float]()
    started = time.perf_counter()

    def ask(place: int) -> None:
        client = Client(f"{served.address}:{served.task.grpc_port}", "generator")
        seeds = np.arange(batch, dtype=np.int64).reshape(-1, 1)
        while time.perf_counter() < started + seconds:
            before = time.perf_counter()
            client.generate(seeds + counts[place])
            times.append(1000 * (time.perf_counter() - before))
            counts[place] += batch
        client.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started), times


def compare(engine: engines.Engine, served: Served, batch: int, seconds: float, clients: int) -> str:
    """Take turns, and write one row of the table."""
    own, triton = list[tuple[float, list[float]]](), list[tuple[float, list[float]]]()
    for _ in range(ROUNDS):
        own.append(in_process(engine, batch, seconds / ROUNDS))
        triton.append(through_triton(served, batch, seconds / ROUNDS, clients))
    mine, theirs = (statistics.median(rate for rate, _ in turns) for turns in (own, triton))
    own_times, times = ([t for _, each in turns for t in each] for turns in (own, triton))
    waits = [np.percentile(own_times, 50), *np.percentile(times, [50, 95])]
    numbers = f"{mine:.0f} | {theirs:.0f} | {theirs / mine:.1%} | {waits[0]:.2f} | {waits[1]:.2f} | {waits[2]:.2f}"
    return f"| {batch} | {clients} | {numbers} |"


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each kind, per row")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--instances", type=int, default=1, help="of the model in Triton, one thread each")
    args = parser.parse_args()
    dials: dict[str, Any] = {"width": args.width, "depth": 3, "sampleSteps": args.steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = an_engine(
            folder, model=a_model(folder / "model", **dials), batch_sizes=[1, 16], server={"instances": args.instances}
        )
        engine = engines.load(Path(built.uri) / "generator/1", threads=1)
        with serving(built, folder / "served") as served:
            served.wait_ready()
            print("| batch | clients | in process /s | Triton /s | ratio | in process p50 ms | p50 ms | p95 ms |")
            print("|---" * 8 + "|")
            for batch, clients in ((1, 1), (1, 2), (1, 8), (16, 1), (16, 2)):
                print(compare(engine, served, batch, args.seconds, clients), flush=True)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
