"""Draw samples as PNG: grids of images, pairs with their nearest training rows, piano rolls. Arrays in, bytes out."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gentrainers.metrics.kit.arrays import Bytes, Tokens

SIDE = 40  # pixels that a small image is enlarged to at least, by whole factors and without smoothing
GAP = 4
PAPER = 255
INKS = np.array([[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167]], np.uint8)  # told apart by all eyes
NOTE = 3  # pixels of a semitone and of a step


def png(pixels: Bytes) -> bytes:
    """Encode [height, width, 3]. The same pixels give the same bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=False)
    return out.getvalue()


def grid(images: Bytes, columns: int) -> Bytes:
    """Lay out images [n, height, width, 1 or 3 channels] in rows: [height, width, 3]."""
    cells = [enlarged(image) for image in images]
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAPER, np.uint8)
    for i, cell in enumerate(cells):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = cell
    return canvas


def enlarged(image: Bytes) -> Bytes:
    """Bring one image [height, width, 1 or 3 channels] to three channels and at least SIDE pixels, by whole factors."""
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]
    factor = max(1, -(-SIDE // min(image.shape[:2])))
    return np.asarray(colour.repeat(factor, axis=0).repeat(factor, axis=1), np.uint8)


def pairs(samples: Bytes, nearest: Bytes) -> Bytes:
    """Lay out samples above their nearest training images, one column each: [height, width, 3]."""
    return grid(np.concatenate([samples, nearest]), len(samples))


def piano_rolls(pieces: Sequence[Tokens], grammar: Mapping[str, Any]) -> Bytes:
    """Draw pieces of music one below the other: time to the right, pitch upwards, one colour per voice.

    A made piece may break the grammar (a note held that never began); what can be read is drawn.
    """
    rolls = [_piano_roll(np.asarray(p, np.int64), grammar) for p in pieces]
    width = max(r.shape[1] for r in rolls)
    padded = [np.pad(r, ((0, GAP * 2), (0, width - r.shape[1]), (0, 0)), constant_values=PAPER) for r in rolls]
    return np.concatenate(padded)


def _piano_roll(piece: npt.NDArray[np.int64], grammar: Mapping[str, Any]) -> Bytes:
    voices, first, hold = int(grammar["voices"]), int(grammar["firstPitch"]), int(grammar["hold"])
    low, high = int(grammar.get("lowest", 36)) - 2, int(grammar.get("highest", 84)) + 2
    steps = piece[: len(piece) // voices * voices].reshape(-1, voices)
    canvas = np.full((high - low + 1, len(steps), 3), 244, np.uint8)
    sounding = np.full(voices, -1)
    for at, step in enumerate(steps):
        sounding = np.where(step >= first, step - first, np.where(step == hold, sounding, -1))
        for voice in np.flatnonzero((sounding >= low) & (sounding <= high)):
            canvas[high - sounding[voice], at] = INKS[voice % len(INKS)]
    return canvas.repeat(NOTE, axis=0).repeat(NOTE, axis=1)
