"""TensorRT: a serialized engine for the NVIDIA GPU of this machine, from ONNX, strongly typed."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from gentrainers.exporters._base import Built, Options
from gentrainers.exporters._errors import NotBuilt, first_line
from gentrainers.exporters._graph import Graph

WORKSPACE = 4 << 30  # bytes that kernels may use while they are chosen


class TensorRt:
    """Served by Triton's back end `tensorrt` where the server has it."""

    name = "tensorrt"
    packages = ("torch", "onnx", "tensorrt")
    precisions = ("fp32", "bf16", "fp16", "int8")
    native: str | None = "tensorrt"
    model_file = "model.plan"

    def available(self) -> str | None:
        """Need NVIDIA's package with its libraries, and a GPU to choose kernels on."""
        try:
            import_module("tensorrt")
        except Exception as error:  # a missing library shows as ImportError, OSError or RuntimeError
            return f"NVIDIA's tensorrt cannot be loaded ({first_line(error, 160)}); build in NVIDIA's image"
        return None if torch.cuda.is_available() else "there is no NVIDIA GPU, and TensorRT chooses kernels on the GPU"

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Build for the GPU that is here. Raises NotBuilt."""
        trt = import_module("tensorrt")
        (folder / self.model_file).write_bytes(serialize(trt, source_file(graph, options, folder), options, graph))
        return Built()


def source_file(graph: Graph, options: Options, folder: Path) -> Path:
    """Return the ONNX file whose types are the engine's: quantized with explicit scales for int8."""
    if options.precision != "int8":
        return graph.onnx(options.precision)
    from gentrainers.exporters.onnx import quantize

    target = graph.scratch / "int8-model.onnx"
    # TensorRT takes symmetric scales only, and biases in floating point.
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize(graph.onnx("fp32"), target, graph.inputs, options, **symmetric)
    return target


def serialize(trt: Any, source: Path, options: Options, graph: Graph) -> bytes:
    """Parse, set the range of the batch, and build. Raises NotBuilt with the parser's or builder's words."""
    logger, errors = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(source)):
        raise NotBuilt(f"the ONNX file is not accepted: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.add_optimization_profile(_profile(builder, network, options.batches))
    _for_capabilities(trt, config, options.capabilities)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise NotBuilt(f"the builder gave no engine: {errors[0] if errors else 'it did not say why'}")
    return bytes(plan)


def _logger(trt: Any) -> tuple[Any, list[str]]:
    """Return a logger, and the list in which it keeps errors."""
    errors: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                errors.append(message.strip()[:300])

    return Logger(), errors


def _profile(builder: Any, network: Any, batches: Sequence[int]) -> Any:
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (min(batches), *rest), (max(batches), *rest))
    return profile


def _for_capabilities(trt: Any, config: Any, capabilities: Sequence[str]) -> None:
    """Build ahead of time for GPUs that need not be here (TensorRT-RTX only)."""
    if not capabilities:
        return
    config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        known = getattr(trt.ComputeCapability, f"SM{capability}", None)
        if known is None:
            raise NotBuilt(f"compute capability {capability!r} is not one that {trt.__name__} builds for")
        config.set_compute_capability(known, i)


EXPORTER = TensorRt()
