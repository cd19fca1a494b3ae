"""How fast each engine is: eager, torch.compile, and every runtime that can be built here, for two models.

    make bench-engines        (or: python -P e2e/bench/engines.py --models digits --threads 1)

Both models have random weights, on which speed does not depend. All engines of a model are timed in one run, one batch
of each after the other, so that what else the machine does weighs on all alike; a row says the median and its ratio to
eager. Prints a table and writes it as JSON where --json says; asserts nothing.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gencontract.report import EngineReport
from gencontract.task import Input, OptimizeTask
from gentrainers import exporters
from gentrainers.exporters import _check as check
from gentrainers.exporters._attempt import Candidate, attempt
from gentrainers.exporters._subject import Subject, host, subject_of
from gentrainers.families import DataShape, configure, family

MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "digits": ({"height": 8, "width": 8, "channels": 1, "levels": 16, "classes": [str(n) for n in range(10)]}, {}),
    "unet32": (
        {"height": 32, "width": 32, "channels": 3},
        {"net": "unet", "width": 64, "depth": 1, "sampleSteps": 2},
    ),
}
TARGETS = ("onnx", "torchscript", "tvm", "torch", "tensorrt-rtx", "tensorrt")
BATCHES = (1, 16)
SECONDS = 20.0  # of timing per batch size


@dataclass
class Row:
    """One engine, and the milliseconds of each batch by batch size."""

    name: str
    run: Callable[[list[Any]], Any]
    report: EngineReport
    size: int
    times: dict[int, list[float]]

    def median(self, batch: int) -> float:
        return statistics.median(self.times[batch])


def a_generation(name: str) -> tuple[Any, DataShape]:
    """Make a model with random weights."""
    torch.manual_seed(0)
    data, dials = MODELS[name]
    shape = DataShape(format="images", **data)
    kind = family("flow")
    made = kind(configure(kind, "xs", dials), shape)
    nets = made.build()
    for net in nets.values():
        net.eval().requires_grad_(False)
        for weights in net.parameters():  # fresh nets end in zeros, and would show no error
            torch.nn.init.normal_(weights, std=0.05)
    return made.generation(nets).eval(), shape


def rows_of(subject: Subject, scratch: Path, targets: list[str]) -> tuple[list[Row], list[EngineReport]]:
    """Build all engines; return those that run here, and what there is to say of those that do not."""
    generation = subject.generation
    compiled = torch.compile(generation, dynamic=False)
    rows = [
        Row("eager", lambda x: check.eager(generation, x), EngineReport(target="eager"), 0, {}),
        Row("torch.compile", lambda x: check.eager(compiled, x), EngineReport(target="torch.compile"), 0, {}),
    ]
    rest = []
    for target in targets:
        print(f"building {target}", file=sys.stderr, flush=True)
        candidate = attempt(subject, target, scratch / target)
        if candidate.good and candidate.engine:
            rows.append(Row(target, candidate.engine.raw, candidate.report, size_of(candidate), {}))
        else:
            rest.append(candidate.report.model_copy(update={"reason": said(candidate)}))
    return rows, rest


def size_of(candidate: Candidate) -> int:
    """Return the bytes of an engine's files."""
    assert candidate.folder is not None
    return sum(p.stat().st_size for p in candidate.folder.iterdir() if p.name != "manifest.json")


def said(candidate: Candidate) -> str:
    size = f"{size_of(candidate) / 1e6:.2f} MB; " if candidate.folder else ""
    return size + candidate.report.reason


def time_all(rows: list[Row], subject: Subject, seconds: float) -> None:
    """Time one batch of each in turn until the seconds are over, at least 10 rounds."""
    for batch in BATCHES:
        inputs = subject.drawer.inputs(range(batch), {})
        for row in rows:
            row.times[batch] = []
            for _ in range(3):
                row.run(inputs)
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(rows[0].times[batch]) < 10:
            for row in rows:
                started = time.perf_counter()
                row.run(inputs)
                row.times[batch].append(1000 * (time.perf_counter() - started))


def table(name: str, rows: list[Row], rest: list[EngineReport]) -> tuple[list[str], list[dict[str, Any]]]:
    """Write the rows for people, and for programs."""
    out, data = (
        [f"| {name} | p50 b1 ms | x eager | p50 b16 ms | x eager | error | build s | MB |", "|---" * 8 + "|"],
        [],
    )
    eager = rows[0]
    for row in rows:
        first, last = ((row.median(b), eager.median(b) / row.median(b)) for b in BATCHES)
        error = "" if row.report.max_abs_error is None else f"{row.report.max_abs_error:.1e}"
        build = "" if row.report.build_seconds is None else f"{row.report.build_seconds:.1f}"
        size = f"{row.size / 1e6:.2f}" if row.size else ""
        numbers = f"{first[0]:.2f} | {first[1]:.2f} | {last[0]:.2f} | {last[1]:.2f}"
        out.append(f"| {row.name} | {numbers} | {error} | {build} | {size} |")
        data.append(
            {"engine": row.name, "p50_1": first[0], "ratio_1": first[1], "p50_16": last[0], "ratio_16": last[1]}
        )
    for report in rest:
        build = "" if report.build_seconds is None else f"{report.build_seconds:.1f}"
        out.append(f"| {report.target} | not run here: {report.reason} | | | | | {build} | |")
        data.append({"engine": report.target, "reason": report.reason, "build_seconds": report.build_seconds})
    return out, data


def bench(name: str, targets: list[str], seconds: float) -> dict[str, Any]:
    """Build and time the engines of one model, and print its table."""
    generation, shape = a_generation(name)
    with tempfile.TemporaryDirectory() as folder:
        task = OptimizeTask(model=Input(uri=name), targets=["onnx"], batch_sizes=list(BATCHES), output=folder)
        subject = subject_of(task, generation, shape, "sha256:" + "0" * 64, Path(folder))
        rows, rest = rows_of(subject, Path(folder), targets)
        time_all(rows, subject, seconds)
        lines, data = table(name, rows, rest)
    print("\n".join(lines), end="\n\n", flush=True)
    return {"model": name, "steps": generation.steps, "engines": data}


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=exporters.names())
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of timing per batch size")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    results = [bench(name, args.targets, args.seconds) for name in args.models]
    print(f"{args.threads} thread(s), load {os.getloadavg()[0]:.1f}, torch {torch.__version__}; {host()}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
