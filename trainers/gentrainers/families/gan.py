"""A generative adversarial network with a relativistic loss and two gradient penalties (Huang et al. 2024, "R3GAN").

    critic:    softplus(D(fake) - D(real)) + gamma/2 (|grad D(real)|^2 + |grad D(fake)|^2)     R1 and R2
    generator: softplus(D(real) - D(fake))

Both penalties together make the game converge where either net alone would not; no other trick is used.
"""

from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import softplus

from gentrainers.families._base import Batch, Config, DataShape, Family, Finish, Generation, Loss, Nets, TensorSpec
from gentrainers.nets.coder import Decoder, Encoder
from gentrainers.rng import Noise


class GanConfig(Config):
    PRESETS = {
        "xs": {"width": 256, "depth": 2, "latent": 32, "steps": 1200, "batch": 128},
        "s": {"width": 256, "depth": 3, "latent": 64, "steps": 15000, "batch": 128},
        "m": {"width": 512, "depth": 4, "latent": 128, "steps": 60000, "batch": 256},
        "l": {"width": 768, "depth": 6, "latent": 256, "steps": 200000, "batch": 512},
    }

    width: PositiveInt = 256
    depth: PositiveInt = 2
    latent: PositiveInt = 32
    gamma: NonNegativeFloat = 1.0
    critic_lr: PositiveFloat | None = None  # lr where it is not given
    lr: PositiveFloat = 5e-4
    betas: tuple[float, float] = (0.0, 0.99)
    clip: NonNegativeFloat = 0.0
    conditional: bool = True  # told the class, where the data has classes


class Generator(nn.Module):
    """Noise [batch, latent] and perhaps a label [batch] to a sample [batch, *sample], images in [-1, 1]."""

    def __init__(self, config: GanConfig, data: DataShape, classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, config.latent) if classes else None
        self.decoder = Decoder(data.sample, config.latent * (2 if classes else 1), config.width, config.depth)
        self.bounded = data.format == "images"

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        z = noise if self.label is None else torch.cat([noise, self.label(label)], dim=1)
        out: Tensor = self.decoder(z)
        return torch.tanh(out) if self.bounded else out


class Critic(nn.Module):
    """How real each sample looks, for its class where there is one: [batch, *sample] to [batch]."""

    def __init__(self, config: GanConfig, data: DataShape, classes: int) -> None:
        super().__init__()
        self.encoder = Encoder(data.sample, max(classes, 1), config.width, config.depth)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        scores: Tensor = self.encoder(x)  # [batch, classes]
        return scores[:, 0] if label is None else scores.gather(1, label[:, None])[:, 0]


class Gan(Family[GanConfig]):
    CONFIG = GanConfig
    FORMATS = ("images", "tabular")
    turns = ("critic", "generator")

    def __init__(self, config: GanConfig, data: DataShape) -> None:
        super().__init__(config, data)
        self.classes = len(data.classes) if config.conditional else 0

    def build(self) -> dict[str, nn.Module]:
        return {
            "critic": Critic(self.config, self.data, self.classes),
            "generator": Generator(self.config, self.data, self.classes),
        }

    def learning_rate(self, turn: str) -> float:
        return self.config.critic_lr or self.config.lr if turn == "critic" else self.config.lr

    def loss(self, turn: str, nets: Nets, batch: Batch, noise: Noise) -> Loss:
        real, label = self.data.encode(batch["x"]), batch["y"] if self.classes else None
        with torch.set_grad_enabled(turn == "generator"):
            fake = nets["generator"](noise.normal(self.config.latent), label)
        if turn == "generator":
            return Loss(adversarial=softplus(nets["critic"](real, label) - nets["critic"](fake, label)).mean())
        real, fake = real.requires_grad_(), fake.detach().requires_grad_()
        on_real, on_fake = nets["critic"](real, label), nets["critic"](fake, label)
        half = self.config.gamma / 2
        return Loss(
            adversarial=softplus(on_fake - on_real).mean(),
            r1=half * steepness(on_real, real).mean(),
            r2=half * steepness(on_fake, fake).mean(),
        )

    def generation(self, nets: Nets, **how: Any) -> Generation:
        return GanGeneration(nets["generator"], self.data, self.config.latent, self.classes)


def steepness(scores: Tensor, x: Tensor) -> Tensor:
    """Squared norm of the gradient of each score with respect to its own sample: [batch]."""
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


class GanGeneration(Generation):
    """One call of the generator."""

    def __init__(self, generator: nn.Module, data: DataShape, latent: int, classes: int) -> None:
        super().__init__()
        self.generator, self.shares, self.finish = generator, data.shares, Finish(data)
        label = [TensorSpec("label", "int64", (-1,), "label", classes)] if classes else []
        self.inputs = [TensorSpec("noise", "float32", (-1, latent), "normal"), *label]
        self.outputs = [TensorSpec("row" if data.format == "tabular" else "image", "float32", (-1, *data.sample))]

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        out: Tensor = self.finish(self.generator(noise, label))
        return out


FAMILY = Gan
