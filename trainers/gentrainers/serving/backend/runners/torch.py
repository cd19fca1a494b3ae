"""PyTorch: a package compiled ahead of time where there is one, else the exported graph run eagerly."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def load(folder: Path, spec: Mapping[str, Any], threads: int) -> Callable[[list[Any]], list[Any]]:
    """Load `model.pt2`; the engine.json says whether it is compiled."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = _module(str(folder / "model.pt2"), bool(spec.get("compiled")), device)

    def run(inputs: list[Any]) -> list[Any]:
        with torch.inference_mode():
            out = module(*(torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in inputs))
        return [y.cpu().numpy() for y in (out if isinstance(out, (tuple, list)) else (out,))]

    return run


def _module(path: str, compiled: bool, device: str) -> Callable[..., Any]:
    if compiled:
        from torch._inductor import aoti_load_package

        package: Callable[..., Any] = aoti_load_package(path)
        return package
    return torch.export.load(path).module().to(device)
