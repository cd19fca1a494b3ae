"""Write .npy files row by row, so that an array larger than memory can be written once and memory-mapped later."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HEADER = 128  # bytes; format 1.0 asks for a multiple of 64 and leaves the rest to padding


class NpyWriter:
    """An .npy file that grows along its first axis. Every appended array must have `row` as its trailing shape."""

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = ()) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.row = row
        self.rows = 0
        self._file = path.open("wb")
        self._file.write(b"\0" * HEADER)

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows [n, *row]."""
        if rows.shape[1:] != self.row:
            raise ValueError(f"rows of shape {rows.shape[1:]}, the file holds {self.row}")
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.rows += len(rows)

    def close(self) -> None:
        """Write the header, now that the length is known."""
        self._file.seek(0)
        self._file.write(_header(self.dtype, (self.rows, *self.row)))
        self._file.close()

    def __enter__(self) -> "NpyWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def blocks(path: Path, rows: int = 1 << 18) -> Iterator[NDArray[Any]]:
    """Read an .npy file piece by piece. Unlike a memory map, what was read does not stay resident."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else (None, None, None)
        if shape is None or dtype is None or dtype.hasobject:
            raise ValueError(f"{path.name} is not an array of numpy's format 1.0")
        each = math.prod(shape[1:])
        for first in range(0, shape[0], rows):
            count = min(rows, shape[0] - first)
            yield np.fromfile(file, dtype, count * each).reshape(count, *shape[1:])


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Make a header of numpy's format 1.0: magic, version, length, a Python literal, spaces, a line end."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    length = HEADER - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"
