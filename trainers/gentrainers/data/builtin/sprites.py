"""Sprites: 32x32 RGB pictures of one shape, an oracle with exactly known chances and a parser that reads it back.

Shape, then colour given the shape, then size, then the centre (all that fit, alike), then a dark background (each
channel 0 to 63, alike). There is no antialiasing, so that `parse(draw(sprite)) == sprite` for every sprite.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gencontract.task import PrepareTask
from gentrainers.data.builtin.chance import Dice
from gentrainers.data.sample import Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.pod import Pod

SIDE = 32
SHAPES = ("circle", "square", "triangle", "diamond", "cross")
SHAPE_WEIGHTS = (6, 5, 4, 3, 2)  # of 20
COLOURS = {
    "red": (224, 48, 48),
    "green": (48, 200, 80),
    "blue": (64, 96, 240),
    "yellow": (240, 220, 64),
    "magenta": (220, 64, 220),
    "cyan": (64, 220, 220),
}
COLOUR_WEIGHTS = (6, 5, 4, 2, 2, 1)  # of 20; turned by one place for each shape, so that colour depends on shape
SIZES = {"small": 4, "medium": 6, "large": 9}  # radius in pixels
SIZE_WEIGHTS = (2, 2, 1)  # of 5
DARK = 64
SAMPLES = 10_000
CLEAR = 40  # a pixel this far from the background in any channel belongs to the sprite

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sprite:
    """What a picture shows."""

    shape: str
    colour: str
    size: str
    x: int
    y: int
    background: tuple[int, int, int] = (0, 0, 0)

    @property
    def caption(self) -> str:
        """Describe it: size, colour, shape and which third of the picture it is in."""
        return f"a {self.size} {self.colour} {self.shape} at the {_third(self.y, 'top', 'bottom')} {_third(self.x)}"


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Draw `source.samples` sprites of `source.seed`."""
    count, seed = task.source.samples or SAMPLES, task.source.seed
    oracle = {"oracle": {"kind": "sprites", "chances": chances(), "attributeEntropy": attribute_entropy()}}
    about = {"samples": count, "seed": seed}
    return Fetched(
        f"sprites/1/{seed}/{count}",
        "Apache-2.0",
        samples=lambda: samples(count, seed),
        about=about,
        body=oracle,
        draws=True,
    )


def samples(count: int, seed: int) -> Iterator[Sample]:
    """Yield `count` independent draws with shape as label."""
    for index in range(count):
        sprite = sample(seed, index)
        yield Sample(draw(sprite), f"sprites[{index}]", label=sprite.shape, caption=sprite.caption)


def sample(seed: int, index: int) -> Sprite:
    """Draw the attributes of one sprite."""
    dice = Dice(seed, index)
    shape = dice.pick(SHAPE_WEIGHTS)
    colour = dice.pick(_colour_weights(shape))
    size = dice.pick(SIZE_WEIGHTS)
    radius = list(SIZES.values())[size]
    x, y = (radius + dice.below(SIDE - 2 * radius) for _ in range(2))
    dark = (dice.below(DARK), dice.below(DARK), dice.below(DARK))
    return Sprite(SHAPES[shape], list(COLOURS)[colour], list(SIZES)[size], x, y, dark)


def draw(sprite: Sprite) -> Pixels:
    """Draw a sprite: [32, 32, 3]."""
    canvas = np.empty((SIDE, SIDE, 3), np.uint8)
    canvas[:] = sprite.background
    radius = SIZES[sprite.size]
    top, left = sprite.y - radius, sprite.x - radius
    mask = stencil(sprite.shape, radius)
    window = canvas[top : top + 2 * radius, left : left + 2 * radius]
    window[mask[: window.shape[0], : window.shape[1]]] = COLOURS[sprite.colour]
    return canvas


@cache
def stencil(shape: str, radius: int) -> Mask:
    """Return which pixels of a square [2 radius, 2 radius] a shape covers. Every shape touches all four sides."""
    across = np.arange(2 * radius) * 2 - (2 * radius - 1)  # odd numbers, symmetric about 0
    x, y = np.abs(across)[None, :], np.abs(across)[:, None]
    depth = np.arange(2 * radius)[:, None]
    forms = {
        "circle": x * x + y * y <= (2 * radius) ** 2,
        "square": np.ones((2 * radius, 2 * radius), bool),
        "triangle": x <= depth + 1,
        "diamond": x + y <= 2 * radius,
        "cross": (x <= 2 * radius // 3) | (y <= 2 * radius // 3),
    }
    form: Mask = forms[shape]
    return form


def parse(picture: Pixels, least: float = 0.9) -> Sprite | None:
    """Read a picture back, exact or noisy: None where no sprite overlaps it by `least` (intersection over union)."""
    rim = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    background = np.sort(rim, axis=0)[len(rim) // 2]
    mask = (np.abs(picture.astype(int) - background) > CLEAR).any(axis=2)
    if not mask.any() or (background >= DARK + CLEAR).any():
        return None
    colour = _nearest_colour(picture[mask])
    match = max(_candidates(mask), key=lambda c: c[0])
    if match[0] < least:
        return None
    _, shape, size, x, y = match
    red, green, blue = (int(c) for c in background)
    return Sprite(shape, colour, size, x, y, (red, green, blue))


def _candidates(mask: Mask) -> Iterator[tuple[float, str, str, int, int]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = (int(rows[0] + rows[-1] + 1) // 2, int(columns[0] + columns[-1] + 1) // 2)
    for size, radius in SIZES.items():
        for shape in SHAPES:
            yield _overlap(mask, shape, radius, x, y), shape, size, x, y


def _overlap(mask: Mask, shape: str, radius: int, x: int, y: int) -> float:
    """Return intersection over union of a mask and a shape at a centre."""
    top, left = y - radius, x - radius
    if top < 0 or left < 0 or top + 2 * radius > SIDE or left + 2 * radius > SIDE:
        return 0.0
    form = stencil(shape, radius)
    both = int((mask[top : top + 2 * radius, left : left + 2 * radius] & form).sum())
    return both / (int(mask.sum()) + int(form.sum()) - both)


def _nearest_colour(pixels: Pixels) -> str:
    middle = np.sort(pixels, axis=0)[len(pixels) // 2].astype(int)
    return min(COLOURS, key=lambda name: sum((middle - COLOURS[name]) ** 2))


def chances() -> dict[str, dict[str, float]]:
    """Return the exact chances: of shapes, of colours given each shape, of sizes."""
    table = {"shape": _shares(SHAPES, SHAPE_WEIGHTS), "size": _shares(tuple(SIZES), SIZE_WEIGHTS)}
    return table | {f"colour|{s}": _shares(tuple(COLOURS), _colour_weights(n)) for n, s in enumerate(SHAPES)}


def attribute_entropy() -> float:
    """Return the entropy in nats of (shape, colour, size, centre)."""
    weights = dict(zip(SIZES, SIZE_WEIGHTS, strict=True))
    place = sum(w / sum(SIZE_WEIGHTS) * 2 * math.log(SIDE - 2 * SIZES[s]) for s, w in weights.items())
    return _entropy(SHAPE_WEIGHTS) + _entropy(COLOUR_WEIGHTS) + _entropy(SIZE_WEIGHTS) + place


def _entropy(weights: tuple[int, ...]) -> float:
    return -math.fsum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)


def _shares(names: tuple[str, ...], weights: tuple[int, ...]) -> dict[str, float]:
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def _colour_weights(shape: int) -> tuple[int, ...]:
    return COLOUR_WEIGHTS[shape:] + COLOUR_WEIGHTS[:shape]


def _third(at: int, low: str = "left", high: str = "right") -> str:
    return low if at < 11 else "centre" if at < 21 else high
