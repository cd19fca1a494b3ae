"""A text-to-image latent diffusion net of Stable Diffusion 1.5's size, and the decoder from latents to pixels.

The layers and widths are the published ones (Rombach et al. 2022): 859,520,964 numbers in the net and 49,490,199 in the
decoder, which a test counts. Speed does not depend on the weights, so that a benchmark may draw them at random. Knows
tensors alone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention, silu

WIDTHS = (320, 640, 1280, 1280)
CONTEXT = 768  # numbers per token of the text encoder
TOKENS = 77
LATENT = 4


class Residual(nn.Module):
    """[batch, into, h, w] to [batch, out, h, w], shifted by a time embedding where there is one."""

    def __init__(self, into: int, out: int, time: int = 0, eps: float = 1e-5) -> None:
        super().__init__()
        groups = math.gcd(32, math.gcd(into, out))
        self.norm1, self.conv1 = nn.GroupNorm(groups, into, eps=eps), nn.Conv2d(into, out, 3, padding=1)
        self.time = nn.Linear(time, out) if time else None
        self.norm2, self.conv2 = nn.GroupNorm(groups, out, eps=eps), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        if self.time is not None and emb is not None:
            h = h + self.time(silu(emb))[:, :, None, None]
        out: Tensor = self.shortcut(x) + self.conv2(silu(self.norm2(h)))
        return out


class Attention(nn.Module):
    """Attention from x [batch, n, width] to itself, or to a context [batch, m, into]."""

    def __init__(self, width: int, into: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(into, width, bias=False), nn.Linear(into, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        seen = x if context is None else context
        parts = (self.q(x), self.k(seen), self.v(seen))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in parts)
        out: Tensor = self.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Spatial(nn.Module):
    """Pixels look at each other, then at the text, then think alone: [batch, width, h, w]."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(32, width), width, eps=1e-6)
        self.enter, self.leave = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.alone, self.cross = Attention(width, width, heads), Attention(width, context, heads)
        self.up, self.down = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.enter(self.norm(x)).flatten(2).transpose(1, 2)
        h = h + self.alone(self.norms[0](h))
        h = h + self.cross(self.norms[1](h), context)
        value, gate = self.up(self.norms[2](h)).chunk(2, dim=-1)
        h = h + self.down(value * gelu(gate))
        out: Tensor = x + self.leave(h.transpose(1, 2).reshape(x.shape))
        return out


class Stage(nn.Module):
    """A residual block, followed by attention where the level has it."""

    def __init__(self, into: int, out: int, time: int, context: int, heads: int) -> None:
        super().__init__()
        self.residual = Residual(into, out, time)
        self.spatial = Spatial(out, context, heads) if heads else None

    def forward(self, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
        h: Tensor = self.residual(x, emb)
        return h if self.spatial is None else self.spatial(h, context)


class LatentUnet(nn.Module):
    """Latents [batch, 4, h, w], times [batch] and text [batch, 77, 768] to the noise in them: [batch, 4, h, w]."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, context: int = CONTEXT, heads: int = 8) -> None:
        super().__init__()
        first, time = widths[0], 4 * widths[0]
        self.time = nn.Sequential(nn.Linear(first, time), nn.SiLU(), nn.Linear(time, time))
        self.enter = nn.Conv2d(LATENT, first, 3, padding=1)
        self.down, self.shrink, self.up, self.grow = (nn.ModuleList() for _ in range(4))
        now, kept, last = first, [first], len(widths) - 1
        for level, width in enumerate(widths):
            for _ in range(2):
                self.down.append(Stage(now, width, time, context, heads if level < last else 0))
                kept.append(now := width)
            if level < last:
                self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        self.middle = nn.ModuleList([Stage(now, now, time, context, heads), Stage(now, now, time, context, 0)])
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(3):
                self.up.append(Stage(now + kept.pop(), width, time, context, heads if level < last else 0))
                now = width
            if level:
                self.grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm, self.leave = nn.GroupNorm(math.gcd(32, now), now), nn.Conv2d(now, LATENT, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        emb = self.time(waves(t, self.enter.out_channels).to(x.dtype))
        h = self.enter(x)
        kept = [h]
        for number, stage in enumerate(self.down):
            h = stage(h, emb, context)
            kept.append(h)
            if number % 2 and number // 2 < len(self.shrink):
                h = self.shrink[number // 2](h)
                kept.append(h)
        for stage in self.middle:
            h = stage(h, emb, context)
        for number, stage in enumerate(self.up):
            h = stage(torch.cat([h, kept.pop()], dim=1), emb, context)
            if number % 3 == 2 and number // 3 < len(self.grow):
                h = self.grow[number // 3](interpolate(h, scale_factor=2.0, mode="nearest"))
        out: Tensor = self.leave(silu(self.norm(h)))
        return out


def waves(t: Tensor, width: int) -> Tensor:
    """Cosines and sines of times [batch] at frequencies from 1 down to 1/10000: [batch, width]."""
    half = width // 2
    angle = t.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Single(nn.Module):
    """Attention of one head over all pixels, residual: [batch, width, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(32, width), width, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (t.flatten(2).transpose(1, 2)[:, None] for t in (self.q(h), self.k(h), self.v(h)))
        y = scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.out(y)
        return out


class LatentDecoder(nn.Module):
    """Latents [batch, 4, h, w] to pixels [batch, 3, 8 h, 8 w]."""

    def __init__(self, widths: tuple[int, ...] = (128, 256, 512, 512)) -> None:
        super().__init__()
        now = widths[-1]
        self.first, self.enter = nn.Conv2d(LATENT, LATENT, 1), nn.Conv2d(LATENT, now, 3, padding=1)
        self.middle = nn.Sequential(Residual(now, now, eps=1e-6), Single(now), Residual(now, now, eps=1e-6))
        layers: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(3):
                layers.append(Residual(now, width, eps=1e-6))
                now = width
            if level:
                layers += [nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv2d(now, now, 3, padding=1)]
        self.up = nn.Sequential(*layers)
        self.norm, self.leave = nn.GroupNorm(math.gcd(32, now), now, eps=1e-6), nn.Conv2d(now, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.up(self.middle(self.enter(self.first(z))))
        out: Tensor = self.leave(silu(self.norm(h)))
        return out
