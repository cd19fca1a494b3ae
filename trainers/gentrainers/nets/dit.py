"""A transformer over patches of an image, told time and condition by adaptive norms (DiT; Peebles & Xie 2023)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from gencontract.codes import Code
from gentrainers.errors import JobError


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Norm without learnt gains, then scale and shift that the embedding tells: x [batch, tokens, width]."""
    return layer_norm(x, x.shape[-1:]) * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and feed-forward, each with scale, shift and gate from the embedding; first the identity."""

    def __init__(self, width: int, heads: int, embed: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulate = nn.Linear(embed, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulate(emb).chunk(6, dim=-1)
        parts = self.qkv(modulated(x, scale1, shift1)).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in parts)
        y = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate1[:, None] * self.out(y)
        out: Tensor = x + gate2[:, None] * self.down(gelu(self.up(modulated(x, scale2, shift2))))
        return out


class Dit(nn.Module):
    """[batch, channels, height, width] and an embedding [batch, embed] to the same shape."""

    def __init__(self, shape: tuple[int, ...], embed: int, width: int, depth: int, heads: int, patch: int) -> None:
        super().__init__()
        channels, height, wide = shape
        if height % patch or wide % patch or width % heads:
            raise JobError(
                Code.BAD_CONFIG,
                f"hyperparameters.patch = {patch} must divide {height}x{wide}, heads = {heads} must divide {width}",
            )
        self.patch, self.grid = patch, (height // patch, wide // patch)
        tokens = self.grid[0] * self.grid[1]
        self.enter = nn.Conv2d(channels, width, patch, stride=patch)
        self.places = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, embed) for _ in range(depth))
        self.modulate = nn.Linear(embed, 2 * width)
        self.leave = nn.Linear(width, channels * patch * patch)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.enter(x).flatten(2).transpose(1, 2) + self.places  # [batch, tokens, width]
        for block in self.blocks:
            h = block(h, emb)
        scale, shift = self.modulate(emb).chunk(2, dim=-1)
        patches: Tensor = self.leave(modulated(h, scale, shift)).transpose(1, 2)
        return nn.functional.pixel_shuffle(patches.reshape(*patches.shape[:2], *self.grid), self.patch)
