"""Every runtime builds an engine of a whole generation that answers as the model does, at any batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_engines import DIGITS, a_graph

from gentrainers import exporters
from gentrainers.exporters import Graph, NotBuilt, Options
from gentrainers.exporters import _check as check
from gentrainers.exporters._subject import describe
from gentrainers.families import DataShape
from gentrainers.serving.backend import engine as engines
from gentrainers.serving.backend.engine import Engine

CLOSE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 6e-2, "int8": 0.6}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return a_graph(tmp_path_factory.mktemp("graph"))


def spec_of(graph: Graph) -> dict[str, Any]:
    return describe(graph.generation, DataShape(**DIGITS))


def built(graph: Graph, name: str, precision: str, folder: Path) -> Engine:
    """Build one engine and load it as a server would."""
    spec = spec_of(graph)
    drawer = Engine(spec, lambda inputs: inputs)
    feeds = tuple(drawer.inputs(range(8 * i, 8 * i + 8), {}) for i in range(4))
    made = exporters.exporter(name).build(graph, Options(precision, (1, 4), calibration=feeds), folder)
    spec |= {"runtime": name, "batches": list(made.pinned), "compiled": made.compiled}
    return Engine(spec, engines.runner(folder, spec, threads=1))


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("onnx", "fp32"),
        ("onnx", "fp16"),
        ("onnx", "int8"),
        ("torchscript", "fp32"),
        ("torchscript", "bf16"),
        ("tvm", "fp32"),
        pytest.param("torch", "fp32", marks=pytest.mark.slow),
    ],
)
def test_an_engine_answers_as_the_model_does(graph: Graph, name: str, precision: str, tmp_path: Path) -> None:
    missing = exporters.exporter(name).available()
    if missing:
        pytest.skip(missing)
    engine = built(graph, name, precision, tmp_path)
    for batch in (1, 2, 4):
        inputs = engine.inputs(range(batch), {})
        expected = check.eager(graph.generation, inputs)[0]
        got = engine.raw(inputs)[0]
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() < CLOSE[precision]


def test_tensorrt_rtx_is_built_ahead_of_time_without_a_gpu(graph: Graph, tmp_path: Path) -> None:
    runtime = exporters.exporter("tensorrt-rtx")
    if runtime.available():
        pytest.skip(runtime.available() or "")
    made = runtime.build(graph, Options("fp16", (1, 4), ("89",)), tmp_path)
    assert (tmp_path / "model.plan").stat().st_size > 10_000
    assert made.more["capabilities"] == ["89"]
    if not torch.cuda.is_available():
        assert "compute capability 8.9" in made.elsewhere


def test_a_compute_capability_that_does_not_exist_is_named(graph: Graph, tmp_path: Path) -> None:
    runtime = exporters.exporter("tensorrt-rtx")
    if runtime.available():
        pytest.skip(runtime.available() or "")
    with pytest.raises(NotBuilt, match="'13'"):
        runtime.build(graph, Options("fp32", (1, 4), ("13",)), tmp_path)


def test_torch_without_a_compiler_runs_the_exported_graph(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = built(graph, "torch", "fp32", tmp_path)
    inputs = engine.inputs(range(3), {})
    assert engine.spec["compiled"] is False
    np.testing.assert_allclose(engine.raw(inputs)[0], check.eager(graph.generation, inputs)[0], atol=1e-5)


def test_int8_without_calibration_is_refused(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="calibration"):
        exporters.exporter("onnx").build(graph, Options("int8", (1, 4)), tmp_path)


def test_the_listing_of_the_folder_is_the_registry() -> None:
    assert exporters.names() == ["onnx", "tensorrt", "tensorrt-rtx", "torch", "torchscript", "tvm"]
    for name in exporters.names():
        assert exporters.exporter(name).name == name


def test_exports_are_made_once_for_all_runtimes(graph: Graph) -> None:
    assert graph.program("fp32") is graph.program("int8")
    assert graph.onnx("fp32") == graph.onnx("fp32")
