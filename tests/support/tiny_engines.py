"""Small models with random weights, for tests of engines: speed and shapes do not depend on what was learnt."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gencontract.report import Artifact
from gencontract.task import Input, OptimizeTask
from gentrainers import artifact, model
from gentrainers.data import reference
from gentrainers.exporters import Graph
from gentrainers.families import DataShape, configure, family
from gentrainers.jobs import optimize
from gentrainers.pod import Pod
from gentrainers.serving.backend.features import images

DIGITS: dict[str, Any] = {
    "format": "images",
    "height": 8,
    "width": 8,
    "channels": 1,
    "levels": 16,
    "classes": [str(n) for n in range(10)],
    "shares": [0.1] * 10,
}
DIALS: dict[str, Any] = {"width": 32, "depth": 1, "sampleSteps": 2}


class Silent:
    """A screen that shows nothing."""

    def show(self, progress: Any) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing is open."""


def a_pod() -> Pod:
    return Pod(Silent())


def a_model(folder: Path, seed: int = 0, **dials: Any) -> Input:
    """Write a flow model of digits with random weights."""
    torch.manual_seed(seed)
    config = DIALS | dials
    kind = family("flow")
    nets = kind(configure(kind, "xs", config), DataShape(**DIGITS)).build()
    for weights in (p for net in nets.values() for p in net.parameters()):
        torch.nn.init.normal_(weights, std=0.1)  # fresh nets end in zeros, and would generate their noise
    body = {"family": "flow", "size": "xs", "config": config, "data": DIGITS, "step": 1, "seed": seed}
    with artifact.writing(str(folder), "model", body) as scratch:
        model.save(scratch, nets, [])
    return Input(uri=str(folder), digest=artifact.digest_of(str(folder)))


def a_graph(folder: Path, **dials: Any) -> Graph:
    """Open a fresh model's generation for export."""
    loaded = model.load(a_model(folder / "model", **dials).uri)
    return Graph(loaded.generation(), folder / "graph", max_batch=4)


def a_task(folder: Path, **fields: Any) -> OptimizeTask:
    """Ask for one ONNX engine of a fresh model."""
    given: dict[str, Any] = {
        "targets": ["onnx"],
        "batch_sizes": [1, 4],
        "cache": str(folder / "cache"),
        "output": str(folder / "engines"),
    }
    subject = fields.pop("model", None) or a_model(folder / "model")
    return OptimizeTask(model=subject, **{**given, **fields})


def an_engine(folder: Path, **fields: Any) -> Artifact:
    """Build an engine and return its repository."""
    made = optimize.run(a_task(folder, **fields), a_pod()).artifact
    assert made is not None
    return made


def a_dataset(folder: Path, rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any] | None = None) -> Input:
    """Write images, and their classes if given, as a dataset with a train split only."""
    image = dict(zip(("height", "width", "channels"), rows.shape[1:], strict=True))
    splits = {"train": {"samples": len(rows), "digest": "sha256:" + "0" * 64}}
    body = {"format": "images", "image": image, "splits": splits}
    with artifact.writing(str(folder), "dataset", body) as scratch:
        (scratch / "train").mkdir()
        np.save(scratch / "train/x.npy", rows)
        if labels is not None:
            np.save(scratch / "train/y.npy", labels)
        numbers = {name: np.asarray(values) for name, values in images(rows).items()}
        (scratch / "reference.json").write_text(json.dumps(reference.build(len(rows), numbers, {})))
    return Input(uri=str(folder), digest=artifact.digest_of(str(folder)))
