"""ONNX Runtime: runs on any CPU and on NVIDIA GPUs; int8 by static quantization."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gentrainers.exporters._base import Built, Options, installed
from gentrainers.exporters._errors import NotBuilt, first_line
from gentrainers.exporters._graph import Graph


class Onnx:
    """Served by Triton's back end `onnxruntime` where the server has it."""

    name = "onnx"
    packages = ("torch", "onnx", "onnxruntime")
    precisions = ("fp32", "fp16", "int8")
    native = "onnxruntime"
    model_file = "model.onnx"

    def available(self) -> str | None:
        """Need onnx, onnxscript and onnxruntime."""
        missing = [p for p in ("onnx", "onnxscript") if not installed(p)]
        if not (installed("onnxruntime") or installed("onnxruntime-gpu")):
            missing.append("onnxruntime")
        return f"not installed: {', '.join(missing)}" if missing else None

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Copy the shared ONNX file, or quantize it."""
        source = graph.onnx(options.precision)
        if options.precision == "int8":
            quantize(source, folder / self.model_file, graph.inputs, options)
            return Built()
        for file in source.parent.iterdir():
            shutil.copy(file, folder / file.name)
        return Built()


def quantize(source: Path, target: Path, inputs: list[str], options: Options, **extra: bool) -> None:
    """Quantize weights and activations to 8 bits, scales taken from typical generations. Raises NotBuilt.

    `extra` are the quantizer's own options.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not options.calibration:
        raise NotBuilt("int8 needs calibration inputs")
    prepared = target.with_name("prepared.onnx")
    try:
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Feeds(iter([dict(zip(inputs, feed, strict=True)) for feed in options.calibration])),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            extra_options=extra,
        )
    except Exception as error:
        raise NotBuilt(f"quantization failed: {first_line(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)


class _Feeds:
    """Calibration inputs, as the quantizer reads them."""

    def __init__(self, feeds: Iterator[dict[str, Any]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


EXPORTER = Onnx()
