"""A residual network for samples small enough to be one vector: digits of 8x8 pixels, rows of a table."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu


class Block(nn.Module):
    """h + gate * f(norm(h) * (1 + scale) + shift), all three told by the embedding; first the identity."""

    def __init__(self, width: int, embed: int, hidden: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(embed, 3 * width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        scale, shift, gate = self.modulate(emb).chunk(3, dim=-1)
        y = rms_norm(h, h.shape[-1:]) * (1 + scale) + shift
        out: Tensor = h + gate * self.down(silu(self.up(y)))
        return out


class Mlp(nn.Module):
    """[batch, *shape] and an embedding [batch, embed] to [batch, *shape]."""

    def __init__(self, shape: tuple[int, ...], embed: int, width: int, depth: int, expand: int = 2) -> None:
        super().__init__()
        self.shape = shape
        size = math.prod(shape)
        self.enter = nn.Linear(size, width)
        self.blocks = nn.ModuleList(Block(width, embed, expand * width) for _ in range(depth))
        self.leave = nn.Linear(width, size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.enter(x.flatten(1))
        for block in self.blocks:
            h = block(h, emb)
        out: Tensor = self.leave(rms_norm(h, h.shape[-1:]))
        return torch.unflatten(out, 1, self.shape)
