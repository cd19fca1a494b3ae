"""Ask a served model for pictures over plain HTTP, and put them into one PNG."""

import json
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genops.demo.watching import DemoError

COLUMNS, SCALE, GAP = 10, 6, 1


def request(seeds: Sequence[int], labels: int = 0) -> dict[str, Any]:
    """Make the body of an inference request: one sample for each seed, and its class where the model has classes."""
    inputs = [_numbers("seed", list(seeds))]
    if labels:
        inputs.append(_numbers("label", [i % labels for i in range(len(seeds))]))
    return {"inputs": inputs}


def _numbers(name: str, values: list[int]) -> dict[str, Any]:
    return {"name": name, "shape": [len(values), 1], "datatype": "INT64", "data": values}


def has_labels(url: str, model: str) -> bool:
    """Ask the server whether the model takes a class."""
    return any(i["name"] == "label" for i in _ask(f"{url}/v2/models/{model}")["inputs"])


def generate(url: str, model: str, count: int) -> tuple[list[int], list[int]]:
    """Generate `count` samples: the pixels in one flat list, and their shape [count, height, width, channels].

    One request makes one row of the picture, so that none is larger than what a server takes at once.
    """
    labels = COLUMNS if has_labels(url, model) else 0
    pixels: list[int] = []
    shape: list[int] = []
    for first in range(0, count, COLUMNS):
        body = request(range(first, min(first + COLUMNS, count)), labels)
        outputs = _ask(f"{url}/v2/models/{model}/infer", body)["outputs"]
        sample = next(o for o in outputs if o["name"] == "sample")
        pixels += sample["data"]
        shape = [count, *(int(n) for n in sample["shape"][1:])]
    return pixels, shape


def _ask(target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = json.dumps(body).encode() if body else None
    asked = urllib.request.Request(target, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=60) as reply:  # an address of the demo's own  # nosec B310
            return dict(json.load(reply))
    except urllib.error.HTTPError as error:
        raise DemoError(f"{target} answered {error.code}: {error.read().decode(errors='replace')[:300]}") from None
    except OSError as error:
        raise DemoError(f"{target} got no answer: {error}") from None


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
