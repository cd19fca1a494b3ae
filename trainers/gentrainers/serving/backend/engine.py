"""An engine on disk, and a function from seeds and conditions to finished samples.

A folder with `engine.json` and the runtime's own files is an engine. This module draws the noise, cuts or fills batches
to what the engine was built for, and turns its output into pixels or tokens. It must not know Triton.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import noise

Array = NDArray[Any]
Run = Callable[[list[Array]], list[Array]]
SPEC = "engine.json"


@dataclass(frozen=True)
class Engine:
    """A loaded engine. `spec` is its engine.json, `run` takes inputs in the order of the spec."""

    spec: Mapping[str, Any]
    run: Run

    @property
    def conditions(self) -> list[str]:
        """The inputs that a request may give."""
        return [s["name"] for s in self.spec["inputs"] if s["draw"] in ("label", "caption", "prompt")]

    def inputs(self, seeds: Sequence[int], given: Mapping[str, Array | None]) -> list[Array]:
        """Draw all inputs of the generation: one row per seed."""
        shares = self.spec.get("shares", ())
        specs = enumerate(self.spec["inputs"])
        return [noise.draw(s, seeds, given.get(s["name"]), stream, shares) for stream, s in specs]

    def raw(self, inputs: list[Array]) -> list[Array]:
        """Run a batch of any size up to the largest: cut into, or filled up to, the batches that were built."""
        rows = len(inputs[0])
        size = fitting(rows, self.spec.get("batches"))
        if size == rows:
            return self.run(inputs)
        parts = [self._filled([x[at : at + size] for x in inputs], size) for at in range(0, rows, size)]
        return [np.concatenate(columns)[:rows] for columns in zip(*parts, strict=True)]

    def _filled(self, inputs: list[Array], size: int) -> list[Array]:
        missing = size - len(inputs[0])
        return self.run([np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) for x in inputs])

    def generate(self, seeds: Sequence[int], given: Mapping[str, Array | None] | None = None) -> Array:
        """Make one sample per seed: uint8 [n, height, width, channels], or what the model's output is."""
        return finish(self.spec["sample"], self.raw(self.inputs(seeds, given or {}))[0])


def fitting(rows: int, batches: Sequence[int] | None) -> int:
    """Return the smallest built batch that holds all rows, else the largest; any batch where none is pinned."""
    if not batches:
        return rows
    return min((b for b in batches if b >= rows), default=max(batches))


def finish(sample: Mapping[str, Any], out: Array) -> Array:
    """Turn images in [0, 1], channels first, into bytes, channels last; leave anything else as it is."""
    if sample["format"] != "images":
        return out
    steps = int(sample.get("levels", 255))
    pixels = np.minimum(np.maximum(out, np.float32(0), dtype=np.float32), np.float32(1))
    for scale in (np.float32(steps), np.float32(255 / steps)):
        pixels *= scale
        np.rint(pixels, out=pixels)
    return pixels.transpose(0, 2, 3, 1).astype(np.uint8, order="C")


def load(folder: Path, threads: int | None = None) -> Engine:
    """Load the engine of a folder with the runtime that its engine.json names."""
    spec = json.loads((folder / SPEC).read_text())
    return Engine(spec, runner(folder, spec, threads))


def runner(folder: Path, spec: Mapping[str, Any], threads: int | None = None) -> Run:
    """Load the engine's files with the runtime of the spec."""
    module = import_module(f"{__package__}.runners.{spec['runtime'].replace('-', '_')}")
    run: Run = module.load(folder, spec, threads or cpus())
    return run


def cpus() -> int:
    """Count the CPUs that this process may use: as OMP_NUM_THREADS says, else its affinity cut by the quota."""
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    here = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(here, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return here
