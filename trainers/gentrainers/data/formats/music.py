"""Music: MIDI and MusicXML to one event grammar, a grid of voices.

Time is cut into steps of a sixteenth note (`options.grid` steps per quarter). At each step every voice says one token,
the highest voice first: a pitch that starts now, HOLD for one that goes on, or REST. So the voice of a token is its
position modulo `voices`, transposing is adding to the tokens from FIRST on, and the vocabulary is the same for every
dataset. A piece ends with one step of END tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gencontract.codes import Code
from gencontract.task import Column, Wire
from gencontract.wire import canonical
from gentrainers.data import archive, near
from gentrainers.data.formats.base import Format, Readers, Shown, parse
from gentrainers.data.formats.text import tally, write_tokens
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.spool import Reader
from gentrainers.errors import JobError

END, REST, HOLD, FIRST = 0, 1, 2, 3
PITCHES = 128
VOCAB = FIRST + PITCHES
NGRAM = 5
SHOWN = 4
SHOWN_STEPS = 192
MAX_BYTES = 32 << 20

Tokens = NDArray[np.uint16]  # [steps * voices]


class Options(Wire):
    """`overflow` says what becomes of a piece with more notes at once than voices."""

    voices: int = Field(4, ge=1, le=16)
    grid: int = Field(4, ge=1, le=24)
    block_size: int = Field(256, ge=8, le=1 << 16)
    max_steps: int = Field(16_384, ge=1)
    overflow: Literal["reject", "drop"] = "reject"


@dataclass(frozen=True)
class Note:
    """One note on the grid."""

    start: int
    end: int  # exclusive
    pitch: int
    part: int


class Music(Format[Tokens]):
    """See the module."""

    name: ClassVar[str] = "music"
    suffixes: ClassVar[frozenset[str]] = frozenset({".mid", ".midi", ".musicxml", ".xml", ".mxl"})
    near_method: ClassVar[str] = "minhash"

    def __init__(self, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> None:
        super().__init__(options, columns, key)
        self.options = parse(Options, options)

    def read(self, blob: Blob) -> Iterator[Sample]:
        """Parse one piece with music21."""
        if blob.path.stat().st_size > MAX_BYTES:
            raise Reject(blob.name, f"is larger than {MAX_BYTES >> 20} MiB: too large for one piece")
        if blob.name.endswith(".mxl"):
            archive.measure(blob.path, blob.name)  # a zip file: refuse bombs before music21 opens it
        try:
            score = parse_file(blob.path)
        except Exception as error:  # music21 raises whatever a damaged file made it stumble over
            raise Reject(blob.name, f"is not MIDI or MusicXML that can be read ({type(error).__name__})") from None
        yield self.sample(score, blob.name)

    def sample(self, score: Any, where: str) -> Sample:
        """Put a music21 score on the grid."""
        notes = list(_notes(score, self.options.grid))
        if not notes:
            raise Reject(where, "has no notes")
        if max(n.end for n in notes) > self.options.max_steps:
            raise Reject(where, f"is longer than options.maxSteps ({self.options.max_steps})")
        tokens, lost = serialise(notes, self.options.voices)
        if lost and self.options.overflow == "reject":
            hint = f"options.voices is {self.options.voices}; raise it or set options.overflow to drop"
            raise Reject(where, f"has {lost} notes beyond the voices at hand; {hint}")
        return Sample(tokens, where)

    def admit(self, sample: Sample) -> Sample:
        """Check that a built-in piece is in the grammar."""
        if error := grammar_error(sample.value, self.options.voices):
            raise JobError(Code.BAD_CONFIG, f"{sample.where}: {error}; set options.voices to the source's number")
        return sample

    def dump(self, value: Tokens) -> bytes:
        """Encode as little-endian 16-bit words."""
        return value.astype("<u2").tobytes()

    def load(self, data: bytes) -> Tokens:
        """Undo `dump`."""
        return np.frombuffer(data, "<u2")

    def measure(self, value: Tokens) -> dict[str, float]:
        """Return steps, notes, lowest, highest and mean pitch, sounding voices, and share of distinct pitch classes."""
        return measure(value, self.options.voices)

    def sketch(self, values: Sequence[Tokens]) -> NDArray[np.uint32]:
        """MinHash over runs of (interval, duration) of each voice: the same tune in any key is the same: [n, 128]."""
        steps = [_melody(v, self.options.voices) for v in values]
        offsets = np.cumsum([0, *(len(s) for s in steps)]).astype(np.int64)
        return near.minhash(near.mix(np.concatenate(steps)), offsets, NGRAM)

    def write(self, folder: Path, splits: Readers[Tokens]) -> dict[str, Any]:
        """Write `tokens.npy` and `offsets.npy`, and the range that transposing may use."""
        o = self.options
        grammar = {"kind": "events", "vocab": VOCAB, "end": END, "rest": REST, "hold": HOLD, "firstPitch": FIRST}
        grammar |= {"voices": o.voices, "grid": o.grid}
        (folder / "tokenizer.json").write_bytes(canonical(grammar))
        end = [END] * o.voices
        sizes = {n: write_tokens(folder / n, r, lambda v: v, end, np.uint16) for n, r in splits.items()}
        low, high = _range(tally(folder / "train" / "tokens.npy", VOCAB))
        tokens = {**grammar, "blockSize": o.block_size, "counts": sizes, "lowest": low, "highest": high}
        return {"tokens": tokens}

    def tallies(self, folder: Path) -> dict[str, dict[str, int]]:
        """Count pitches, rests and holds of train."""
        return {"event": tally(folder / "train" / "tokens.npy", VOCAB)}

    def show(self, reader: Reader[Tokens]) -> Shown:
        """Draw piano rolls of a few pieces."""
        rolls = [piano_roll(reader.value(i), self.options.voices) for i in range(min(SHOWN, len(reader)))]
        return Shown(picture=np.concatenate(rolls)) if rolls else Shown()


def parse_file(path: Path) -> Any:
    """Parse a file with music21 into a score. Raises whatever music21 raises."""
    from music21 import converter

    # No pickle cache: a stored pickle in a shared folder would be code that someone else wrote.
    return converter.parse(str(path), forceSource=True, storePickle=False, format=_kind(path))


def _kind(path: Path) -> str:
    return "midi" if path.suffix.lower() in (".mid", ".midi") else "musicxml"


def _notes(score: Any, grid: int) -> Iterator[Note]:
    parts = list(score.parts) or [score]
    for number, part in enumerate(parts):
        for found in part.stripTies().flatten().notes:
            length = Fraction(found.duration.quarterLength)
            if not length:  # a grace note
                continue
            start = round(Fraction(found.offset) * grid)
            end = max(start + 1, round((Fraction(found.offset) + length) * grid))
            for pitch in sorted((p.midi for p in found.pitches), reverse=True):
                yield Note(start, end, int(pitch), number)


def serialise(notes: Sequence[Note], voices: int) -> tuple[Tokens, int]:
    """Write notes on the grid. Returns tokens [steps * voices] and how many notes found no voice.

    Parts keep their voice where each part sings one note at a time and there are not more parts than voices; otherwise
    a note takes the first free voice, high notes first.
    """
    steps = max(n.end for n in notes)
    grid = np.full((steps, voices), REST, np.uint16)
    free_from = [0] * voices
    fixed = _parts_are_voices(notes, voices)
    lost = 0
    for note in sorted(notes, key=lambda n: (n.start, -n.pitch, n.part, n.end)):
        voice = note.part if fixed else next((v for v in range(voices) if free_from[v] <= note.start), None)
        if voice is None or not 0 <= note.pitch < PITCHES:
            lost += 1
            continue
        grid[note.start, voice] = FIRST + note.pitch
        grid[note.start + 1 : note.end, voice] = HOLD
        free_from[voice] = note.end
    return grid.ravel(), lost


def _parts_are_voices(notes: Sequence[Note], voices: int) -> bool:
    busy_until = [0] * voices
    for note in sorted(notes, key=lambda n: (n.start, n.part)):
        if note.part >= voices or busy_until[note.part] > note.start:
            return False
        busy_until[note.part] = note.end
    return True


def parse_tokens(tokens: Sequence[int] | Tokens, voices: int) -> list[Note]:
    """Read tokens back into notes; END and what follows is left out. Raises ValueError where they break the grammar."""
    if error := grammar_error(np.asarray(tokens), voices):
        raise ValueError(error)
    grid = np.asarray(tokens, np.int64).reshape(-1, voices)
    notes = []
    for voice, line in enumerate(grid.T.tolist()):
        starts = [i for i, t in enumerate(line) if t >= FIRST]
        for start in starts:
            end = next((i for i in range(start + 1, len(line)) if line[i] != HOLD), len(line))
            notes.append(Note(start, end, line[start] - FIRST, voice))
    return sorted(notes, key=lambda n: (n.start, n.part))


def grammar_error(tokens: NDArray[Any], voices: int) -> str:
    """Say what breaks the grammar first, or "" where nothing does."""
    if len(tokens) % voices:
        return f"{len(tokens)} tokens are not whole steps of {voices} voices"
    grid = np.asarray(tokens, np.int64).reshape(-1, voices)
    if grid.size and not (grid.min() >= 0 and grid.max() < VOCAB):
        return f"a token is outside 0 to {VOCAB - 1}"
    if (grid == END).any() and not (grid == END).all(axis=1)[-1]:
        return "END stands inside the piece"
    before = np.vstack([np.full((1, voices), REST), grid[:-1]])
    if ((grid == HOLD) & ((before == REST) | (before == END))).any():
        return "HOLD follows silence"
    return ""


def measure(value: Tokens, voices: int) -> dict[str, float]:
    """Measure one piece; see Music.measure."""
    pitches = value[value >= FIRST].astype(np.int64) - FIRST
    steps = len(value) // voices
    some = len(pitches) > 0
    return {
        "steps": float(steps),
        "notes": float(len(pitches)),
        "lowest": float(pitches.min()) if some else 0.0,
        "highest": float(pitches.max()) if some else 0.0,
        "pitch": int(pitches.sum()) / len(pitches) if some else 0.0,
        "sounding": int((value != REST).sum()) / max(steps, 1),
        "pitchClasses": float(len(np.unique(pitches % 12))),
    }


def transpose(tokens: Tokens, semitones: int) -> Tokens:
    """Move all pitches; other tokens stay. The caller keeps within the range that the dataset's body gives."""
    return np.where(tokens >= FIRST, tokens + semitones, tokens).astype(tokens.dtype)


def _melody(value: Tokens, voices: int) -> NDArray[np.uint64]:
    """List (interval from the note before, duration) of every note, voice by voice."""
    out = []
    for line in value.reshape(-1, voices).T:
        starts = np.flatnonzero(line >= FIRST)
        if len(starts) > 1:
            interval = np.diff(line[starts].astype(np.int64)) + PITCHES
            out.append(interval * 65536 + np.diff(starts))
    return np.concatenate(out or [np.zeros(1, np.int64)]).astype(np.uint64)


def _range(counts: Mapping[str, int]) -> tuple[int, int]:
    """Return the lowest and highest pitch that occurs."""
    pitches = [int(name) - FIRST for name in counts if name != "other" and int(name) >= FIRST]
    return min(pitches, default=0), max(pitches, default=0)


def piano_roll(value: Tokens, voices: int) -> NDArray[np.uint8]:
    """Draw a piece: pitch upwards, time to the right, one colour per voice: [height, width, 3]."""
    colours = np.array([[31, 119, 180], [214, 39, 40], [44, 160, 44], [148, 103, 189]], np.uint8)
    canvas = np.full((73, SHOWN_STEPS, 3), 255, np.uint8)
    for note in parse_tokens(value[: SHOWN_STEPS * voices], voices):
        canvas[int(np.clip(95 - note.pitch, 0, 71)), note.start : note.end] = colours[note.part % len(colours)]
        canvas[int(np.clip(95 - note.pitch, 0, 71)), note.start] //= 2  # where a note starts, darker
    canvas[-1:] = 224
    return canvas
