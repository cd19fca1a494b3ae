"""Write Triton's model configuration (protobuf text) from plain values.

Knows the format and nothing of engines or files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Enum(str):
    """A word that is written without quotes."""


@dataclass(frozen=True)
class Port:
    """An input or output of a Triton model; `dims` is without the batch, -1 where any."""

    name: str
    type: str  # as in JSON requests: INT64, UINT8, FP32, BYTES
    dims: tuple[int, ...]
    optional: bool = False
    scalar: bool = False  # one number per sample: dims (1,) outside, none inside the model

    def message(self) -> dict[str, Any]:
        kind = "TYPE_" + ("STRING" if self.type == "BYTES" else self.type)
        optional = {"optional": True} if self.optional else {}
        scalar: dict[str, Any] = {"reshape": {"shape": []}} if self.scalar else {}
        return {"name": self.name, "data_type": Enum(kind), "dims": list(self.dims)} | scalar | optional


def text(message: Mapping[str, Any], indent: int = 0) -> str:
    """Write a message in protobuf's text format, fields in the given order; None is left out.

    >>> print(text({"name": "m", "kind": Enum("KIND_CPU"), "part": [{"n": 1}, {"n": 2}], "dims": [1, -1]}))
    name: "m"
    kind: KIND_CPU
    part {
      n: 1
    }
    part {
      n: 2
    }
    dims: [1, -1]
    <BLANKLINE>
    """
    pad = " " * indent
    return "".join(_field(pad, name, value, indent) for name, value in message.items() if value is not None)


def _field(pad: str, name: str, value: Any, indent: int) -> str:
    if isinstance(value, Mapping):
        return f"{pad}{name} {{\n{text(value, indent + 2)}{pad}}}\n"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "".join(_field(pad, name, v, indent) for v in value)
    if isinstance(value, list):
        return f"{pad}{name}: [{', '.join(_scalar(v) for v in value)}]\n"
    return f"{pad}{name}: {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    return str(value) if isinstance(value, Enum) else json.dumps(value)


def model(
    name: str,
    backend: str,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    max_batch: int,
    batching: Mapping[str, Any] | None,
    instances: int = 1,
    gpu: bool = False,
    parameters: Mapping[str, str] | None = None,
    warmup: Sequence[int] = (),
    model_file: str | None = None,
) -> str:
    """Write config.pbtxt: one live version, dynamic batching, instances on one kind of device, warm-up by batch."""
    message = {
        "name": name,
        "backend": backend,
        "default_model_filename": model_file,
        "max_batch_size": max_batch,
        "input": [p.message() for p in inputs],
        "output": [p.message() for p in outputs],
        "version_policy": {"latest": {"num_versions": 1}},
        "dynamic_batching": batching,
        "instance_group": [{"kind": Enum("KIND_GPU" if gpu else "KIND_CPU"), "count": instances}],
        "model_warmup": [_warmup(inputs, size) for size in warmup],
        "parameters": [{"key": k, "value": {"string_value": v}} for k, v in sorted((parameters or {}).items())],
    }
    return text({k: v for k, v in message.items() if v != []})


def _warmup(inputs: Sequence[Port], size: int) -> dict[str, Any]:
    zeros = [(p, {"data_type": p.message()["data_type"], "dims": list(p.dims), "zero_data": True}) for p in inputs]
    needed = [{"key": p.name, "value": value} for p, value in zeros if not p.optional]
    return {"name": f"batch-{size}", "batch_size": size, "inputs": needed}
