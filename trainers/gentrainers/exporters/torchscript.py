"""TorchScript: a traced and frozen module, run by Triton's back end `pytorch` or by torch itself."""

import warnings
from pathlib import Path

import torch

from gentrainers.exporters._base import Built, Options
from gentrainers.exporters._errors import NotBuilt, first_line
from gentrainers.exporters._graph import Graph


class TorchScript:
    """Traces the module itself: in torch.export's graph the batch is a Python number, which a trace would freeze."""

    name = "torchscript"
    packages = ("torch",)
    precisions = ("fp32", "bf16", "fp16")
    native = "pytorch"
    model_file = "model.pt"

    def available(self) -> str | None:
        """Torch is here whenever a model is."""
        return None

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Trace, freeze and save. Raises NotBuilt."""
        module = graph.module(options.precision)
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                traced = torch.jit.trace(module, graph.example(), check_trace=False)  # type: ignore[no-untyped-call]
                frozen = torch.jit.freeze(traced.eval())
                torch.jit.save(frozen, str(folder / self.model_file))
        except Exception as error:
            raise NotBuilt(f"tracing failed: {first_line(error)}") from error
        return Built()


EXPORTER = TorchScript()
