"""Train each family on data whose answer is known or small, and hold what comes out against gates.

    python -P e2e/bench/trainers.py [--only NAME ...] [--seeds 0 1 2] [--cache FOLDER]

One row per gate: mean and spread over training seeds, and the seconds of one CPU thread that training took. Writes
.genops/bench/trainers.json. Ends with 1 where a gate is missed. Everything goes the way a pod would: a dataset is
prepared by jobs/prepare, trained by jobs/train, opened by model.load.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: seconds are those of one thread

import numpy as np
import torch

from gencontract.report import Progress
from gencontract.task import Checkpointing, Input, PrepareTask, Source, Splits, TaskFile, TrainTask
from gencontract.wire import decode_report, encode_task
from gentrainers import artifact, model
from gentrainers.data.dataset import Dataset, open_dataset
from gentrainers.families import vae
from gentrainers.jobs import prepare, train
from gentrainers.metrics.fid import frechet
from gentrainers.metrics.kit import extractors
from gentrainers.metrics.kit.extractors import Material
from gentrainers.metrics.kit.manifolds import overlap
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
    data: PrepareTask | Callable[[Path], None]
    family: str
    dials: dict[str, Any]
    measure: Callable[[model.Model, Dataset], Numbers]
    bounds: dict[str, Bound]
    aim: bool = False  # not reached yet: measured where asked for by name, and never a failure


@dataclass
class Result:
    """The numbers of each seed."""

    gate: Gate
    runs: list[Numbers] = field(default_factory=list)
    broken: str = ""  # why it could not be measured

    def mean(self, name: str) -> float:
        return statistics.fmean(run[name] for run in self.runs)

    def spread(self, name: str) -> float:
        return statistics.stdev([run[name] for run in self.runs]) if len(self.runs) > 1 else 0.0

    def passed(self) -> bool:
        return bool(self.runs) and all(bound.holds(self.mean(name)) for name, bound in self.gate.bounds.items())


# --- what is measured


def likelihood(it: model.Model, data: Dataset) -> Numbers:
    """-ELBO in nats per sample of test, a tighter bound of 100 draws, and the divergence: is the code used?"""
    test = data.split("test")
    nats = [_nats(it, test, seed) for seed in range(5)]
    bound, divergence = importance(it, np.asarray(test.arrays["x"]), draws=100)
    out = {"test -ELBO": float(np.mean(nats)), "train -ELBO": float(_nats(it, data.split("train"), 0).mean())}
    return {**out, "test IW-100": bound, "divergence": divergence}


@torch.inference_mode()
def importance(it: model.Model, x: np.ndarray[Any, Any], draws: int) -> tuple[float, float]:
    """Bound -log p(x) by importance sampling (Burda et al. 2015): mean nats per sample, and the mean divergence."""
    kind, net = it.kind, it.nets["model"]
    assert isinstance(kind, vae.Vae)
    seen, source = kind.data.encode(torch.tensor(x)), torch.Generator().manual_seed(0)
    weights = []
    for _ in range(draws):
        noise = torch.randn(len(x), kind.config.latent, generator=source)
        out, scale, mean, logvar = net(seen, noise)
        z = mean + (logvar / 2).exp() * noise
        prior_over_posterior = 0.5 * (noise.square() + logvar - z.square()).sum(1)
        weights.append(prior_over_posterior - kind.surprise(seen, out, scale).flatten(1).sum(1))
    bound = math.log(draws) - torch.stack(weights).logsumexp(0)
    return float(bound.mean()), float(vae.unit_divergence(mean, logvar).mean())


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
        clouds = overlap(extractor.features(_images(it, len(real), 7, {})), features)
        return out | asdict(clouds) | classes(it, data) | copying(it, data)

    return measure


def _extractor(data: Dataset) -> extractors.Extractor:
    x, y = (np.asarray(data.split("train").arrays[name]) for name in ("x", "y"))
    return extractors.make("learned", Material(x, y, "images", data.body, data.digest))


def _images(it: model.Model, n: int, seed: int, how: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = it.sample(n, seed, **how)
    assert isinstance(found, np.ndarray)
    return found


def copying(it: model.Model, data: Dataset) -> Numbers:
    """How much nearer samples lie to train than to test, both cut to the same number: 1 where nothing is copied."""
    test = np.asarray(data.split("test").arrays["x"]).reshape(len(data.split("test")), -1)
    train_ = np.asarray(data.split("train").arrays["x"])[: len(test)].reshape(len(test), -1)
    made = _images(it, len(test), 13, {}).reshape(len(test), -1)
    to_train, to_test = (_nearest(made, real) for real in (train_, test))
    return {"nearest train / nearest test": float(np.median(to_train) / np.median(to_test))}


def _nearest(made: np.ndarray[Any, Any], real: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    a, b = (torch.from_numpy(x.astype(np.float32)) for x in (made, real))
    return np.asarray(torch.cdist(a, b).amin(1))


def floor(data: Dataset) -> Numbers:
    """What held-out digits score against as many of train: no model is asked for less."""
    extractor, count = _extractor(data), len(data.split("test"))
    real, test = (np.asarray(data.split(n).arrays["x"])[:count] for n in ("train", "test"))
    a, b = extractor.features(test), extractor.features(real)
    return {"FD": frechet(a, b), **asdict(overlap(a, b))}


def modes(side: int, dims: int) -> Callable[[model.Model, Dataset], Numbers]:
    """Which points of a grid samples fall near to, and how even the shares are (divergence from the uniform, nats)."""

    def measure(it: model.Model, data: Dataset) -> Numbers:
        made = np.asarray(it.sample(20_000, seed=5))
        place = np.clip(np.rint(made), 0, side - 1).astype(np.int64)
        near = np.abs(made - place).max(1) < 4 * GRID_SPREAD
        counts = np.bincount(place[near] @ side ** np.arange(dims), minlength=side**dims)
        shares = counts[counts > 0] / counts.sum()
        even = float((shares * np.log(shares * side**dims)).sum())
        return {"modes": float((counts > 0).sum()), "KL to uniform": even, "near a mode": float(near.mean())}

    return measure


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

GRID_SPREAD = 0.05
SHARP = {"width": 128, "latent": 2, "gamma": 0.003, "lr": 2e-3, "betas": (0.0, 0.9), "batch": 256, "schedule": "wsd"}


def grid(side: int, dims: int) -> Callable[[Path], None]:
    """Write points of a grid with a little noise: modes that a model may drop."""

    def write_at(place: Path) -> None:
        random = np.random.default_rng(0)
        points = random.integers(0, side, (50_000, dims)) + GRID_SPREAD * random.standard_normal((50_000, dims))
        columns = [{"name": f"c{j}", "type": "number"} for j in range(dims)]
        body = {"format": "tabular", "columns": columns, "splits": {"train": {"samples": len(points)}}}
        with artifact.writing(str(place), "dataset", body) as folder:
            (folder / "train").mkdir()
            np.save(folder / "train" / "x.npy", points.astype(np.float32))

    return write_at


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
        {
            "test -ELBO": Bound(92.3),
            "test IW-100": Bound(87.5),
            "divergence": Bound(1.0, more=True),
            "cpu seconds": Bound(10),
        },
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
        "diffusion on digits",
        DIGITS,
        "diffusion",
        {},
        distances((8, 18)),
        {"FD at 18 steps": Bound(2.0), "classes": Bound(10, more=True)},
    ),
    Gate(
        "GAN, 25 modes",
        grid(5, 2),
        "gan",
        {**SHARP, "steps": 6000},
        modes(5, 2),
        {"modes": Bound(25, more=True), "KL to uniform": Bound(0.05)},
        aim=True,
    ),
    Gate(
        "GAN, 1000 modes",
        grid(10, 3),
        "gan",
        {**SHARP, "steps": 6000},
        modes(10, 3),
        {"modes": Bound(1000, more=True), "KL to uniform": Bound(0.05)},
        aim=True,
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


def prepared(gate: Gate, cache: Path) -> Dataset:
    """Prepare a dataset once per cache."""
    task = gate.data
    if not isinstance(task, PrepareTask):
        place = cache / gate.name.replace(" ", "-")
        if not (place / "manifest.json").exists():
            task(place)
        return open_dataset(str(place))
    place = cache / f"{task.source.name}-{task.splits.test:g}-{task.options.get('blockSize', 0)}"
    if not (place / "manifest.json").exists():
        prepare.run(task.model_copy(update={"output": str(place)}), Pod(_Line()))
    return open_dataset(str(place))


def _task(gate: Gate, seed: int, data: Dataset, folder: str) -> TrainTask:
    return TrainTask(
        dataset=Input(uri=str(data.path)),
        family=gate.family,  # type: ignore[arg-type]
        hyperparameters=gate.dials,
        seed=seed,
        device="cpu",
        checkpoint=Checkpointing(uri=f"{folder}/checkpoints"),
        output=f"{folder}/model",
    )


def run(gate: Gate, seed: int, cache: Path) -> Numbers:
    """Train with one seed and measure."""
    data = prepared(gate, cache)
    with tempfile.TemporaryDirectory() as folder:
        task = _task(gate, seed, data, folder)
        wall, cpu = time.monotonic(), time.process_time()
        train.run(task, Pod(_Line()))
        spent = {"cpu seconds": time.process_time() - cpu, "wall seconds": time.monotonic() - wall}
        it = model.load(task.output)
        parameters = sum(p.numel() for net in it.nets.values() for p in net.parameters())
        return {**gate.measure(it, data), **spent, "parameters": float(parameters)}


def measured(result: Result, seeds: Iterable[int], cache: Path) -> None:
    """Run a gate for each seed; what breaks one gate leaves the others to be measured."""
    try:
        for seed in seeds:
            result.runs.append(run(result.gate, seed, cache))
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in result.runs[-1].items())
            print(f"{result.gate.name}, seed {seed}: {numbers}", flush=True)
    except Exception as error:
        traceback.print_exc()
        result.runs.clear()
        result.broken = f"{type(error).__name__}: {error}"


def demo(cache: Path) -> Result:
    """Train the demo's model in a process of its own, as a pod would: seconds, memory, and what checkpoints cost."""
    gate = next(g for g in GATES if g.name == "flow on digits")
    bounds = {"wall seconds": Bound(90), "peak GiB": Bound(1.5), "checkpoint share": Bound(0.01)}
    result = Result(replace(gate, name="demo's pod", bounds=bounds))
    with tempfile.TemporaryDirectory() as folder:
        task, log = Path(folder) / "task.json", Path(folder) / "log"
        task.write_text(encode_task(TaskFile(task=_task(gate, 0, prepared(gate, cache), folder))))
        began = time.monotonic()
        environ = {**os.environ, "GENOPS_TERMINATION_LOG": str(log)}
        command = [sys.executable, "-P", "-m", "gentrainers", "--task", str(task)]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        wall, report = time.monotonic() - began, decode_report(log.read_text())
    assert report
    blocked = next(m.value or 0.0 for m in report.metrics if m.name == "checkpoint.blockedSeconds")
    memory = report.usage.peak_memory_bytes / 2**30
    spent = {"wall seconds": wall, "cpu seconds": report.usage.cpu_seconds, "peak GiB": memory}
    result.runs.append({**spent, "checkpoint share": blocked / wall})
    return result


def table(results: list[Result]) -> str:
    """Lay the results out for people."""
    lines = [f"{'gate':16} {'number':24} {'mean':>10} {'sd':>8} {'bound':>9}"]
    for result in results:
        if result.broken:
            lines.append(f"{result.gate.name:16} not measured: {result.broken}")
        for name in result.runs[0] if result.runs else ():
            bound = result.gate.bounds.get(name)
            verdict = "" if bound is None else "ok" if bound.holds(result.mean(name)) else "MISSED"
            shown = f"{result.mean(name):10.4g} {result.spread(name):8.2g} {bound or ''!s:>9} {verdict}"
            lines.append(f"{result.gate.name:16} {name:24} {shown}".rstrip())
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--only", nargs="*", default=[], help="gates and aims whose names contain one of these")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, default=OUT / "data")
    given = parser.parse_args()
    torch.set_num_threads(1)
    import_module("torch.utils.tensorboard")  # its import is no training
    results = []
    for gate in GATES:
        if gate.aim if not given.only else not any(word in gate.name for word in given.only):
            continue
        results.append(result := Result(gate))
        measured(result, given.seeds, given.cache)
    if not given.only or "demo" in given.only:
        results.append(demo(given.cache))
    print("\n" + table(results))
    held_out = floor(prepared(GATES[0], given.cache))
    print("held-out digits against train: " + "  ".join(f"{name} {value:.3g}" for name, value in held_out.items()))
    write(results, held_out)
    return 0 if all(result.passed() or result.gate.aim for result in results) else 1


def write(results: list[Result], held_out: Numbers) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1}
    rows = [
        {
            "gate": r.gate.name,
            "runs": r.runs,
            "broken": r.broken,
            "mean": {n: r.mean(n) for n in r.runs[0]} if r.runs else {},
            "sd": {n: r.spread(n) for n in r.runs[0]} if r.runs else {},
            "bounds": {n: str(b) for n, b in r.gate.bounds.items()},
            "passed": r.passed(),
        }
        for r in results
    ]
    (OUT / "trainers.json").write_text(
        json.dumps({"machine": machine, "held-out digits": held_out, "gates": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
