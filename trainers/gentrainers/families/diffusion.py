"""Diffusion with the preconditioning and the sampler of EDM (Karras et al. 2022).

    denoised(y, sigma) = c_skip y + c_out net(c_in y, log(sigma) / 4),
    loss = lambda(sigma) |denoised(x + sigma n, sigma) - x|^2

lambda makes the net's own target of unit size at every noise level. Sampling follows dy/dsigma = (y - denoised) / sigma
from the largest noise level down to none by Heun's method.
"""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from gentrainers.families._base import Batch, DataShape, Family, Generation, Loss, Nets
from gentrainers.families._denoiser import (
    Denoiser,
    DenoiserConfig,
    DenoiserGeneration,
    condition_of,
    forget,
    guided,
    mirrored,
    sampling,
    told_in,
)
from gentrainers.rng import Noise


class DiffusionConfig(DenoiserConfig):
    PRESETS = {
        "xs": {"width": 192, "depth": 3, "steps": 2000, "batch": 256, "lr": 2e-3, "sample_steps": 18},
        "s": {"width": 256, "depth": 4, "steps": 10000, "batch": 256, "sample_steps": 18},
        "m": {"width": 384, "depth": 6, "steps": 50000, "batch": 512, "sample_steps": 18},
        "l": {"width": 768, "depth": 12, "steps": 200000, "batch": 1024, "sample_steps": 18},
    }

    sigma_data: PositiveFloat = 0.5  # standard deviation of the data as nets see it
    log_sigma_mean: float = -0.8  # of the noise levels met in training
    log_sigma_spread: PositiveFloat = 1.4
    sigma_low: PositiveFloat = 0.002  # of the noise levels passed in sampling
    sigma_high: PositiveFloat = 40.0
    rho: PositiveFloat = 7.0  # how much the levels crowd at the low end


class Diffusion(Family[DiffusionConfig]):
    CONFIG = DiffusionConfig
    FORMATS = ("images", "tabular")

    def __init__(self, config: DiffusionConfig, data: DataShape) -> None:
        super().__init__(config, data)
        self.told = condition_of(config, data)

    def build(self) -> dict[str, nn.Module]:
        return {"model": Denoiser(self.config, self.data)}

    def loss(self, turn: str, nets: Nets, batch: Batch, noise: Noise) -> Loss:
        x = self.data.encode(batch["x"])  # [batch, *sample]
        x = mirrored(x, noise) if self.config.flip else x
        log_sigma = self.config.log_sigma_mean + self.config.log_sigma_spread * noise.normal()  # [batch]
        sigma = log_sigma.exp().view(-1, *[1] * (x.dim() - 1))
        condition = forget(told_in(batch, self.told), self.config.drop_condition, noise, len(self.data.classes))
        y = x + sigma * noise.normal(*self.data.sample)
        answer = denoised(nets["model"], y, sigma, condition, self.config.sigma_data)
        weight = (sigma**2 + self.config.sigma_data**2) / (sigma * self.config.sigma_data) ** 2
        return Loss(denoising=(weight * (answer - x).square()).mean())

    def generation(self, nets: Nets, **how: Any) -> Generation:
        steps, guidance = sampling(self.config, how)
        return DiffusionGeneration(nets["model"], self.told, self.data, self.config, steps, guidance)


def denoised(net: Any, y: Tensor, sigma: Tensor, condition: Tensor | None, sigma_data: float) -> Tensor:
    """Estimate the clean sample from y [batch, *sample] at noise levels sigma, shaped to multiply y."""
    total = (sigma**2 + sigma_data**2).sqrt()
    answer: Tensor = net(y / total, sigma.flatten().log() / 4, condition).float()
    return (sigma_data / total) ** 2 * y + (sigma * sigma_data / total) * answer


class DiffusionGeneration(DenoiserGeneration):
    """Noise to sample by Heun's method over EDM's noise levels; n steps cost 2n - 1 calls of the net."""

    def __init__(
        self, net: nn.Module, told: str, data: DataShape, config: DiffusionConfig, steps: int, guidance: float
    ) -> None:
        super().__init__(told, data)
        self.net, self.guidance, self.sigma_data = net, guidance, config.sigma_data
        low, high = config.sigma_low ** (1 / config.rho), config.sigma_high ** (1 / config.rho)
        self.levels = [(high + i / max(steps - 1, 1) * (low - high)) ** config.rho for i in range(steps)] + [0.0]

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        y = noise * self.levels[0]
        for high, low in zip(self.levels, self.levels[1:], strict=False):
            here = self.slope(y, high, condition)
            guess = y + (low - high) * here
            y = y + (low - high) * (here + self.slope(guess, low, condition)) / 2 if low else guess
        finished: Tensor = self.finish(y)
        return finished

    def slope(self, y: Tensor, sigma: float, condition: Tensor | None) -> Tensor:
        def net(at: Tensor, levels: Tensor, told: Tensor | None) -> Tensor:
            return denoised(self.net, at, levels.view(-1, *[1] * (at.dim() - 1)), told, self.sigma_data)

        levels = torch.full_like(y.flatten(1)[:, 0], sigma)
        return (y - guided(net, y, levels, condition, self.guidance, self.classes)) / sigma


FAMILY = Diffusion
