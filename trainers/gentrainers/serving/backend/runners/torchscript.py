"""TorchScript."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def load(folder: Path, spec: Mapping[str, Any], threads: int) -> Callable[[list[Any]], list[Any]]:
    """Load `model.pt`. Its first runs profile and specialise; the warm-up takes them."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = torch.jit.load(str(folder / "model.pt"), map_location=device)  # type: ignore[no-untyped-call]

    def run(inputs: list[Any]) -> list[Any]:
        with torch.inference_mode():
            out = module(*(torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in inputs))
        return [y.cpu().numpy() for y in (out if isinstance(out, tuple) else (out,))]

    return run
