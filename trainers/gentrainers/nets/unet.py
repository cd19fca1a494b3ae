"""A U-Net of residual blocks (Ho et al. 2020): down to a coarse image and back, with shortcuts."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, interpolate, scaled_dot_product_attention, silu

COARSE = 4  # images are halved down to about so many pixels, at most LEVELS - 1 times
LEVELS = 4


def groups(channels: int) -> nn.GroupNorm:
    """Norm over groups of channels, as many as divide them."""
    return nn.GroupNorm(
        next(g for g in (32, 16, 8, 4, 2, 1) if (channels % g == 0 and channels // g >= 4) or g == 1), channels
    )


class Residual(nn.Module):
    """[batch, into, h, w] and an embedding [batch, embed] to [batch, out, h, w]; the embedding scales and shifts."""

    def __init__(self, into: int, out: int, embed: int, drop: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = groups(into), nn.Conv2d(into, out, 3, padding=1)
        self.norm2, self.conv2 = groups(out), nn.Conv2d(out, out, 3, padding=1)
        self.modulate = nn.Linear(embed, 2 * out)
        self.shortcut = nn.Conv2d(into, out, 1) if into != out else nn.Identity()
        self.drop = drop
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulate(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(silu(self.norm1(x)))
        h = silu(self.norm2(h) * (1 + scale) + shift)
        h = self.conv2(dropout(h, self.drop, self.training))
        out: Tensor = self.shortcut(x) + h
        return out


class Attention(nn.Module):
    """Self-attention over all pixels, residual."""

    def __init__(self, channels: int, head: int = 64) -> None:
        super().__init__()
        self.heads = next(n for n in range(max(channels // head, 1), 0, -1) if channels % n == 0)
        self.norm = groups(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)  # each [batch, channels, pixels]
        q, k, v = (t.unflatten(1, (self.heads, -1)).transpose(2, 3) for t in parts)
        y = scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(1, 2)
        out: Tensor = x + self.out(y.reshape(x.shape))
        return out


class Stage(nn.Module):
    """A residual block, followed by attention where the image is small."""

    def __init__(self, into: int, out: int, embed: int, attends: bool, drop: float) -> None:
        super().__init__()
        self.residual = Residual(into, out, embed, drop)
        self.attention = Attention(out) if attends else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        out: Tensor = self.attention(self.residual(x, emb))
        return out


class Unet(nn.Module):
    """[batch, channels, height, width] and an embedding [batch, embed] to the same shape.

    The channels double with every halving, up to four times `channels`; `depth` blocks at each level on each side.
    """

    def __init__(
        self, shape: tuple[int, ...], embed: int, channels: int, depth: int, attention_below: int, drop: float = 0.0
    ) -> None:
        super().__init__()
        widths, side = _widths(shape, channels)
        self.enter = nn.Conv2d(shape[0], channels, 3, padding=1)
        self.down, self.shrink, self.up, self.grow = (nn.ModuleList() for _ in range(4))
        now, kept = channels, [channels]
        for level, width in enumerate(widths):
            attends = side >> level <= attention_below
            for _ in range(depth):
                self.down.append(Stage(now, width, embed, attends, drop))
                kept.append(now := width)
            if level + 1 < len(widths):
                self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        self.middle = Stage(now, now, embed, True, drop)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(depth + 1):
                self.up.append(Stage(now + kept.pop(), width, embed, side >> level <= attention_below, drop))
                now = width
            if level:
                self.grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.depth = depth
        self.norm, self.leave = groups(now), nn.Conv2d(now, shape[0], 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.enter(x)
        kept = [h]
        for number, stage in enumerate(self.down):
            h = stage(h, emb)
            kept.append(h)
            level, ends = divmod(number + 1, self.depth)
            if ends == 0 and level <= len(self.shrink):
                h = self.shrink[level - 1](h)
                kept.append(h)
        h = self.middle(h, emb)
        for number, stage in enumerate(self.up):
            h = stage(torch.cat([h, kept.pop()], dim=1), emb)
            level, ends = divmod(number + 1, self.depth + 1)
            if ends == 0 and level <= len(self.grow):
                h = self.grow[level - 1](interpolate(h, scale_factor=2.0, mode="nearest"))
        out: Tensor = self.leave(silu(self.norm(h)))
        return out


def _widths(shape: tuple[int, ...], channels: int) -> tuple[list[int], int]:
    """Choose the channels of each level, as many levels as the image can be halved."""
    side, widths = min(shape[1:]), [channels]
    left = shape[1:]
    while len(widths) < LEVELS and min(left) > COARSE and all(s % 2 == 0 for s in left):
        left = tuple(s // 2 for s in left)
        widths.append(min(channels * 2 ** len(widths), 4 * channels))
    return widths, side
