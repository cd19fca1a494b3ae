"""TensorRT, and TensorRT-RTX, which has the same API under another name: a serialized engine on an NVIDIA GPU."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch


def load(folder: Path, spec: Mapping[str, Any], threads: int) -> Callable[[list[Any]], list[Any]]:
    """Deserialize `model.plan`; memory and stream are torch's. Raises RuntimeError for another GPU or version."""
    trt = import_module(str(spec["runtime"]).replace("-", "_"))
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    runtime.engine_host_code_allowed = False
    engine = runtime.deserialize_cuda_engine((folder / "model.plan").read_bytes())
    if engine is None:
        raise RuntimeError(f"{folder / 'model.plan'} was built for another GPU or version of {trt.__name__}")
    return _runner(engine.create_execution_context(), spec)


def _runner(context: Any, spec: Mapping[str, Any]) -> Callable[[list[Any]], list[Any]]:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(inputs: list[Any]) -> list[Any]:
        held = {s["name"]: torch.from_numpy(x).cuda() for s, x in zip(spec["inputs"], inputs, strict=True)}
        for name, x in held.items():
            context.set_input_shape(name, tuple(x.shape))
        outputs = {s["name"]: _empty(s, len(inputs[0])) for s in spec["outputs"]}
        for name, x in (held | outputs).items():
            context.set_tensor_address(name, x.data_ptr())
        torch.cuda.current_stream().synchronize()
        if not context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError("TensorRT could not run the engine; its log says why")
        stream.synchronize()
        return [y.cpu().numpy() for y in outputs.values()]

    return run


def _empty(spec: Mapping[str, Any], rows: int) -> torch.Tensor:
    return torch.empty((rows, *spec["shape"][1:]), dtype=getattr(torch, spec["dtype"]), device="cuda")
