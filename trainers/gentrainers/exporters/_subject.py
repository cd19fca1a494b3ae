"""What all engines of one model are built and checked with: its graph, noise, expected answers and real samples.

Knows models and datasets. It must not know runtimes, or which engine is better.
"""

import hashlib
import platform
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gencontract.codes import Code
from gencontract.task import OptimizeTask
from gencontract.wire import canonical
from gentrainers import artifact
from gentrainers.artifact import Opened, open_artifact, sha256_bytes
from gentrainers.data import agreement
from gentrainers.data.dataset import Dataset, open_dataset
from gentrainers.errors import JobError
from gentrainers.exporters import _check as check
from gentrainers.exporters._base import Options
from gentrainers.exporters._graph import Graph
from gentrainers.serving.backend.engine import Engine
from gentrainers.serving.backend.features import PICTURE

Array = NDArray[Any]
CALIBRATION = (8, 16)  # batches, and samples in each
TOKENS = ("token", "event")  # what text and music call the ids of their tokens in the reference
TOKENIZER = "tokenizer.json"
JUDGED = 256  # samples that the quality check compares with the dataset


@dataclass(frozen=True)
class Subject:
    """The model, and what all its engines are built and checked with."""

    task: OptimizeTask
    digest: str  # of weights and config
    graph: Graph
    spec: dict[str, Any]  # what engine.json says of every engine of this model
    real: Array | None  # samples of the dataset
    dataset: str  # its digest
    tokenizer: Path | None = None  # file of the model's, where its tokens stand for text

    @property
    def generation(self) -> Any:
        return self.graph.generation

    @cached_property
    def drawer(self) -> Engine:
        """Draws inputs as a server does; runs nothing."""
        return Engine(self.spec, lambda inputs: inputs)

    @cached_property
    def probes(self) -> list[check.Probe]:
        return check.probes(self.generation, self.drawer, self.task.batch_sizes)

    @cached_property
    def options(self) -> Options:
        batches, size = CALIBRATION
        feeds = [self.drawer.inputs(range(10_000 + size * i, 10_000 + size * (i + 1)), {}) for i in range(batches)]
        return Options(
            self.task.precision,
            tuple(sorted(self.task.batch_sizes)),
            capabilities(self.task.hardware),
            tuple(feeds) if self.task.precision == "int8" else (),
        )

    @cached_property
    def distance(self) -> float:
        """How far the model's own samples are from the dataset."""
        return self.distance_of(Engine(self.spec, lambda inputs: check.eager(self.generation, inputs)))

    def distance_of(self, engine: Engine) -> float:
        """Sliced Wasserstein distance from what an engine generates to the dataset."""
        from gentrainers.metrics.sliced_wasserstein import sliced

        assert self.real is not None
        size = max(self.task.batch_sizes)
        made = [engine.generate(range(at, min(at + size, len(self.real)))) for at in range(0, len(self.real), size)]
        return float(sliced(_unit(np.concatenate(made)), _unit(self.real)))


def open_subject(task: OptimizeTask, scratch: Path) -> Subject:
    """Open the model and the dataset, checked against their digests."""
    from gentrainers import model

    opened = open_artifact(task.model.uri, "model", task.model.digest)
    loaded = model.load(task.model.uri, task.model.digest)
    subject = subject_of(task, loaded.generation(), loaded.data, weights_digest(opened), scratch)
    tokenizer = opened.path / TOKENIZER
    return replace(subject, tokenizer=tokenizer if tokenizer.is_file() else None)


def subject_of(task: OptimizeTask, generation: Any, data: Any, digest: str, scratch: Path) -> Subject:
    """Describe a generation for its engines."""
    dataset = _dataset(task, data)
    spec = describe(generation, data) | {"reference": dataset and reference(dataset)}
    graph = Graph(generation, scratch / "graph", max(task.batch_sizes))
    return Subject(task, digest, graph, spec, _real(dataset), dataset.digest if dataset else "")


def _dataset(task: OptimizeTask, data: Any) -> Dataset | None:
    """Open the task's dataset. Raises JobError(BAD_CONFIG) where the model makes something else."""
    if task.dataset is None:
        return None
    found = open_dataset(task.dataset.uri, task.dataset.digest)
    for field, makes, holds in agreement.differences(data, found):
        raise JobError(
            Code.BAD_CONFIG,
            f"dataset: {task.dataset.uri} holds {field} {holds}, the model makes {field} {makes}; name the one it was "
            "trained on",
        )
    return found


def weights_digest(opened: Opened) -> str:
    """Hash what a generation is made of: the weights and what the manifest says of the model, not how it was made."""
    made_of = {key: opened.body.get(key) for key in ("family", "size", "config", "data")}
    return sha256_bytes(canonical([artifact.sha256_file(opened.path / "weights.safetensors"), made_of]))


def reference(dataset: Dataset) -> dict[str, Any]:
    """Read the dataset's drift reference as a server exports it: how many samples, and counts by feature and bin."""
    said = dataset.json("reference.json")
    out: dict[str, Any] = {"samples": said["samples"]}
    numeric = PICTURE if dataset.body["format"] == "images" else ()
    for name, feature in said["features"].items():
        if name in numeric and feature["edges"]:
            out[name] = {"le": feature["edges"], "counts": feature["counts"]}
        if name in TOKENS:
            out["token"] = {"values": feature["values"], "counts": feature["counts"]}
    labels = dataset.split("train").arrays.get("y")
    if labels is not None:
        counts = np.bincount(labels.reshape(-1)).tolist()
        out["label"] = {"values": [str(i) for i in range(len(counts))], "counts": counts}
    return out


def _real(dataset: Dataset | None) -> Array | None:
    """Return images of the train split, spread over all of it."""
    x = dataset.split("train").arrays.get("x") if dataset else None
    if x is None or x.dtype != np.uint8:
        return None
    return np.ascontiguousarray(x[:: max(1, len(x) // JUDGED)][:JUDGED])


def describe(generation: Any, data: Any) -> dict[str, Any]:
    """Say in JSON what a generation takes and gives, and what its sample looks like to people."""
    inputs, outputs = ([_port(s) for s in side] for side in (generation.inputs, generation.outputs))
    shape, dtype = outputs[0]["shape"][1:], outputs[0]["dtype"]
    if data.format == "images":
        shape, dtype = [*shape[1:], shape[0]], "uint8"
    sample = {"format": data.format, "levels": data.levels, "shape": shape, "dtype": dtype}
    return {"inputs": inputs, "outputs": outputs, "shares": list(generation.shares), "sample": sample}


def _port(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape), "draw": spec.draw, "high": spec.high}


def _unit(samples: Array) -> NDArray[np.float64]:
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    return flat / 255 if samples.dtype == np.uint8 else flat


def host() -> str:
    """Name this machine's kind: the CPU's instructions, and the GPU if there is one."""
    gpu = "sm{}{}".format(*torch.cuda.get_device_capability()) if torch.cuda.is_available() else "no gpu"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    return f"{platform.machine()} {hashlib.sha256(flags.encode()).hexdigest()[:16]} {gpu}"


def capabilities(hardware: str) -> tuple[str, ...]:
    """Read compute capabilities out of `sm_89`, or `sm80,sm120`; `host` is whatever is here.

    >>> capabilities("sm_89,sm120")
    ('89', '120')
    """
    if hardware == "host":
        return ()
    names = [name.strip().lower().removeprefix("sm").removeprefix("_") for name in hardware.split(",")]
    if not all(name.isdigit() for name in names):
        raise JobError(Code.BAD_CONFIG, f"hardware: {hardware!r} is neither host nor a list such as sm_89,sm_120")
    return tuple(names)
