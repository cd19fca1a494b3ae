"""Arpeggios: small pieces of four voices from a grammar with exactly known chances, and a parser that reads them back.

A piece has a key (12, alike), a pattern for the top voice (3, alike) and eight bars whose chords walk a known Markov
chain from the tonic. In each bar the lower voices hold the chord and the top voice breaks it up in four quarter notes.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.task import PrepareTask
from gentrainers.data.builtin.chance import Dice
from gentrainers.data.formats.music import FIRST, HOLD
from gentrainers.data.sample import Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.pod import Pod

VOICES, BARS, BEATS, STEPS = 4, 8, 4, 4  # steps per beat: sixteenths
CHORDS = {"I": (0, 4, 7), "ii": (2, 5, 9), "IV": (5, 9, 12), "V": (7, 11, 14), "vi": (9, 12, 16)}
NAMES = tuple(CHORDS)
NEXT = {  # of 10
    "I": (1, 2, 3, 3, 1),
    "ii": (0, 1, 1, 7, 1),
    "IV": (2, 2, 1, 5, 0),
    "V": (7, 0, 0, 1, 2),
    "vi": (0, 4, 4, 1, 1),
}
PATTERNS = {"up": (0, 1, 2, 1), "down": (2, 1, 0, 1), "wide": (0, 2, 1, 2)}
BASS, TENOR, ALTO, SOPRANO = 36, 48, 60, 72
SAMPLES = 2_000

Tokens = NDArray[np.uint16]


@dataclass(frozen=True)
class Piece:
    """What the grammar chose."""

    key: int
    pattern: str
    chords: tuple[str, ...]


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Write `source.samples` pieces of `source.seed`."""
    count, seed = task.source.samples or SAMPLES, task.source.seed
    oracle = {"kind": "arpeggios", "entropyPerPiece": entropy_per_piece(), "steps": BARS * BEATS * STEPS}
    return Fetched(
        f"arpeggios/1/{seed}/{count}",
        "Apache-2.0",
        samples=lambda: samples(count, seed),
        about={"samples": count, "seed": seed},
        body={"oracle": oracle},
        draws=True,
    )


def samples(count: int, seed: int) -> Iterator[Sample]:
    """Yield `count` independent pieces."""
    for index in range(count):
        yield Sample(write(sample(seed, index)), f"arpeggios[{index}]")


def sample(seed: int, index: int) -> Piece:
    """Draw one piece."""
    dice = Dice(seed, index)
    key, pattern = dice.below(12), list(PATTERNS)[dice.below(len(PATTERNS))]
    chords = ["I"]
    while len(chords) < BARS:
        chords.append(NAMES[dice.pick(NEXT[chords[-1]])])
    return Piece(key, pattern, tuple(chords))


def write(piece: Piece) -> Tokens:
    """Write a piece on the grid: [512]."""
    grid = np.full((BARS, BEATS, STEPS, VOICES), HOLD, np.uint16)
    for bar, chord in zip(grid, piece.chords, strict=True):
        root, third, fifth = (FIRST + piece.key + note for note in CHORDS[chord])
        bar[0, 0, 1:] = (ALTO + fifth, TENOR + third, BASS + root)
        bar[:, 0, 0] = [SOPRANO + (root, third, fifth)[n] for n in PATTERNS[piece.pattern]]
    return grid.ravel()


def parse(tokens: NDArray[np.integer[Any]]) -> Piece | None:
    """Read a piece back; None where the tokens are not one that the grammar can write."""
    if len(tokens) != BARS * BEATS * STEPS * VOICES:
        return None
    bass = np.asarray(tokens, np.int64).reshape(BARS, -1)[:, VOICES - 1] - FIRST - BASS
    key = int(bass[0])
    roots = {notes[0]: name for name, notes in CHORDS.items()}
    chords = tuple(roots.get(int(b) - key, "") for b in bass)
    possible = (Piece(key, pattern, chords) for pattern in PATTERNS)
    if not 0 <= key < 12 or "" in chords or not _walks(chords):
        return None
    return next((p for p in possible if np.array_equal(write(p), tokens)), None)


def _walks(chords: tuple[str, ...]) -> bool:
    return chords[0] == "I" and all(NEXT[a][NAMES.index(b)] for a, b in itertools.pairwise(chords))


def entropy_per_piece() -> float:
    """Return the entropy of one piece in nats: the least mean negative log-likelihood that any model can reach."""
    share = np.array([1.0, 0, 0, 0, 0])
    step = np.array([NEXT[n] for n in NAMES]) / 10
    each = [-math.fsum(p * math.log(p) for p in row if p) for row in step.tolist()]
    total = math.log(12) + math.log(len(PATTERNS))
    for _ in range(BARS - 1):
        total += float(share @ each)
        share = share @ step
    return float(f"{total:.9g}")
