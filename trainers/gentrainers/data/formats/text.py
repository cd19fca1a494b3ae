"""Text: plain files, or one column of records, to a stream of token ids with the borders of documents.

Text is brought to Unicode NFC with "\n" as line end. A long document is cut at line ends into pieces of at most
`options.chunk` characters, which are what is deduplicated and split; pieces that stay together stay in order.
"""

import codecs
import io
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gencontract.task import Column, Wire
from gencontract.wire import canonical
from gentrainers import artifact
from gentrainers.data import near, rows
from gentrainers.data.formats.base import Format, Readers, Shown, parse, samples
from gentrainers.data.npy import NpyWriter, blocks
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.spool import Reader
from gentrainers.data.tokenizers import END, BytePairs, Characters, Tokenizer, Tokens

BLOCK = 1 << 18
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
SHOWN, SHOWN_CHARACTERS = 6, 400
TALLIED = 64
SKETCHED = 64  # texts hashed at once: what fits the processor's cache


class Options(Wire):
    """`column` counts for files of records, `document` for plain text."""

    tokenizer: Literal["char", "bpe"] = "char"
    vocab: int = Field(1024, ge=259, le=1 << 17)  # bpe: ids in all
    block_size: int = Field(256, ge=8, le=1 << 16)
    chunk: int = Field(4096, ge=16, le=1 << 24)
    document: Literal["file", "line"] = "file"
    column: str = "text"
    license_column: str | None = None


class Text(Format[str]):
    """See the module."""

    name: ClassVar[str] = "text"
    suffixes: ClassVar[frozenset[str]] = frozenset({".txt", ".text", ".md"}) | rows.SUFFIXES
    near_method: ClassVar[str] = "minhash"

    def __init__(self, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> None:
        super().__init__(options, columns, key)
        self.options = parse(Options, options)

    def read(self, blob: Blob) -> Iterator[Sample | Reject]:
        """Read a file piece by piece."""
        if Path(blob.name).suffix.lower() in rows.SUFFIXES:
            wanted = [c for c in (self.options.column, self.options.license_column, self.key) if c]
            for found in samples(rows.read(blob, wanted), self.row):
                yield from [found] if isinstance(found, Reject) else self._pieces(found)
        elif self.options.document == "line":
            yield from self._lines(blob)
        else:
            yield from self._file(blob)

    def row(self, row: Mapping[str, Any], where: str) -> Sample:
        """Take the column that options.column names."""
        text = row.get(self.options.column)
        if not isinstance(text, str):
            have = ", ".join(sorted(map(str, row))) or "no column"
            problem = f"has no text in column {self.options.column!r}; it has {have}; set options.column"
            raise Reject(where, problem, "schema")
        license_, key = (row.get(c) if c else None for c in (self.options.license_column, self.key))
        return Sample(_normal(text), where, license=_text(license_), key=_text(key))

    def admit(self, sample: Sample) -> Sample:
        """Normalise what a built-in source wrote."""
        sample.value = _normal(sample.value)
        return sample

    def _pieces(self, sample: Sample) -> Iterator[Sample]:
        """Cut one long record; a short one stays as it is."""
        if len(sample.value) <= self.options.chunk:
            yield sample
            return
        group = _digest(sample.value)
        for part, text in enumerate(cut(iter([sample.value]), self.options.chunk)):
            yield Sample(text, sample.where, key=sample.key, license=sample.license, group=group, part=part)

    def _lines(self, blob: Blob) -> Iterator[Sample]:
        buffered, numbers = "", itertools.count(1)
        for block in _blocks(blob):
            *lines, buffered = (buffered + block).split("\n")
            for line in lines:
                yield from self._pieces(Sample(_normal(line), f"{blob.name} line {next(numbers)}"))
        yield from self._pieces(Sample(_normal(buffered), f"{blob.name} line {next(numbers)}"))

    def _file(self, blob: Blob) -> Iterator[Sample]:
        group = bytes.fromhex(artifact.sha256_file(blob.path).removeprefix("sha256:"))
        for part, text in enumerate(cut(_blocks(blob), self.options.chunk)):
            yield Sample(_normal(text), f"{blob.name} piece {part + 1}", group=group, part=part)

    def empty(self, value: str) -> bool:
        """Say whether there is nothing but white space."""
        return not value.strip()

    def dump(self, value: str) -> bytes:
        """Encode as UTF-8."""
        return value.encode()

    def load(self, data: bytes) -> str:
        """Undo `dump`."""
        return data.decode()

    def map_text(self, value: str, change: Callable[[str], str]) -> str:
        """Change the text."""
        return change(value)

    def measure(self, value: str) -> dict[str, float]:
        """Return characters, words, share of signs, of repeated lines and of digits, and entropy per byte in bits."""
        return measure(value)

    def sketch(self, values: Sequence[str]) -> NDArray[np.uint32]:
        """MinHash over runs of five words, case folded: [n, 128]."""
        texts = [v.lower().encode() for v in values]
        few = [texts[i : i + SKETCHED] for i in range(0, len(texts), SKETCHED)]
        return np.concatenate([near.minhash(*near.word_hashes(t)) for t in few])

    def write(self, folder: Path, splits: Readers[str]) -> dict[str, Any]:
        """Fit the tokenizer on train, then write `tokens.npy` and `offsets.npy`."""
        tokenizer = self._fit(splits["train"])
        (folder / "tokenizer.json").write_bytes(canonical(tokenizer.to_json()))
        dtype = np.uint16 if tokenizer.vocab <= 1 << 16 else np.uint32
        sizes = {n: write_tokens(folder / n, r, tokenizer.encode, [END], dtype) for n, r in splits.items()}
        tokens = {"vocab": tokenizer.vocab, "kind": tokenizer.kind, "blockSize": self.options.block_size, "end": END}
        return {"tokens": {**tokens, "counts": sizes, "bytes": {n: _bytes(r) for n, r in splits.items()}}}

    def _fit(self, train: Reader[str]) -> Tokenizer:
        if self.options.tokenizer == "char":
            return Characters.fit(train)
        return BytePairs.fit(train, self.options.vocab)

    def tallies(self, folder: Path) -> dict[str, dict[str, int]]:
        """Count the most frequent token ids of train; the rest is one bin."""
        return {"token": tally(folder / "train" / "tokens.npy", TALLIED)}

    def show(self, reader: Reader[str]) -> Shown:
        """Quote the beginnings of a few samples."""
        return Shown(texts=[reader.value(i)[:SHOWN_CHARACTERS] for i in range(min(SHOWN, len(reader)))])


def measure(value: str) -> dict[str, float]:
    """Measure one text; see Text.measure."""
    data = value.encode()
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    shares = counts[counts > 0] / max(len(data), 1)
    lines = value.split("\n")
    plain = counts[48:58].sum() + counts[65:91].sum() + counts[97:123].sum() + counts[128:].sum()
    spaces = counts[32] + counts[9:14].sum()
    return {
        "characters": float(len(value)),
        "words": float(len(value.split())),
        "digits": float(counts[48:58].sum()) / max(len(data), 1),
        "symbols": float(len(data) - plain - spaces) / max(len(data), 1),
        "repetition": 1 - len(set(lines)) / len(lines),
        "entropy": abs(-math.fsum(float(s) * math.log2(s) for s in shares)),
    }


def cut(blocks: Iterator[str], limit: int) -> Iterator[str]:
    """Join blocks and cut them into pieces of at most `limit` characters, at a blank line, line end or space if any."""
    held = ""
    for block in blocks:
        held += block
        while len(held) > limit:
            end = _border(held, limit)
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _border(text: str, limit: int) -> int:
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, limit // 2, limit)
        if found >= 0:
            return found + len(mark)
    return limit


def _blocks(blob: Blob) -> Iterator[str]:
    """Decode a file block by block, line ends as "\n". Raises Reject where it is not UTF-8 text."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    done = 0
    with blob.path.open("rb") as file:
        while True:
            data = file.read(BLOCK)
            text = _decoded(decoder, data, blob.name, done)
            yield text if done else text.removeprefix("\ufeff")
            done += len(data)
            if not data:
                return


def _decoded(decoder: io.IncrementalNewlineDecoder, data: bytes, name: str, done: int) -> str:
    try:
        text = decoder.decode(data, final=not data)
    except UnicodeDecodeError as error:
        raise Reject(name, f"is not UTF-8 text near byte {done + error.start}") from None
    if found := CONTROL.search(text):
        raise Reject(name, f"holds the control character {found[0]!r} near byte {done}: not a text file")
    return text


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _digest(text: str) -> bytes:
    return bytes.fromhex(artifact.sha256_bytes(text.encode()).removeprefix("sha256:"))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _bytes(reader: Reader[str]) -> int:
    return int(reader.sizes().sum())


def write_tokens(
    folder: Path, reader: Reader[Any], encode: Callable[[Any], Tokens], end: Sequence[int], dtype: Any
) -> int:
    """Write the tokens of each document, `end` where the text breaks off, and the borders. Returns the tokens."""
    borders = [0]
    closing = np.array(end, np.uint32)
    with NpyWriter(folder / "tokens.npy", dtype) as tokens, NpyWriter(folder / "offsets.npy", np.uint64) as offsets:
        for index in range(len(reader)):
            tokens.append(encode(reader.value(index)))
            if not reader.follows(index):
                tokens.append(closing)
            borders.append(tokens.rows)
        offsets.append(np.array(borders, np.uint64))
    return tokens.rows


def tally(path: Path, most: int) -> dict[str, int]:
    """Count ids in a token file: the `most` frequent by name, all others as "other"."""
    counts = np.zeros(0, np.int64)
    for tokens in blocks(path):
        counts = _added(counts, np.bincount(tokens))
    order = np.lexsort((np.arange(len(counts)), -counts))[:most]
    named = {str(i): int(counts[i]) for i in sorted(order.tolist()) if counts[i]}
    return {**named, "other": int(counts.sum()) - sum(named.values())}


def _added(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
