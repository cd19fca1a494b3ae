"""Find near-duplicates: sketches that probably belong to the same thing, joined into clusters.

Two ways to compare: `minhash` (share of equal positions estimates the Jaccard similarity of two sets of shingles) and
`hamming` (share of equal bits of a 64-bit hash). Which sketch a value gets is the format's business; nothing here knows
what a value is. All is vectorised, and sketches lie on disk: a million documents take some hundred MB here, not more.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
SHINGLE = 5
SEED = 1
RECALL = 0.995  # chance that a pair exactly at the threshold is looked at
BLOCK = 1 << 20
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's constants
_GROW = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.int64]  # [n, 2]


def mix(hashes: Hashes) -> Hashes:
    """Scramble 64-bit words (splitmix64's last step), so that equal inputs alone give equal outputs."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX[0]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _MIX[1]
    return hashes ^ (hashes >> np.uint64(31))


def shingles(tokens: Hashes, offsets: NDArray[np.int64], size: int = SHINGLE) -> tuple[Hashes, NDArray[np.int64]]:
    """Hash each run of `size` tokens that stays within its document; a shorter document is one shingle.

    `offsets` has one more entry than there are documents. Returns hashes and their offsets.
    """
    lengths = np.diff(offsets)
    counts = np.maximum(lengths - size + 1, np.minimum(lengths, 1))
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    first = np.arange(ends[-1]) + np.repeat(offsets[:-1] - ends[:-1], counts)
    padded = np.append(tokens, np.zeros(size, np.uint64))
    runs = chain([padded[step : step + len(tokens)] for step in range(size)])
    found: Hashes = runs[first]
    for document in np.flatnonzero((lengths > 0) & (lengths < size)):
        own = tokens[offsets[document] : offsets[document + 1]]
        found[ends[document]] = chain([own[i : i + 1] for i in range(len(own))])[0]
    return found, ends


def chain(columns: Sequence[NDArray[Any]]) -> Hashes:
    """Hash rows of equal length, given by column, to one word each."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total = total * _GROW + column
    return mix(total)


def word_hashes(texts: list[bytes]) -> tuple[Hashes, NDArray[np.int64]]:
    """Hash each word (run of bytes above space) of each text by a polynomial modulo 2^64, all texts at once."""
    joined = b"\n".join(texts) + b"\n"
    codes = np.frombuffer(joined, np.uint8)
    powers = _powers(len(codes) + 1)
    sums = np.zeros(len(codes) + 1, np.uint64)
    terms = codes.astype(np.uint64)
    terms += np.uint64(1)
    terms *= powers[:-1]
    np.cumsum(terms, out=sums[1:])
    inside = codes > 32
    edges = np.diff(np.concatenate([[False], inside]).astype(np.int8), append=np.int8(0))
    starts, ends = np.flatnonzero(edges[:-1] == 1), np.flatnonzero(edges == -1)
    words = mix((sums[ends] - sums[starts]) * _inverse_powers(len(codes) + 1)[starts])
    limits = np.cumsum([0, *(len(t) + 1 for t in texts)])
    return words, np.searchsorted(starts, limits).astype(np.int64)


_POWERS: dict[int, Hashes] = {}


def _power_table(base: int, count: int) -> Hashes:
    """Return base**0 .. base**(count-1) modulo 2^64; grown by doubling and kept."""
    table = _POWERS.get(base, np.ones(1, np.uint64))
    while len(table) < count:
        table = np.concatenate([table, table * np.uint64(pow(base, len(table), 1 << 64))])
    _POWERS[base] = table
    return table[:count]


def _powers(count: int) -> Hashes:
    return _power_table(int(_GROW), count)


def _inverse_powers(count: int) -> Hashes:
    return _power_table(pow(int(_GROW), -1, 1 << 64), count)


def minhash(tokens: Hashes, offsets: NDArray[np.int64], size: int = SHINGLE) -> NDArray[np.uint32]:
    """Sketch each document: [n, 128]."""
    from rensa import RMinHash

    found, ends = shingles(tokens, offsets, size)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        found, ends.astype(np.uint64), num_perm=PERMUTATIONS, seed=SEED
    )
    return np.array(matrix.to_rows(), np.uint32).reshape(-1, PERMUTATIONS)


def rows_per_band(threshold: float) -> int:
    """Choose the longest band that still finds a pair at the threshold with a chance of RECALL."""
    fits = [r for r in range(1, 17) if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL]
    return max(fits, default=1)


class Sketches:
    """Sketches on disk, appended in batches and compared at the end."""

    def __init__(self, folder: Path, method: str, threshold: float) -> None:
        self.method, self.threshold = method, threshold
        self._path = folder / "sketches"
        self._file = self._path.open("wb")
        self._bands = rows_per_band(threshold)
        names = range(PERMUTATIONS // self._bands) if method == "minhash" else ()
        self._band_files = [(folder / f"band-{n}").open("wb") for n in names]

    def add(self, sketches: NDArray[Any]) -> None:
        """Append sketches [n, k]."""
        self._file.write(np.ascontiguousarray(sketches).data)
        for number, file in enumerate(self._band_files):
            first = number * self._bands
            file.write(chain(list(sketches.T[first : first + self._bands])).data)

    def clusters(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give each of `rows` the position, in `rows`, of the first row of its cluster. Nothing can be added after."""
        for file in (self._file, *self._band_files):
            file.close()
        union = Union(len(rows))
        for pairs in self._hamming(rows) if self.method == "hamming" else self._minhash(rows):
            union.join(pairs)
        return union.roots()

    def _minhash(self, rows: NDArray[np.int64]) -> Iterator[Pairs]:
        stored = np.memmap(self._path, np.uint32, "r").reshape(-1, PERMUTATIONS)
        for file in self._band_files:
            band = np.fromfile(file.name, np.uint64)[rows]
            for pairs in same_values(band):
                yield from self._alike(stored, rows, pairs)

    def _alike(self, stored: NDArray[np.uint32], rows: NDArray[np.int64], pairs: Pairs) -> Iterator[Pairs]:
        for part in np.array_split(pairs, max(1, len(pairs) // 4096)):
            left, right = stored[rows[part[:, 0]]], stored[rows[part[:, 1]]]
            yield part[(left == right).mean(axis=1) >= self.threshold]

    def _hamming(self, rows: NDArray[np.int64]) -> Iterator[Pairs]:
        hashes = np.fromfile(self._path, np.uint64)[rows]
        yield from close_hashes(hashes, int((1 - self.threshold) * 64 + 1e-9))


def same_values(values: Hashes) -> Iterator[Pairs]:
    """Yield each pair of (first, other) position within a run of equal values; one batch."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    new = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    heads = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    yield np.stack([heads, order], axis=1)[~new]
    # A head that is not alike may hide neighbours that are: look at direct neighbours too.
    beside = np.flatnonzero(~new & (heads != np.roll(order, 1)))
    yield np.stack([order[beside - 1], order[beside]], axis=1)


def close_hashes(hashes: Hashes, distance: int) -> Iterator[Pairs]:
    """Yield all pairs of 64-bit hashes that differ in at most `distance` bits.

    Cut into distance + 1 pieces: two such hashes agree in one piece at least, so only those that do are compared.
    """
    unique, first, back = np.unique(hashes, return_index=True, return_inverse=True)
    yield np.stack([first[back], np.arange(len(hashes))], axis=1)
    edges = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        piece = (unique >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        for pairs in _all_pairs(piece):
            differ = np.bitwise_count(unique[pairs[:, 0]] ^ unique[pairs[:, 1]])
            yield first[pairs[differ <= distance]]


def _all_pairs(values: Hashes) -> Iterator[Pairs]:
    """Yield every pair of positions with equal values, about a million at a time."""
    order = np.argsort(values, kind="stable").astype(np.int64)
    ranked = values[order]
    ends = np.searchsorted(ranked, ranked, "right")
    counts = ends - np.arange(len(ranked)) - 1  # partners to the right
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(np.cumsum(counts) // BLOCK)) + 1, [len(order)]])
    for low, high in itertools.pairwise(cuts):
        left = np.repeat(np.arange(low, high), counts[low:high])
        starts = np.cumsum(counts[low:high]) - counts[low:high]
        right = left + 1 + np.arange(len(left)) - np.repeat(starts, counts[low:high])
        yield np.stack([order[left], order[right]], axis=1)


class Union:
    """Union-find whose root is always the smallest member: the outcome does not depend on the order of joins."""

    def __init__(self, size: int) -> None:
        self._up = np.arange(size, dtype=np.int64)

    def find(self, item: int) -> int:
        """Return the smallest member of the item's set."""
        up = self._up
        while up[item] != item:
            up[item] = up[up[item]]
            item = int(up[item])
        return item

    def join(self, pairs: Pairs) -> None:
        """Merge the sets of each pair."""
        for left, right in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
            a, b = self.find(left), self.find(right)
            self._up[max(a, b)] = min(a, b)

    def roots(self) -> NDArray[np.int64]:
        """Return the root of every item."""
        while (self._up[self._up] != self._up).any():
            self._up = self._up[self._up]
        return self._up.copy()
