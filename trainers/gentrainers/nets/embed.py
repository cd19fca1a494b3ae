"""Embeddings of what a net is told beside the sample: a time or noise level, a class, a caption."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from gencontract.codes import Code
from gentrainers.errors import JobError

BYTES = 256


class Fourier(nn.Module):
    """Cosines and sines of a number at frequencies spread evenly on a log scale: [batch] to [batch, 2 * count]."""

    frequencies: Tensor

    def __init__(self, count: int, highest: float = 1000.0) -> None:
        super().__init__()
        ladder = torch.exp(torch.linspace(0, math.log(highest), count))
        self.register_buffer("frequencies", ladder, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        angle = t.float()[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Caption(nn.Module):
    """A small text encoder: UTF-8 bytes [batch, length], zero-filled, to one vector [batch, width]."""

    def __init__(self, length: int, width: int, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise JobError(
                Code.BAD_CONFIG,
                f"hyperparameters.width = {width} must be a multiple of {heads} where captions are read",
            )
        self.bytes = nn.Embedding(BYTES, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(CaptionBlock(width, heads) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        present = (tokens > 0).float()[..., None]  # [batch, length, 1]
        h = self.bytes(tokens) + self.places
        away = ((tokens == 0) & (tokens.sum(-1, keepdim=True) > 0))[:, None, None, :]
        for block in self.blocks:
            h = block(h, away)
        return torch.div((h * present).sum(1), present.sum(1).clamp(min=1))


class CaptionBlock(nn.Module):
    """Attention over the bytes that are there, then a feed-forward layer; both residual, normed first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor, away: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.norms[0](h)).chunk(3, -1))
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=~away)
        h = h + self.out(y.transpose(1, 2).flatten(2))
        out: Tensor = h + self.feed(self.norms[1](h))
        return out


class Told(nn.Module):
    """All that a denoiser is told, as one vector: time [batch] and a condition (labels [batch] or bytes [batch, n]).

    `classes` many labels have one more beside them, `classes` itself, which stands for "not told"; a caption of zeros
    stands for the same. That is what guidance needs.
    """

    def __init__(self, width: int, classes: int = 0, caption: int = 0, frequencies: int = 32) -> None:
        super().__init__()
        self.time = nn.Sequential(Fourier(frequencies), nn.Linear(2 * frequencies, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.caption = Caption(caption, width) if caption else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, condition: Tensor | None = None) -> Tensor:
        h: Tensor = self.time(t)
        if self.label is not None and condition is not None:
            h = h + self.label(condition)
        if self.caption is not None and condition is not None:
            h = h + self.caption(condition)
        return silu(self.mix(h))
