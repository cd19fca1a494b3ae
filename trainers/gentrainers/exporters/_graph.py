"""The graph of a whole generation, exported once and shared: torch.export for each precision, ONNX made from that.

Knows torch.export and ONNX files. It must not know any runtime.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.exporters._errors import NotBuilt, first_line

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.float32}
INSIDE = 1_900_000_000  # bytes of weights that one protobuf file can hold
EXAMPLE_BATCH = 3  # torch.export takes 0 and 1 for constants; 3 is no size of an image either


LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Narrow(nn.Module):
    """A layer in a narrower type: fp32 in, fp32 out, as autocast would; norms, times and samplers stay fp32."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = layer.to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Take and give what the layer does."""
        out: Tensor = self.layer(x.to(self.dtype))
        return out.float()


def narrowed(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Put every matrix product and convolution below `module` into a narrower type."""
    for name, child in module.named_children():
        setattr(module, name, Narrow(child, dtype) if isinstance(child, LAYERS) else narrowed(child, dtype))
    return module


@dataclass
class Graph:
    """A generation and what was exported from it so far. `scratch` holds the shared files."""

    generation: Any  # families.Generation
    scratch: Path
    max_batch: int = 16
    _programs: dict[str, torch.export.ExportedProgram] = field(default_factory=dict)

    @property
    def inputs(self) -> list[str]:
        return [s.name for s in self.generation.inputs]

    @property
    def outputs(self) -> list[str]:
        return [s.name for s in self.generation.outputs]

    def example(self, batch: int = EXAMPLE_BATCH, seed: int = 0) -> tuple[Tensor, ...]:
        """Draw inputs of the generation."""
        drawn: tuple[Tensor, ...] = self.generation.example(batch, seed)
        return drawn

    def program(self, precision: str) -> torch.export.ExportedProgram:
        """Export with a dynamic batch, once per precision."""
        key = "fp32" if precision == "int8" else precision
        if key not in self._programs:
            self._programs[key] = self._export(key)
        return self._programs[key]

    def onnx(self, precision: str) -> Path:
        """Write the ONNX file of a precision, once; all weights are inside or beside it."""
        key = "fp32" if precision == "int8" else precision
        path = self.scratch / key / "model.onnx"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                write_onnx(self.program(key), self, path)
            except JobError:
                raise
            except Exception as error:  # its errors have no common base
                raise NotBuilt(f"torch.onnx.export: {first_line(error)}") from error
        return path

    def module(self, precision: str) -> nn.Module:
        """Return the generation in a precision."""
        dtype = DTYPES[precision]
        if dtype == torch.float32:
            return cast(nn.Module, self.generation.eval())
        return narrowed(copy.deepcopy(self.generation), dtype).eval()

    def _export(self, precision: str) -> torch.export.ExportedProgram:
        batch = torch.export.Dim("batch", min=1, max=max(self.max_batch, EXAMPLE_BATCH + 1))
        example = self.example()
        shapes = tuple({0: batch} for _ in example)
        try:
            with torch.no_grad():
                return torch.export.export(self.module(precision), example, dynamic_shapes=shapes)
        except Exception as error:  # torch.export's errors have no common base
            raise NotBuilt(f"torch.export: {first_line(error)}") from error


def write_onnx(program: torch.export.ExportedProgram, graph: Graph, path: Path) -> None:
    """Turn an exported program into ONNX with named inputs and outputs; weights inside while they fit in 2 GB."""
    size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    made = torch.onnx.export(program, input_names=graph.inputs, output_names=graph.outputs, dynamo=True, verbose=False)
    assert made is not None
    made.save(str(path), external_data=size > INSIDE)
    refuse_foreign_data(path)


def refuse_foreign_data(path: Path) -> None:
    """Check that an ONNX file takes weights only from plain files beside it, with one name each.

    Raises JobError(BAD_DATA): a location elsewhere, or a link, could read any file of the machine. Tensors are looked
    for everywhere, since a constant, a branch or a function may hold one too.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for location in _locations(model):
        _plain(path.parent, location, path)


def _locations(message: Any) -> Iterator[str]:
    """Find where any tensor below a protobuf message says that its bytes lie."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for below in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _locations(below)


def _plain(folder: Path, location: str, path: Path) -> None:
    file = folder / location
    inside = Path(location).name == location and not file.is_symlink() and file.is_file()
    if not inside or file.stat().st_nlink != 1:
        raise JobError(Code.BAD_DATA, f"{path} takes weights from {location!r}, which is not a plain file beside it")
