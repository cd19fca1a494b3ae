"""Train each family on data whose answer is known or small, and hold what comes out against gates.

    python -P e2e/bench/trainers.py [--only NAME ...] [--seeds 0 1 2] [--cache FOLDER]

One row per gate: mean and spread over training seeds, and the seconds of one CPU thread that training took. Writes
.genops/bench/trainers.json. Ends with 1 where a gate is missed. Everything goes the way a pod would: a dataset is
prepared by jobs/prepare, trained by jobs/train, opened by model.load.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: seconds are those of one thread

import numpy as np
import torch

from gencontract.report import Progress
from gencontract.task import Checkpointing, Input, PrepareTask, Source, Splits, TrainTask
from gentrainers import model
from gentrainers.data.dataset import Dataset, open_dataset
from gentrainers.jobs import prepare, train
from gentrainers.metrics.fid import frechet
from gentrainers.metrics.kit import extractors
from gentrainers.metrics.kit.extractors import Material
from gentrainers.pod import Pod

ROOT = Path(__file__).parents[2]
OUT = ROOT / ".genops" / "bench"
DRAWS = (0, 1, 2)  # generation seeds behind each Fréchet distance

Numbers = dict[str, float]


@dataclass(frozen=True)
class Bound:
    """What a number must reach: at most `limit`, or at least where `more`."""

    limit: float
    more: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.more else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.more else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Gate:
    """A dataset, a family at its own defaults but for `dials`, what is measured, and what it must reach."""

    name: str
    data: PrepareTask
    family: str
    dials: dict[str, Any]
    measure: Callable[[model.Model, Dataset], Numbers]
    bounds: dict[str, Bound]


@dataclass
class Result:
    """The numbers of each seed."""

    gate: Gate
    runs: list[Numbers] = field(default_factory=list)

    def mean(self, name: str) -> float:
        return statistics.fmean(run[name] for run in self.runs)

    def spread(self, name: str) -> float:
        return statistics.stdev([run[name] for run in self.runs]) if len(self.runs) > 1 else 0.0

    def passed(self) -> bool:
        return all(bound.holds(self.mean(name)) for name, bound in self.gate.bounds.items())


# --- what is measured


def likelihood(it: model.Model, data: Dataset) -> Numbers:
    """-ELBO in nats per sample of test, over five draws of the code, and the divergence that shows whether it is used."""
    test = data.split("test")
    nats = [_nats(it, test, seed) for seed in range(5)]
    return {"test -ELBO": float(np.mean(nats)), "train -ELBO": float(_nats(it, data.split("train"), 0).mean())}


def _nats(it: model.Model, split: Any, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    nats = it.nll(split, seed=seed)
    assert nats is not None
    return nats


def distances(steps: Iterable[int | None]) -> Callable[[model.Model, Dataset], Numbers]:
    """Fréchet distance to train at equal n, in the features of a classifier fitted to train; by sampling steps."""

    def measure(it: model.Model, data: Dataset) -> Numbers:
        real, extractor = np.asarray(data.split("train").arrays["x"]), _extractor(data)
        features = extractor.features(real)
        out: Numbers = {}
        for count in steps:
            how = {"steps": count} if count else {}
            made = [extractor.features(_images(it, len(real), draw, how)) for draw in DRAWS]
            out[f"FD at {count} steps" if count else "FD"] = float(np.mean([frechet(f, features) for f in made]))
        return out | classes(it, data)

    return measure


def _extractor(data: Dataset) -> extractors.Extractor:
    x, y = (np.asarray(data.split("train").arrays[name]) for name in ("x", "y"))
    return extractors.make("learned", Material(x, y, "images", data.body, data.digest))


def _images(it: model.Model, n: int, seed: int, how: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = it.sample(n, seed, **how)
    assert isinstance(found, np.ndarray)
    return found


def classes(it: model.Model, data: Dataset) -> Numbers:
    """Which classes a nearest neighbour in train sees in samples, and how far their shares are off."""
    x, y = (np.asarray(data.split("train").arrays[name]) for name in ("x", "y"))
    made = _images(it, len(x), 11, {}).reshape(len(x), -1).astype(np.float32)
    flat = x.reshape(len(x), -1).astype(np.float32)
    nearest = torch.cdist(torch.from_numpy(made), torch.from_numpy(flat)).argmin(1).numpy()
    count = int(y.max()) + 1
    seen, real = (np.bincount(labels, minlength=count) / len(x) for labels in (y[nearest], y))
    return {"classes": float((seen > 0.02).sum()), "class distance": float(np.abs(seen - real).sum() / 2)}


def oracle_gap(it: model.Model, data: Dataset) -> Numbers:
    """Nats per letter of test beyond the true likelihood of the very same letters."""
    from gentrainers.data.builtin.markov import Chain

    oracle, test = data.body["oracle"], data.split("test")
    chain, nats, truth, letters = Chain(int(oracle["seed"])), _nats(it, test), 0.0, 0
    names = json.loads((data.path / "tokenizer.json").read_text())
    for index in range(len(test)):
        text = _letters(np.asarray(test.document(index)), names)
        truth += float(chain.nats(text).sum())
        letters += len(text)
    return {"gap": (float(nats.sum()) - truth) / letters, "entropy rate": float(oracle["entropyRate"])}


def _letters(tokens: np.ndarray[Any, Any], names: dict[str, Any]) -> str:
    from gentrainers.data import tokenizers

    return str(tokenizers.from_json(names).decode(tokens.tolist()))


def per_token(it: model.Model, data: Dataset) -> Numbers:
    """Nats per token of test and of validation."""
    out: Numbers = {}
    for name in ("test", "validation"):
        split = data.split(name)
        out[f"{name} nats per token"] = float(_nats(it, split).sum()) / len(split.arrays["tokens"])
    return out


# --- the gates


def _builtin(name: str, format_: Any, splits: Splits, options: dict[str, Any], **more: Any) -> PrepareTask:
    source = Source(kind="builtin", name=name, **more)
    return PrepareTask(source=source, format=format_, splits=splits, options=options, output="")


DIGITS = _builtin("digits", "images", Splits(train=0.8, validation=0.0, test=0.2), {})
MARKOV = _builtin("markov", "text", Splits(), {"blockSize": 64}, samples=64, seed=0)
CHORALES = _builtin("chorales", "music", Splits(), {"blockSize": 256})

GATES = (
    Gate(
        "VAE on digits",
        DIGITS,
        "vae",
        {},
        likelihood,
        {"test -ELBO": Bound(92.3), "cpu seconds": Bound(10)},
    ),
    Gate(
        "flow on digits",
        DIGITS,
        "flow",
        {},
        distances((1, 2, 4, 8, 18)),
        {"FD at 8 steps": Bound(2.0), "classes": Bound(10, more=True), "cpu seconds": Bound(92)},
    ),
    Gate(
        "GAN on digits",
        DIGITS,
        "gan",
        {},
        distances((None,)),
        {
            "FD": Bound(9.0),
            "classes": Bound(10, more=True),
            "class distance": Bound(0.12),
            "cpu seconds": Bound(53),
        },
    ),
    Gate(
        "text oracle",
        MARKOV,
        "gpt",
        {"width": 64, "depth": 2, "heads": 2, "steps": 1800, "batch": 48, "block": 32, "lr": 1.5e-2, "ema": 0.99},
        oracle_gap,
        {"gap": Bound(0.008), "cpu seconds": Bound(69)},
    ),
    Gate(
        "chorales",
        CHORALES,
        "music",
        {},
        per_token,
        {"test nats per token": Bound(0.81), "cpu seconds": Bound(355)},
    ),
)


# --- running


class _Line:
    """One line on stderr that is overwritten, so that a log stays short."""

    def show(self, progress: Progress) -> None:
        if sys.stderr.isatty():
            print(f"\r  {progress.stage} {progress.step}/{progress.total}  ", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


def prepared(task: PrepareTask, cache: Path) -> Dataset:
    """Prepare a dataset once per cache."""
    place = cache / f"{task.source.name}-{task.splits.test:g}-{task.options.get('blockSize', 0)}"
    if not (place / "manifest.json").exists():
        prepare.run(task.model_copy(update={"output": str(place)}), Pod(_Line()))
    return open_dataset(str(place))


def run(gate: Gate, seed: int, cache: Path) -> Numbers:
    """Train with one seed and measure."""
    data = prepared(gate.data, cache)
    with tempfile.TemporaryDirectory() as folder:
        task = TrainTask(
            dataset=Input(uri=str(data.path)),
            family=gate.family,  # type: ignore[arg-type]
            hyperparameters=gate.dials,
            seed=seed,
            device="cpu",
            checkpoint=Checkpointing(uri=f"{folder}/checkpoints"),
            output=f"{folder}/model",
        )
        wall, cpu = time.monotonic(), time.process_time()
        train.run(task, Pod(_Line()))
        spent = {"cpu seconds": time.process_time() - cpu, "wall seconds": time.monotonic() - wall}
        it = model.load(task.output)
        parameters = sum(p.numel() for net in it.nets.values() for p in net.parameters())
        return {**gate.measure(it, data), **spent, "parameters": float(parameters)}


def table(results: list[Result]) -> str:
    """Lay the results out for people."""
    lines = [f"{'gate':16} {'number':24} {'mean':>10} {'sd':>8} {'bound':>9}"]
    for result in results:
        for name in result.runs[0]:
            bound = result.gate.bounds.get(name)
            verdict = "" if bound is None else "ok" if bound.holds(result.mean(name)) else "MISSED"
            shown = f"{result.mean(name):10.4g} {result.spread(name):8.2g} {bound or ''!s:>9} {verdict}"
            lines.append(f"{result.gate.name:16} {name:24} {shown}".rstrip())
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--only", nargs="*", default=[], help="gates whose names contain one of these")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, default=OUT / "data")
    given = parser.parse_args()
    torch.set_num_threads(1)
    import_module("torch.utils.tensorboard")  # its import is no training
    results = []
    for gate in GATES:
        if given.only and not any(word in gate.name for word in given.only):
            continue
        results.append(result := Result(gate))
        for seed in given.seeds:
            result.runs.append(run(gate, seed, given.cache))
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in result.runs[-1].items())
            print(f"{gate.name}, seed {seed}: {numbers}", flush=True)
    print("\n" + table(results))
    write(results)
    return 0 if all(result.passed() for result in results) else 1


def write(results: list[Result]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    rows = [
        {
            "gate": r.gate.name,
            "runs": r.runs,
            "mean": {n: r.mean(n) for n in r.runs[0]},
            "sd": {n: r.spread(n) for n in r.runs[0]},
            "bounds": {n: str(b) for n, b in r.gate.bounds.items()},
            "passed": r.passed(),
        }
        for r in results
    ]
    (OUT / "trainers.json").write_text(json.dumps({"machine": machine, "gates": rows}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
