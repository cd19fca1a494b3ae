"""An engine that one of Triton's native back ends runs: this process only makes noise and pixels.

The call goes from model to model inside the server, without the network.
"""

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from .engine import SPEC, Engine


def load(folder: Path, model: str) -> Engine:
    """Return the engine whose `run` asks the named model of this server."""
    spec = json.loads((folder / SPEC).read_text())
    names, outputs = spec["native"]["inputs"], spec["native"]["outputs"][:1]  # the first is the sample
    memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0)

    def run(inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        # One number per sample is [n, 1] between models.
        shaped = [x.reshape(-1, 1) if x.ndim == 1 else x for x in inputs]
        tensors = [pb_utils.Tensor(name, x) for name, x in zip(names, shaped, strict=True)]
        request = pb_utils.InferenceRequest(
            model_name=model, requested_output_names=outputs, inputs=tensors, preferred_memory=memory
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(response.error().message())
        return [pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]

    return Engine(spec, run)
