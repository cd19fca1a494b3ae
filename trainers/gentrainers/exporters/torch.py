"""PyTorch itself: compiled ahead of time by AOTInductor where a compiler is, else the exported graph run eagerly.

The last fallback, since it always builds.
"""

import shutil
from pathlib import Path

import torch

from gentrainers.exporters._base import Built, Options
from gentrainers.exporters._graph import Graph


class Torch:
    """Served by the Python back end, with the torch version that built it."""

    name = "torch"
    packages = ("torch",)
    precisions = ("fp32", "bf16", "fp16")
    native = None
    model_file = "model.pt2"

    def available(self) -> str | None:
        """Torch is here whenever a model is."""
        return None

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Compile; where that cannot be done, save the exported graph."""
        program = graph.program(options.precision)
        path = str(folder / self.model_file)
        if shutil.which("g++") or shutil.which("c++"):
            try:
                torch._inductor.aoti_compile_and_package(program, package_path=path)
                return Built(compiled=True)
            except Exception as error:  # the compiler's own errors have no common base
                note = str(error).strip().splitlines()[0][:200]
                torch.export.save(program, path)
                return Built(compiled=False, more={"note": f"eager, since AOTInductor failed: {note}"})
        torch.export.save(program, path)
        return Built(compiled=False, more={"note": "eager, since there is no C++ compiler"})


EXPORTER = Torch()
