"""Small data, tasks and pods for tests of training: in memory, in a folder, and in processes of their own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.report import Progress, Report
from gencontract.task import Checkpointing, Input, TaskFile, TrainTask
from gencontract.wire import decode_report, encode_task
from gentrainers import artifact
from gentrainers.families import DataShape
from gentrainers.pod import Pod

IMAGES = DataShape(format="images", height=8, width=8, channels=1, levels=16, classes=("a", "b"), shares=(0.5, 0.5))
PICTURES = DataShape(format="images", height=12, width=12, channels=3, captions=True)
ROWS = DataShape(
    format="tabular",
    columns=5,
    means=(0.0, 50_000.0, -3.0, 1.0, 0.5),
    scales=(1.0, 20_000.0, 0.001, 0.8, 0.5),
    tops=(-1.0, -1.0, -1.0, 2.0, 1.0),
)
TYPES = ("number", "number", "number", "category", "boolean")
TEXT = DataShape(format="text", vocab=7, block=16)
MUSIC = DataShape(format="music", vocab=131, block=16, voices=2, grid=2, first_pitch=3, lowest=40, highest=80)


@dataclass
class MemorySplit:
    """A split as package data gives it, from arrays in memory."""

    arrays: dict[str, NDArray[Any]]
    captions: list[str] | None = None
    name: str = "train"

    def __len__(self) -> int:
        return len(self.arrays.get("x", self.arrays.get("offsets", [0])))


@dataclass
class Worlds:
    """One split per shape of data."""

    n: int = 8
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def split(self, data: DataShape) -> MemorySplit:
        if data.format in ("text", "music"):
            return self.sequences(data)
        if data.format == "tabular":
            return MemorySplit({"x": self.table(data)})
        shape = (self.n, data.height, data.width, data.channels)
        flat = self.random.integers(0, data.levels + 1, (self.n, 1, 1, data.channels))  # one colour per picture
        levels = np.clip(flat + self.random.integers(-1, 2, shape), 0, data.levels)
        arrays: dict[str, NDArray[Any]] = {"x": np.rint(levels * 255 / data.levels).astype(np.uint8)}
        if data.classes:
            arrays["y"] = np.arange(self.n) % len(data.classes)
        return MemorySplit(arrays, [f"picture {i}" for i in range(self.n)] if data.captions else None)

    def table(self, data: DataShape) -> NDArray[np.float32]:
        """Rows in units of their own: large, small, whole, and here and there missing."""
        rows = self.random.standard_normal((self.n, data.columns)) * data.scales + data.means
        tops = np.array(data.tops)
        rows = np.where(tops < 0, rows, np.clip(rows.round(), 0, tops))
        rows[0, 1] = np.nan
        return rows.astype(np.float32)

    def sequences(self, data: DataShape) -> MemorySplit:
        low, high = (data.first_pitch + data.lowest, data.first_pitch + data.highest) if data.voices > 1 else (0, 7)
        tokens = self.random.integers(low, high, self.n * data.block).astype(np.uint16)
        return MemorySplit({"tokens": tokens, "offsets": np.arange(self.n + 1).astype(np.uint64) * data.block})


def write_dataset(folder: Path, data: DataShape, n: int = 64, validation: int = 8) -> str:
    """Write a dataset artifact; return its location."""
    body: dict[str, Any] = {"format": data.format, "splits": {}}
    if data.format == "images":
        image = {"height": data.height, "width": data.width, "channels": data.channels, "levels": data.levels}
        body["image"] = {**image, "classes": list(data.classes)}
    if data.format == "tabular":
        body["columns"] = [{"name": f"c{i}", "type": t} for i, t in enumerate(TYPES)]
    if data.format in ("text", "music"):
        tokens = {"vocab": data.vocab, "kind": "char", "blockSize": data.block, "voices": data.voices}
        body["tokens"] = {**tokens, "firstPitch": data.first_pitch, "lowest": data.lowest, "highest": data.highest}
    with artifact.writing(str(folder), "dataset", body) as scratch:
        for name, count in (("train", n), ("validation", validation)):
            split = Worlds(count).split(data)
            (scratch / name).mkdir()
            for array, values in split.arrays.items():
                np.save(scratch / name / f"{array}.npy", values)
            if split.captions:
                (scratch / name / "captions.json").write_text(json.dumps(split.captions))
            body["splits"][name] = {"samples": count, "digest": "sha256:" + "0" * 64}
    return str(folder)


def a_task(folder: Path, **changes: Any) -> TrainTask:
    """Make a small training task whose data, checkpoints and output lie in a folder."""
    fields: dict[str, Any] = {
        "dataset": Input(uri=str(folder / "data")),
        "family": "flow",
        "hyperparameters": {"steps": 20, "batch": 16, "width": 32, "depth": 1, "warmup": 2},
        "checkpoint": Checkpointing(uri=str(folder / "checkpoints")),
        "device": "cpu",
        "output": str(folder / "model"),
    }
    return TrainTask(**{**fields, **changes})


class Silent:
    """A screen that keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Progress] = []

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)

    def close(self) -> None:
        pass


def a_pod(every: float = 0.0) -> Pod:
    """A pod that shows every heartbeat to a Silent screen."""
    return Pod(Silent(), every=every)


class StopsAt(Pod):
    """A pod that is asked to stop during a step, as SIGTERM would; at the earliest during its second one."""

    def __init__(self, step: int) -> None:
        super().__init__(Silent(), every=0.0)
        self.at = step

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        if progress.step >= self.at - 1:
            self.stop()


def weights(uri: str) -> str:
    """Hash the weights of a model."""
    return artifact.sha256_file(Path(uri) / "weights.safetensors")


def spawn(folder: Path, task: TrainTask, **environ: str) -> "subprocess.Popen[str]":
    """Start a training pod's process."""
    path = folder / f"task-{environ.get('RANK', '0')}.json"
    path.write_text(encode_task(TaskFile(task=task)))
    mine = {"OMP_NUM_THREADS": "1", "GENOPS_TERMINATION_LOG": str(path.with_suffix(".log")), **environ}
    command = [sys.executable, "-m", "gentrainers", "--task", str(path)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **mine}, **pipes)


def report_of(folder: Path, rank: int = 0) -> Report:
    """Read the termination message of a pod's process."""
    found = decode_report((folder / f"task-{rank}.log").read_text())
    assert found
    return found


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for a condition with a deadline."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition was not met in time"
        time.sleep(0.01)


def saved_steps(folder: Path) -> list[int]:
    """List the steps of whole checkpoints."""
    found = (folder / "checkpoints").glob("step-*/manifest.json")
    return sorted(int(p.parent.name.removeprefix("step-")) for p in found)
