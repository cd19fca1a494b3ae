"""From a split's arrays to batches of tensors, by index: a pure function of which samples and which epoch.

Images and table rows are taken as they are. Sequences are one endless ring, each document led by a start token, cut
into windows that shift from epoch to epoch. This module knows the arrays of a dataset, and nothing of models or steps.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencontract.codes import Code
from gentrainers import rng
from gentrainers.errors import JobError
from gentrainers.families._base import DataShape, caption_bytes

Indices = NDArray[np.int64]


class Split(Protocol):
    """What a split of a dataset offers (package data)."""

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...

    @property
    def captions(self) -> list[str] | None: ...


class Feed(Protocol):
    """Batches by index. `epochs` has one entry per index."""

    def __len__(self) -> int: ...
    def batch(self, which: Indices, epochs: Indices) -> dict[str, Tensor]: ...


def training(split: Split, data: DataShape) -> Feed:
    """Open a split for training. Raises JobError(BAD_DATA) where it is empty."""
    feed: Feed = Windows(split, data) if data.format in ("text", "music") else Rows(split)
    if len(feed) == 0:
        raise JobError(Code.BAD_DATA, "dataset: the train split has no samples; check its source, filters and splits")
    return feed


def scoring(split: Split, data: DataShape) -> "Rows | Documents":
    """Open a split for likelihoods: each sample, or each token of each document, exactly once."""
    return Documents(split, data) if data.format in ("text", "music") else Rows(split)


def moved(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch to a device; pinned first, so that a GPU need not wait for it."""
    if device.type == "cpu":
        return batch
    return {name: t.pin_memory().to(device, non_blocking=True) for name, t in batch.items()}


class Rows:
    """Samples of a fixed shape, with their labels and captions where there are any."""

    def __init__(self, split: Split) -> None:
        self.x = split.arrays["x"]
        self.y = split.arrays.get("y")
        self.captions = split.captions

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, which: Indices, epochs: Indices | None = None) -> dict[str, Tensor]:
        out = {"x": torch.from_numpy(self.x[which])}
        if self.y is not None:
            out["y"] = torch.from_numpy(self.y[which].astype(np.int64))
        if self.captions:
            out["captions"] = caption_bytes(self.captions[i] for i in which)
        return out

    def per_sample(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values


def ring(split: Split, start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Join all documents, each led by the start token; return tokens, and the place of each in its document."""
    tokens, offsets = split.arrays["tokens"], split.arrays["offsets"].astype(np.int64)
    lengths = np.diff(offsets)
    lengths = lengths[lengths > 0]
    firsts = np.cumsum(lengths) - lengths
    joined = np.insert(tokens.astype(np.int64), firsts, start)
    leads = firsts + np.arange(len(lengths))
    return joined, np.arange(len(joined)) - np.repeat(leads, lengths + 1)


class Windows:
    """Windows over the ring of documents: {"tokens", "places": [batch, block + 1]}."""

    def __init__(self, split: Split, data: DataShape) -> None:
        self.block = data.block
        self.ring, self.places = ring(split, data.vocab)

    def __len__(self) -> int:
        return -(-len(self.ring) // self.block)

    def batch(self, which: Indices, epochs: Indices) -> dict[str, Tensor]:
        shifts = np.array([rng.mix("shift", int(e)) % self.block for e in epochs])
        first = which * self.block + shifts
        where = (first[:, None] + np.arange(self.block + 1)) % len(self.ring)
        return {"tokens": torch.from_numpy(self.ring[where]), "places": torch.from_numpy(self.places[where])}


class Documents:
    """Every token of every document once, with at least half a block before it where the document has so much.

    {"tokens", "places": [batch, block + 1], "score": [batch, block]}: score marks the targets that count.
    """

    def __init__(self, split: Split, data: DataShape) -> None:
        self.block, self.start = data.block, data.vocab
        self.tokens, self.offsets = split.arrays["tokens"], split.arrays["offsets"].astype(np.int64)
        self.windows = [(d, at) for d, n in enumerate(np.diff(self.offsets)) for at in self._starts(int(n))]

    def _starts(self, length: int) -> list[int]:
        """Say where windows begin in a document that is led by a start token: half a block apart."""
        return list(range(0, max(length - self.block, 0) + self.block // 2, self.block // 2 or 1)) if length else []

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, which: Indices, epochs: Indices | None = None) -> dict[str, Tensor]:
        rows = [self._window(*self.windows[i]) for i in which]
        tokens, score = (np.stack(part) for part in zip(*rows, strict=True))
        places = np.array([self.windows[i][1] for i in which])[:, None] + np.arange(self.block + 1)
        named = {"tokens": tokens, "places": places, "score": score}
        return {name: torch.from_numpy(array) for name, array in named.items()}

    def _window(self, document: int, at: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        begin, end = self.offsets[document], self.offsets[document + 1]
        led = np.concatenate([[self.start], self.tokens[begin:end].astype(np.int64)])[at : at + self.block + 1]
        row = np.full(self.block + 1, self.start)
        row[: len(led)] = led
        place = np.arange(self.block)  # of a target, counted from the window's second token
        new = place >= (self.block - self.block // 2 if at else 0)
        return row, new & (place < len(led) - 1)

    def per_sample(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the windows of each document."""
        documents = np.array([d for d, _ in self.windows], dtype=np.int64)
        return np.bincount(documents, weights=values, minlength=len(self.offsets) - 1).astype(np.float64)
