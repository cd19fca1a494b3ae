"""Flow matching: learn the velocity that carries noise to data along straight lines (Lipman et al. 2022).

    x_t = (1 - t) * noise + t * x,   velocity = x - noise,   loss = |net(x_t, t) - velocity|^2

Sampling integrates dx/dt = net(x, t) from 0 to 1 by Heun's method, in as many steps as asked.
"""

from typing import Any

import torch
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


class FlowConfig(DenoiserConfig):
    PRESETS = {
        "xs": {"width": 192, "depth": 3, "steps": 2000, "batch": 256, "lr": 2e-3},
        "s": {"width": 256, "depth": 4, "steps": 10000, "batch": 256},
        "m": {"width": 384, "depth": 6, "steps": 50000, "batch": 512},
        "l": {"width": 768, "depth": 12, "steps": 200000, "batch": 1024},
    }


class Flow(Family[FlowConfig]):
    CONFIG = FlowConfig
    FORMATS = ("images", "tabular")

    def __init__(self, config: FlowConfig, data: DataShape) -> None:
        super().__init__(config, data)
        self.told = condition_of(config, data)

    def build(self) -> dict[str, nn.Module]:
        return {"model": Denoiser(self.config, self.data)}

    def loss(self, turn: str, nets: Nets, batch: Batch, noise: Noise) -> Loss:
        x = self.data.encode(batch["x"])  # [batch, *sample]
        x = mirrored(x, noise) if self.config.flip else x
        start = noise.normal(*self.data.sample)
        t = noise.uniform()  # [batch]
        condition = forget(told_in(batch, self.told), self.config.drop_condition, noise, len(self.data.classes))
        along = t.view(-1, *[1] * (x.dim() - 1))
        answer = nets["model"](start.lerp(x, along), t, condition)
        return Loss(velocity=(answer.float() - (x - start)).square().mean())

    def generation(self, nets: Nets, **how: Any) -> Generation:
        steps, guidance = sampling(self.config, how)
        return FlowGeneration(nets["model"], self.told, self.data, steps, guidance)


class FlowGeneration(DenoiserGeneration):
    """Noise to sample by Heun's method over even steps; the last step is Euler's, so n steps cost 2n - 1 calls."""

    def __init__(self, net: nn.Module, told: str, data: DataShape, steps: int, guidance: float) -> None:
        super().__init__(told, data)
        self.net, self.steps, self.guidance = net, steps, guidance

    def forward(self, noise: Tensor, condition: Tensor | None = None) -> Tensor:
        x, size = noise, 1 / self.steps
        for step in range(self.steps):
            here = self.velocity(x, step * size, condition)
            guess = x + size * here
            if step + 1 == self.steps:
                finished: Tensor = self.finish(guess)
                return finished
            x = x + size * (here + self.velocity(guess, (step + 1) * size, condition)) / 2
        raise AssertionError("steps is positive")

    def velocity(self, x: Tensor, t: float, condition: Tensor | None) -> Tensor:
        times = torch.full_like(x.flatten(1)[:, 0], t)
        return guided(self.net, x, times, condition, self.guidance, self.classes)


FAMILY = Flow
