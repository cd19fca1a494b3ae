"""TensorRT-RTX: built ahead of time without a GPU, for RTX GPUs of stated compute capabilities."""

from importlib import import_module
from pathlib import Path

import torch

from gentrainers.exporters._base import Built, Options
from gentrainers.exporters._errors import first_line
from gentrainers.exporters._graph import Graph
from gentrainers.exporters.tensorrt import serialize, source_file

CAPABILITIES = ("80", "86", "89", "120")  # 75 has no fp32 matrix products


class TensorRtRtx:
    """Served by the Python back end on a machine with an RTX GPU."""

    name = "tensorrt-rtx"
    packages = ("torch", "onnx", "tensorrt-rtx-cu13")
    precisions = ("fp32", "bf16", "fp16", "int8")
    native = None
    model_file = "model.plan"

    def available(self) -> str | None:
        """Need the package; no GPU."""
        try:
            import_module("tensorrt_rtx")
        except Exception as error:  # a missing library shows as ImportError, OSError or RuntimeError
            return f"tensorrt_rtx cannot be loaded ({first_line(error, 160)}); install extra `tensorrt-rtx`"
        return None

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Build for the capabilities asked for, else for all that are common. Raises NotBuilt."""
        trt = import_module("tensorrt_rtx")
        wanted = options.capabilities or CAPABILITIES
        plan = serialize(trt, source_file(graph, options, folder), _with(options, wanted), graph)
        (folder / self.model_file).write_bytes(plan)
        return Built(elsewhere=_elsewhere(wanted), more={"capabilities": list(wanted)})


def _with(options: Options, capabilities: tuple[str, ...]) -> Options:
    return Options(options.precision, options.batches, capabilities, options.calibration)


def _elsewhere(capabilities: tuple[str, ...]) -> str:
    """Say why the engine cannot run here, if so."""
    wanted = ", ".join(f"{c[:-1]}.{c[-1]}" for c in capabilities)
    if not torch.cuda.is_available():
        return f"built ahead of time for GPUs of compute capability {wanted}; there is none here to check it on"
    major, minor = torch.cuda.get_device_capability()
    here = f"{major}{minor}"
    return "" if here in capabilities else f"built for compute capability {wanted}; the GPU here has {major}.{minor}"


EXPORTER = TensorRtRtx()
