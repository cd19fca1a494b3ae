"""Pictures as bytes that are equal everywhere: PNG without compression, and SVG charts.

Compressors differ between versions and platforms, and a dataset's digest covers its pictures; so a PNG here holds its
pixels stored, not packed. They are small. Knows pixels and counts, nothing of data.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STORED = 65_535  # the longest stored block of deflate


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode [height, width, 3] as PNG."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # filter type 0 before each row
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", _stored(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """Wrap bytes as a zlib stream of stored blocks."""
    blocks = [data[i : i + STORED] for i in range(0, len(data), STORED)] or [b""]
    framed = [
        struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks)
    ]
    return b"\x78\x01" + b"".join(framed) + struct.pack(">I", zlib.adler32(data))


def bars(counts: Sequence[int], width: int = 240, height: int = 48) -> str:
    """Draw counts as an SVG bar chart."""
    most = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    drawn = "".join(_bar(i, n / most, step, height) for i, n in enumerate(counts))
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">{drawn}</svg>'


def _bar(position: int, share: float, step: float, height: int) -> str:
    tall = share * height
    at = f'x="{position * step:.2f}" y="{height - tall:.2f}" width="{step * 0.9:.2f}" height="{tall:.2f}"'
    return f'<rect {at} fill="currentColor"/>'
