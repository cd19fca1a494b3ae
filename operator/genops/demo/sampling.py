"""Ask a served model for pictures over plain HTTP, and put them into one PNG."""

import json
import struct
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

from genops.demo.watching import DemoError

COLUMNS, SCALE, GAP = 10, 6, 1


def request(count: int, first_seed: int = 0) -> dict[str, Any]:
    """Make the body of an inference request for `count` samples, one seed each."""
    seeds = list(range(first_seed, first_seed + count))
    return {"inputs": [{"name": "seed", "shape": [count, 1], "datatype": "INT64", "data": seeds}]}


def generate(url: str, model: str, count: int) -> tuple[list[int], list[int]]:
    """Generate `count` samples: the pixels in one flat list, and their shape [count, height, width, channels]."""
    body = json.dumps(request(count)).encode()
    target = f"{url}/v2/models/{model}/infer"
    asked = urllib.request.Request(target, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as reply:
            outputs = json.load(reply)["outputs"]
    except urllib.error.HTTPError as error:
        raise DemoError(f"POST {target} answered {error.code}: {error.read().decode(errors='replace')[:300]}") from None
    except OSError as error:
        raise DemoError(f"POST {target} got no answer: {error}") from None
    sample = next(o for o in outputs if o["name"] == "sample")
    return list(sample["data"]), [int(n) for n in sample["shape"]]


def save_grid(path: Path, pixels: list[int], shape: list[int]) -> None:
    """Write samples [n, height, width, channels] of uint8 as one enlarged grid."""
    count, height, width, channels = shape
    rows = -(-count // COLUMNS)
    wide, high = COLUMNS * (width + GAP) + GAP, rows * (height + GAP) + GAP
    canvas: list[list[tuple[int, ...]]] = [[(40, 44, 52)] * wide for _ in range(high)]
    for i in range(count):
        top, left = (i // COLUMNS) * (height + GAP) + GAP, (i % COLUMNS) * (width + GAP) + GAP
        for y in range(height):
            for x in range(width):
                at = ((i * height + y) * width + x) * channels
                value = pixels[at : at + channels]
                canvas[top + y][left + x] = tuple(value) if channels == 3 else (value[0],) * 3
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png([[p for p in row for _ in range(SCALE)] for row in canvas for _ in range(SCALE)]))


def png(rows: list[list[tuple[int, ...]]]) -> bytes:
    """Encode RGB rows as a PNG."""
    raw = b"".join(b"\0" + bytes(v for pixel in row for v in pixel) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
