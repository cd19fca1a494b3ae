"""TVM: the ONNX graph through relax, compiled by LLVM to a shared library for this machine's CPU."""

from pathlib import Path
from typing import Any

from gentrainers.exporters._base import Built, Options, installed
from gentrainers.exporters._errors import NotBuilt, first_line
from gentrainers.exporters._graph import Graph


class Tvm:
    """Served by the Python back end."""

    name = "tvm"
    packages = ("torch", "onnx", "apache-tvm")
    precisions = ("fp32",)
    native = None
    model_file = "library.so"  # not model.so: Python would import that before the model.py beside it

    def available(self) -> str | None:
        """Need apache-tvm, and a C compiler that links."""
        return None if installed("apache-tvm") else "not installed: apache-tvm (extra `tvm`)"

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Compile and link. Raises NotBuilt."""
        import onnx

        model = onnx.load(str(graph.onnx(options.precision)))
        try:
            compile_library(model, folder / self.model_file)
        except Exception as error:
            raise NotBuilt(f"compilation failed: {first_line(error)}") from error
        return Built()


def compile_library(model: Any, path: Path) -> None:
    """Lower an ONNX model to a shared library; dimensions that have a name stay dynamic."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(model, keep_params_in_input=False)
    target = tvm.target.Target("llvm")
    with target, tvm.transform.PassContext(opt_level=3):
        library = relax.build(relax.get_pipeline("zero")(module), target)
    library.export_library(str(path))


EXPORTER = Tvm()
