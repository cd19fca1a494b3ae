"""Let a piece of music be heard: its notes as plain tones in a WAV file. Arrays in, bytes out."""

import io
import wave
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 11_025  # samples a second: enough for the partials that are sung
STEP = 0.15  # seconds of a step
PARTIALS = (1.0, 0.5, 0.25)
FADE = 0.02  # seconds in which a note begins and ends, so that it does not click

Wave = npt.NDArray[np.float64]


def wav(piece: npt.NDArray[np.int64], grammar: Mapping[str, Any]) -> bytes:
    """Play a piece: 16 bits, one channel. The same tokens give the same bytes."""
    voices = int(grammar["voices"])
    steps = piece[: len(piece) // voices * voices].reshape(-1, voices)
    sound = np.zeros(max(1, round(len(steps) * STEP * RATE)))
    for voice in range(voices):
        for pitch, begin, end in notes(steps[:, voice], int(grammar["firstPitch"]), int(grammar["hold"])):
            left, right = round(begin * STEP * RATE), round(end * STEP * RATE)
            sound[left:right] += _tone(pitch, right - left)
    peak = max(float(np.abs(sound).max()), 1e-9)
    return _encoded(np.rint(sound / peak * 0.8 * 32767).astype("<i2"))


def notes(tokens: npt.NDArray[np.int64], first: int, hold: int) -> Iterator[tuple[int, int, int]]:
    """List the notes of one voice as pitch, first step and step after the last; what breaks the grammar is silence."""
    pitch, began = -1, 0
    for at, token in enumerate([*tokens.tolist(), -1]):
        if token == hold and pitch >= 0:
            continue
        if pitch >= 0:
            yield pitch, began, at
        pitch, began = (token - first if token >= first else -1), at


def _tone(pitch: int, length: int) -> Wave:
    """A note of equal temperament, A4 = 440 Hz at pitch 69."""
    angle = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.arange(length) / RATE
    sound = sum(strength * np.sin(angle * (i + 1)) for i, strength in enumerate(PARTIALS))
    edge = np.minimum(np.arange(length), np.arange(length)[::-1]) / (FADE * RATE)
    return np.asarray(sound * np.minimum(edge, 1.0))


def _encoded(samples: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return out.getvalue()
