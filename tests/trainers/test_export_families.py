"""Every family's generation goes through one graph into an ONNX engine that answers as it does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_engines import DIGITS

from gentrainers import exporters
from gentrainers.exporters import Graph, Options
from gentrainers.exporters import _check as check
from gentrainers.exporters._subject import describe
from gentrainers.families import DataShape, configure, family
from gentrainers.serving.backend import engine as engines
from gentrainers.serving.backend.engine import Engine

SEQUENCE: dict[str, Any] = {"format": "text", "vocab": 20, "block": 8}
VOICES: dict[str, Any] = {"format": "music", "vocab": 20, "block": 8, "voices": 2, "grid": 2, "first_pitch": 3}
TABLE: dict[str, Any] = {
    "format": "tabular",
    "columns": 5,
    "means": [0.0, 1.0, -2.0, 3.0, 10.0],
    "scales": [1.0, 2.0, 0.5, 1.0, 4.0],
    "tops": [-1.0] * 5,
}
SMALL: dict[str, Any] = {"width": 32, "depth": 1}


def a_generation(name: str, data: dict[str, Any], dials: dict[str, Any]) -> tuple[Any, DataShape]:
    torch.manual_seed(0)
    shape = DataShape(**data)
    kind = family(name)
    made = kind(configure(kind, "xs", dials), shape)
    nets = made.build()
    for net in nets.values():
        net.eval()
        for weights in net.parameters():
            torch.nn.init.normal_(weights, std=0.1)
    return made.generation(nets).eval(), shape


@pytest.mark.parametrize(
    ("name", "data", "dials"),
    [
        pytest.param("flow", DIGITS, SMALL | {"net": "unet", "sampleSteps": 1}, marks=pytest.mark.slow),
        pytest.param("flow", DIGITS, SMALL | {"net": "dit", "sampleSteps": 1, "guidance": 2.0}, marks=pytest.mark.slow),
        pytest.param("flow", TABLE, SMALL | {"sampleSteps": 2}, marks=pytest.mark.slow),
        pytest.param("diffusion", DIGITS, SMALL | {"sampleSteps": 2}, marks=pytest.mark.slow),
        ("vae", DIGITS, {}),
        ("gan", DIGITS, {}),
        pytest.param("gpt", SEQUENCE, SMALL | {"heads": 2, "length": 4}, marks=pytest.mark.slow),
        pytest.param("music", VOICES, SMALL | {"heads": 2, "length": 4}, marks=pytest.mark.slow),
    ],
    ids=["flow-unet", "flow-dit-guided", "flow-table", "diffusion", "vae", "gan", "gpt", "music"],
)
def test_a_family_exports(name: str, data: dict[str, Any], dials: dict[str, Any], tmp_path: Path) -> None:
    generation, shape = a_generation(name, data, dials)
    (tmp_path / "engine").mkdir()
    exporters.exporter("onnx").build(Graph(generation, tmp_path / "graph", 4), Options(), tmp_path / "engine")
    spec = describe(generation, shape) | {"runtime": "onnx", "batches": []}
    engine = Engine(spec, engines.runner(tmp_path / "engine", spec, threads=1))
    probes = check.probes(generation, engine, (1, 4))
    error, excess = check.worst(engine, probes, atol=1e-3, rtol=1e-3)
    assert excess <= 0, error
    samples = engine.generate(range(3))
    assert len(samples) == 3
    assert list(samples.shape[1:]) == spec["sample"]["shape"]
    assert np.isfinite(samples).all()
