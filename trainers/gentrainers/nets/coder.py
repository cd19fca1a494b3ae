"""Encoders and decoders between a sample and one vector: residual MLPs for small samples, convolutions for images."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

SMALL = 256  # up to so many numbers per sample, an MLP
WAVES = 4  # octaves of sines and cosines that a table's encoder sees
COARSE = 4  # images are halved down to about so many pixels


class Residual(nn.Module):
    """x + f(norm(x)) on vectors [batch, width]."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Convolved(nn.Module):
    """x + f(norm(x)) on images [batch, channels, height, width]."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(min(8, channels), channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


def vectors(into: int, out: int, width: int, depth: int, dropout: float) -> nn.Sequential:
    """A residual MLP: [batch, into] to [batch, out]."""
    blocks = [Residual(width, dropout) for _ in range(depth)]
    return nn.Sequential(nn.Linear(into, width), *blocks, nn.LayerNorm(width), nn.Linear(width, out))


def halvings(shape: tuple[int, ...]) -> int:
    """Count how often an image can be halved before it is coarse."""
    side, count = min(shape[1:]), 0
    while side > COARSE and side % 2 == 0:
        side, count = side // 2, count + 1
    return count


class Waves(nn.Module):
    """Rows [batch, n], and sines and cosines of them: without these a net sees fine structure late (Gorishniy 2022)."""

    def forward(self, x: Tensor) -> Tensor:
        angles = [x * (math.pi * 2**k / 2) for k in range(WAVES)]
        return torch.cat([x, *(a.sin() for a in angles), *(a.cos() for a in angles)], dim=1)


class Encoder(nn.Module):
    """[batch, *shape] to [batch, out]."""

    def __init__(self, shape: tuple[int, ...], out: int, width: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        if len(shape) == 1:
            self.body = nn.Sequential(Waves(), vectors((1 + 2 * WAVES) * shape[0], out, width, depth, dropout))
            return
        if math.prod(shape) <= SMALL:
            self.body = nn.Sequential(nn.Flatten(), vectors(math.prod(shape), out, width, depth, dropout))
            return
        times, channels = halvings(shape), max(width // 4, 16)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1)]
        for _ in range(times):
            layers += [*(Convolved(channels, dropout) for _ in range(depth)), nn.Conv2d(channels, 2 * channels, 2, 2)]
            channels *= 2
        coarse = math.prod(shape[1:]) // 4**times
        self.body = nn.Sequential(*layers, nn.SiLU(), nn.Flatten(), nn.Linear(channels * coarse, out))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.body(x))


class Grow(nn.Module):
    """Double height and width, halve the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(interpolate(x, scale_factor=2.0, mode="nearest")))


class Decoder(nn.Module):
    """[batch, into] to [batch, *shape]."""

    def __init__(self, shape: tuple[int, ...], into: int, width: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        if math.prod(shape) <= SMALL or len(shape) == 1:
            self.body = nn.Sequential(vectors(into, math.prod(shape), width, depth, dropout), nn.Unflatten(1, shape))
            return
        times = halvings(shape)
        channels, coarse = max(width // 4, 16) * 2**times, [s // 2**times for s in shape[1:]]
        layers: list[nn.Module] = [nn.Linear(into, channels * math.prod(coarse)), nn.Unflatten(1, (channels, *coarse))]
        for _ in range(times):
            layers += [Grow(channels), *(Convolved(channels // 2, dropout) for _ in range(depth))]
            channels //= 2
        self.body = nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(channels, shape[0], 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.body(z))
