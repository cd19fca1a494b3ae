"""Extractors: networks that turn samples into 64 numbers in which distributions are compared.

Two opinions: `learned`, fitted in seconds to the dataset's train split (a classifier where there are classes, otherwise
an autoencoder; next-token prediction for sequences), and `random`, the same network with random weights and a fixed
seed (random networks judge well, Lee et al. 2022). Both are pure functions of the dataset's digest and SEED, are
identified by the digest of their weights, and give float32 features in eval mode.

Features are centred and scaled to a mean variance of FEATURE_VARIANCE over the train split: otherwise the size of a
Frechet distance would depend on how long the extractor was trained, and a kernel distance would depend on where random
weights put the mean. This module must not know any metric.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentrainers.metrics.kit import shelf
from gentrainers.metrics.kit.arrays import Floats, Ints
from gentrainers.metrics.kit.rows import Rows, take

Opinion = Literal["learned", "random"]

WIDTH = 64
SEED = 20
RECIPE = 1  # raise it when anything below changes what is learned: it is part of the cache key
# Per dimension; it puts digits that were held out at a Fréchet distance of 3 to 4 with 360 samples.
FEATURE_VARIANCE = 4.0
BATCH = 128
DILATIONS = (1, 3, 9)  # of the convolutions over a sequence: together they see 53 tokens
LARGEST = 20_000  # rows of the train split that are learned from
SCALED_BY = 4_000  # rows of it that centre and scale are taken of
STEPS, SEQUENCE_STEPS = 300, 150
PIECE = 128  # tokens that are learned from at once


class ImageNet(nn.Module):
    """Convolutions that halve the picture down to 4x4, then one linear layer. uint8 [n, h, w, c] to [n, 64]."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU()]
        wide = 16
        while min(height, width) > 4:
            layers += [nn.Conv2d(wide, min(2 * wide, 128), 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            height, width, wide = height // 2, width // 2, min(2 * wide, 128)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide * height * width, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x.permute(0, 3, 1, 2).float() / 255)
        return features


class SequenceNet(nn.Module):
    """Causal convolutions over embedded tokens, averaged over them. int64 [n, length], padded by -1, to [n, 64]."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab + 1, WIDTH)
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, dilation=d) for d in DILATIONS)

    def states(self, x: Tensor) -> Tensor:
        """Return [n, 64, length]: at each position what is known of the tokens up to it."""
        h: Tensor = self.embed(x + 1).transpose(1, 2)
        for layer, dilation in zip(self.layers, DILATIONS, strict=True):
            h = h + F.gelu(layer(F.pad(h, (4 * dilation, 0))))
        return h

    def forward(self, x: Tensor) -> Tensor:
        real = (x >= 0)[:, None, :]
        return (self.states(x) * real).sum(2) / real.sum(2).clamp(min=1)


class TableNet(nn.Module):
    """Two linear layers over standardised columns. float32 [n, columns] to [n, 64]."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(columns, 128), nn.GELU(), nn.Linear(128, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features


@dataclass(frozen=True)
class Extractor:
    """A frozen network. `digest` names its weights."""

    name: Opinion
    net: nn.Module
    digest: str
    centre: Floats | float = 0.0  # [64]
    scale: float = 1.0

    def features(self, rows: Rows) -> Floats:
        """Return float64 [n, 64]. Each row's features are the same whatever else is in the batch."""
        assert not any(m.training for m in self.net.modules()), "an extractor must be in eval mode"
        assert all(p.dtype == torch.float32 for p in self.net.parameters()), "an extractor must be in float32"
        with torch.inference_mode(), torch.autocast("cpu", enabled=False), one_thread():
            parts = [self.net(as_tensor(take(rows, range(i, min(i + 512, len(rows)))))) for i in _starts(rows, 512)]
        features = torch.cat(parts)
        assert features.dtype == torch.float32, "features must be in float32"
        standard: Floats = (features.numpy().astype(np.float64) - self.centre) * self.scale
        return standard


def as_tensor(rows: Rows) -> Tensor:
    """Make one tensor of rows; sequences are padded by -1 at their end."""
    if not isinstance(rows, list):
        return torch.from_numpy(np.ascontiguousarray(rows))
    longest = max((len(r) for r in rows), default=0)
    padded = np.full((len(rows), longest), -1, np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return torch.from_numpy(padded)


@dataclass(frozen=True)
class Material:
    """What an extractor is made for: the train split, its labels if any, and the dataset's digest and body."""

    rows: Rows
    labels: Ints | None
    modality: str
    body: dict[str, Any]
    digest: str


def make(opinion: Opinion, material: Material) -> Extractor:
    """Give the extractor for a dataset, from the cache where it was made before; the cache changes no bit of it."""
    key = [opinion, material.digest, _shape(material.rows), RECIPE, SEED]
    weights, digest = shelf.fitted(key, lambda: _fitted(opinion, material).state_dict())
    with torch.random.fork_rng(devices=[]):
        net = _net(material).eval()
    net.load_state_dict(weights)
    bare = Extractor(opinion, net, digest)
    seen = bare.features(take(material.rows, range(min(len(material.rows), SCALED_BY))))
    scale = (FEATURE_VARIANCE / max(float(seen.var(axis=0).mean()), 1e-12)) ** 0.5
    return replace(bare, centre=seen.mean(axis=0), scale=scale)


def _fitted(opinion: Opinion, material: Material) -> nn.Module:
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(SEED)
        net = _net(material)
        if opinion == "learned":
            _fit(net, material)
    return net.eval()


def _net(material: Material) -> nn.Module:
    if isinstance(material.rows, list):
        return SequenceNet(int(material.body["tokens"]["vocab"]))
    shape = material.rows.shape[1:]
    return ImageNet(*shape) if material.modality == "images" else TableNet(*shape)


def _fit(net: nn.Module, material: Material) -> None:
    """Fit a network with a throw-away head for a few hundred steps of AdamW under a cosine."""
    loss, head = _lesson(net, material)
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    steps = SEQUENCE_STEPS if isinstance(material.rows, list) else STEPS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    random = np.random.default_rng(SEED)
    for _ in range(steps):
        value = loss(random.integers(0, min(len(material.rows), LARGEST), _batch(material)))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _batch(material: Material) -> int:
    return BATCH // 8 if isinstance(material.rows, list) else BATCH


def _lesson(net: nn.Module, material: Material) -> tuple[Callable[[Ints], Tensor], nn.Module]:
    """Choose what is learned: the next token, the class, or to draw the row again from its 64 numbers."""
    rows, labels = material.rows, material.labels
    if isinstance(rows, list):
        assert isinstance(net, SequenceNet)
        head: nn.Module = nn.Linear(WIDTH, int(material.body["tokens"]["vocab"]))
        return (lambda i: _next_token(net, head, _pieces(take(rows, i), i))), head
    if labels is not None:
        head = nn.Linear(WIDTH, int(labels.max()) + 1)
        target = torch.from_numpy(np.array(labels, np.int64))
        return (lambda i: F.cross_entropy(head(net(as_tensor(rows[i]))), target[torch.from_numpy(i)])), head
    unit = 255.0 if material.modality == "images" else 1.0
    head = nn.Sequential(nn.Linear(WIDTH, 256), nn.GELU(), nn.Linear(256, int(np.prod(rows.shape[1:]))))
    return (lambda i: _redraw(net, head, as_tensor(rows[i]), unit)), head


def _pieces(rows: Rows, index: Ints) -> Tensor:
    """Cut one piece out of each row, at a place that follows from the rows chosen."""
    random = np.random.default_rng(index)
    starts = [int(random.integers(0, max(len(row) - PIECE, 0) + 1)) for row in rows]
    return as_tensor([row[start : start + PIECE] for row, start in zip(rows, starts, strict=True)])


def _next_token(net: SequenceNet, head: nn.Module, x: Tensor) -> Tensor:
    logits = head(net.states(x[:, :-1]).transpose(1, 2))
    return F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), ignore_index=-1)


def _redraw(net: nn.Module, head: nn.Module, x: Tensor, unit: float) -> Tensor:
    return F.mse_loss(head(net(x)), x.flatten(1).float() / unit)


def _shape(rows: Rows) -> list[int]:
    return [len(rows), max(len(r) for r in rows)] if isinstance(rows, list) else list(rows.shape)


def _starts(rows: Rows, step: int) -> range:
    return range(0, len(rows), step)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread: sums in another order would change the last bits, and small networks gain nothing by more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
