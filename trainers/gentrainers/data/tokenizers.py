"""Turn text into token ids and back: by characters, or by byte pairs.

A tokenizer is fitted on the train split only and stored as JSON beside the data. Ids 0 and 1 are the same in all:
`END` closes a document, `UNKNOWN` stands for what the tokenizer never saw. Knows text; must not know splits or files.
"""

import heapq
import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

END, UNKNOWN = 0, 1
SPECIAL = ["<end>", "<unknown>"]
REPLACEMENT = "\ufffd"
# A word with the space before it, a run of digits, of signs, or of white space: pairs never cross these borders.
PIECES = re.compile(r" ?[^\W\d_]+| ?\d{1,3}| ?[^\w\s]+|_+|\s+")
CACHE = 200_000

Tokens = NDArray[np.uint32]


class Tokenizer(ABC):
    """Text to ids and back. `vocab` counts all ids, special ones included."""

    kind: str
    vocab: int

    @abstractmethod
    def encode(self, text: str) -> Tokens:
        """Return ids, without END."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; special ones leave END out and write UNKNOWN as U+FFFD."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return all it needs to be built again by `from_json`."""


class Characters(Tokenizer):
    """One id per character that the train split has, in code point order."""

    kind = "char"

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = sorted(characters)
        self.vocab = len(SPECIAL) + len(self.characters)
        self._ids = np.full(0x110000, UNKNOWN, np.uint32)
        self._ids[[ord(c) for c in self.characters]] = np.arange(len(SPECIAL), self.vocab)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> "Characters":
        """Collect the characters of the texts."""
        found: set[str] = set()
        for text in texts:
            found.update(text)
        return cls(sorted(found))

    def encode(self, text: str) -> Tokens:
        """Look every code point up at once."""
        found: Tokens = self._ids[np.frombuffer(text.encode("utf-32-le"), "<u4")]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Undo `encode` for known characters."""
        table = ["", REPLACEMENT, *self.characters]
        return "".join(table[i] for i in ids)

    def to_json(self) -> dict[str, Any]:
        """Return the characters."""
        return {"kind": self.kind, "vocab": self.vocab, "special": SPECIAL, "characters": self.characters}


class BytePairs(Tokenizer):
    """Byte-level byte-pair encoding: 256 bytes, then merges in the order they were learned. Nothing is unknown."""

    kind = "bpe"

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = [(int(a), int(b)) for a, b in merges]
        self._first = len(SPECIAL) + 256
        self.vocab = self._first + len(self.merges)
        self._rank = {pair: n for n, pair in enumerate(self.merges)}
        self._bytes = [b"", REPLACEMENT.encode(), *(bytes([b]) for b in range(256))]
        for a, b in self.merges:
            self._bytes.append(self._bytes[a] + self._bytes[b])
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def fit(cls, texts: Iterable[str], vocab: int) -> "BytePairs":
        """Learn merges until `vocab` ids are there or no pair occurs twice. Ties go to the smaller pair of ids."""
        words: Counter[str] = Counter()
        for text in texts:
            words.update(PIECES.findall(text))
        return cls(_learn(words, vocab - len(SPECIAL) - 256))

    def encode(self, text: str) -> Tokens:
        """Encode piece by piece, each distinct piece once."""
        ids: list[int] = []
        for piece in PIECES.findall(text):
            ids += self._piece(piece)
        return np.array(ids, np.uint32)

    def _piece(self, piece: str) -> list[int]:
        found = self._cache.get(piece)
        if found is None:
            if len(self._cache) >= CACHE:
                self._cache.clear()
            found = self._cache[piece] = self._merge([b + len(SPECIAL) for b in piece.encode()])
        return found

    def _merge(self, ids: list[int]) -> list[int]:
        """Apply the earliest-learned merge that fits, until none does."""
        while len(ids) > 1:
            rank = min(self._rank.get(pair, len(self.merges)) for pair in itertools.pairwise(ids))
            if rank == len(self.merges):
                break
            ids = _joined(ids, self.merges[rank], self._first + rank)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Undo `encode`."""
        return b"".join(self._bytes[i] for i in ids).decode(errors="replace")

    def to_json(self) -> dict[str, Any]:
        """Return the merges."""
        return {"kind": self.kind, "vocab": self.vocab, "special": SPECIAL, "merges": [list(m) for m in self.merges]}


def from_json(data: dict[str, Any]) -> Tokenizer:
    """Build a tokenizer from its JSON."""
    return Characters(data["characters"]) if data["kind"] == "char" else BytePairs(data["merges"])


def _joined(ids: Sequence[int], pair: tuple[int, int], into: int) -> list[int]:
    out: list[int] = []
    for token in ids:
        if out and (out[-1], token) == pair:
            out[-1] = into
        else:
            out.append(token)
    return out


def _learn(words: Counter[str], merges: int) -> list[tuple[int, int]]:
    """Count pairs once, then keep the counts right for the words that a merge changes."""
    # Sorted, so that nothing depends on the order in which words were met.
    spelled = [([b + len(SPECIAL) for b in word.encode()], count) for word, count in sorted(words.items())]
    pairs = _Pairs()
    for number, (ids, count) in enumerate(spelled):
        pairs.tally(ids, count, number)
    pairs.offer(pairs.counts)
    learned: list[tuple[int, int]] = []
    while len(learned) < merges and (best := pairs.best()):
        into = len(SPECIAL) + 256 + len(learned)
        learned.append(best)
        for number in sorted(pairs.where.pop(best)):
            ids, count = spelled[number]
            pairs.tally(ids, -count, number)
            spelled[number] = (_joined(ids, best, into), count)
            pairs.tally(spelled[number][0], count, number)
        pairs.offer(p for p in pairs.fresh if into in p)
    return learned


class _Pairs:
    """Counts of neighbouring ids, where they occur, and the most frequent pair at hand."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()
        self.where: dict[tuple[int, int], set[int]] = {}
        self.fresh: set[tuple[int, int]] = set()
        self._heap: list[tuple[int, int, int]] = []

    def tally(self, ids: Sequence[int], count: int, number: int) -> None:
        """Add the pairs of word `number`, or take them away by a negative count."""
        for pair in itertools.pairwise(ids):
            self.counts[pair] += count
            if count > 0:
                self.where.setdefault(pair, set()).add(number)
                self.fresh.add(pair)

    def offer(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put pairs up for `best`. Only a pair with a new id can have grown since it was last offered."""
        for pair in pairs:
            heapq.heappush(self._heap, (-self.counts[pair], *pair))
        self.fresh.clear()

    def best(self) -> tuple[int, int] | None:
        """Take the most frequent pair, the smaller ids at a tie; None where no pair occurs twice."""
        while self._heap:
            count, a, b = heapq.heappop(self._heap)
            now = self.counts[a, b]
            if now < 2:
                continue
            if now == -count:
                return a, b
            heapq.heappush(self._heap, (-now, a, b))
        return None
