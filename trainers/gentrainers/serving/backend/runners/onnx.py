"""ONNX Runtime."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime


def load(folder: Path, spec: Mapping[str, Any], threads: int) -> Callable[[list[Any]], list[Any]]:
    """Open `model.onnx` on the best device there is."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait by spinning take the CPU from the server and its other instances, and use up a pod's quota.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [p for p in wanted if p in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=providers)
    names = [s["name"] for s in spec["inputs"]]
    outputs = [s["name"] for s in spec["outputs"]]

    def run(inputs: list[Any]) -> list[Any]:
        return list(session.run(outputs, dict(zip(names, inputs, strict=True))))

    return run
