"""TVM: a compiled shared library, run by the relax virtual machine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def load(folder: Path, spec: Mapping[str, Any], threads: int) -> Callable[[list[Any]], list[Any]]:
    """Load `library.so` for the CPU."""
    import tvm
    from tvm import relax

    tvm.get_global_func("runtime.config_threadpool")(1, threads)
    machine = relax.VirtualMachine(tvm.runtime.load_module(str(folder / "library.so")), tvm.cpu())

    def run(inputs: list[Any]) -> list[Any]:
        out = machine["main"](*(tvm.runtime.tensor(np.ascontiguousarray(x)) for x in inputs))
        return [out.numpy()] if hasattr(out, "numpy") else [y.numpy() for y in out]

    return run
