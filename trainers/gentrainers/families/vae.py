"""The variational autoencoder (Kingma & Welling 2013): a code, its posterior, and a likelihood for what is decoded.

    -ELBO = E_q(z|x)[-log p(x|z)] + KL(q(z|x) | N(0, 1)),   in nats per sample

The likelihood is that of the data: a pixel with few levels is binomial, one with many a discretised logistic, a table's
column Gaussian; so that numbers of different models on one dataset compare.
"""

import math
from typing import Any, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from gentrainers.families._base import Batch, Config, DataShape, Family, Finish, Generation, Loss, Nets, TensorSpec
from gentrainers.nets.coder import Decoder, Encoder
from gentrainers.rng import Noise

FEW = 32  # up to so many levels, a pixel is binomial


class VaeConfig(Config):
    PRESETS = {
        "xs": {"width": 256, "depth": 2, "latent": 16, "steps": 450, "batch": 128, "lr": 2e-3},
        "s": {"width": 256, "depth": 3, "latent": 32, "steps": 10000, "batch": 128},
        "m": {"width": 512, "depth": 4, "latent": 64, "steps": 50000, "batch": 256},
        "l": {"width": 1024, "depth": 6, "latent": 128, "steps": 200000, "batch": 512},
    }

    width: PositiveInt = 256
    depth: PositiveInt = 2
    latent: PositiveInt = 16
    dropout: float = Field(0.1, ge=0, lt=1)
    likelihood: Literal["auto", "binomial", "logistic", "gaussian"] = "auto"
    weight_decay: NonNegativeFloat = 0.01


class Autoencoder(nn.Module):
    """x [batch, *sample] and noise [batch, latent] to (out [batch, *sample], log scale, mean, logvar)."""

    def __init__(self, config: VaeConfig, data: DataShape) -> None:
        super().__init__()
        self.encoder = Encoder(data.sample, 2 * config.latent, config.width, config.depth, config.dropout)
        self.decoder = Decoder(data.sample, config.latent, config.width, config.depth, config.dropout)
        first = {"logistic": -2.0, "gaussian": 0.0}.get(likelihood(config, data))
        self.log_scale = None if first is None else nn.Parameter(torch.full(data.sample, first))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, logvar = self.encoder(x).float().chunk(2, dim=-1)
        z = mean + (logvar / 2).exp() * noise  # reparameterisation, section 2.4
        scale = mean.new_zeros(()) if self.log_scale is None else self.log_scale + 0
        return self.decoder(z).float(), scale, mean, logvar


class Vae(Family[VaeConfig]):
    CONFIG = VaeConfig
    FORMATS = ("images", "tabular")

    def build(self) -> dict[str, nn.Module]:
        return {"model": Autoencoder(self.config, self.data)}

    def loss(self, turn: str, nets: Nets, batch: Batch, noise: Noise) -> Loss:
        reconstruction, divergence = self.terms(nets["model"], batch, noise)
        return Loss(reconstruction=reconstruction.mean(), divergence=divergence.mean())

    def nll(self, nets: Nets, batch: Batch, noise: Noise) -> Tensor:
        reconstruction, divergence = self.terms(nets["model"], batch, noise)
        return reconstruction + divergence + sum(math.log(s) for s in self.data.scales)  # a table's own units

    def terms(self, net: nn.Module, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return both terms of -ELBO in nats: [batch] each."""
        x = self.data.encode(batch["x"])
        out, scale, mean, logvar = net(x, noise.normal(self.config.latent))
        return self.surprise(x, out, scale).flatten(1).sum(1), unit_divergence(mean, logvar)

    def surprise(self, x: Tensor, out: Tensor, log_scale: Tensor) -> Tensor:
        """Return -log p(x|z) of each number: [batch, *sample]."""
        kind = likelihood(self.config, self.data)
        if kind == "binomial":
            return -binomial_logp(((x + 1) / 2 * self.data.levels).round(), self.data.levels, out)
        if kind == "logistic":
            return -logistic_logp(x, torch.tanh(out), log_scale, self.data.levels)
        return 0.5 * ((x - out) * (-log_scale).exp()).square() + log_scale + 0.5 * math.log(2 * math.pi)

    def generation(self, nets: Nets, **how: Any) -> Generation:
        return VaeGeneration(
            cast(Autoencoder, nets["model"]).decoder, self.data, self.config.latent, likelihood(self.config, self.data)
        )


def likelihood(config: VaeConfig, data: DataShape) -> str:
    """Decide how a number is distributed around what was decoded."""
    if config.likelihood != "auto":
        return config.likelihood
    if data.format == "tabular":
        return "gaussian"
    return "binomial" if data.levels <= FEW else "logistic"


def unit_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from the unit Gaussian: [batch]."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)


def binomial_logp(k: Tensor, n: int, logits: Tensor) -> Tensor:
    """Log-probability of k successes in n draws."""
    ways = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return ways + k * logsigmoid(logits) + (n - k) * logsigmoid(-logits)


def logistic_logp(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Log-probability of a pixel in [-1, 1] with levels + 1 values; the outer bins reach to infinity."""
    inverse = (-log_scale).exp().clamp(max=1e4)
    upper = (x - mean + 1 / levels) * inverse
    lower = (x - mean - 1 / levels) * inverse
    inside = (upper.sigmoid() - lower.sigmoid()).clamp(min=1e-12).log()
    lowest, highest = -softplus(-upper), -softplus(lower)
    return torch.where(x < -0.999, lowest, torch.where(x > 0.999, highest, inside))


class VaeGeneration(Generation):
    """A code drawn from the unit Gaussian, decoded to the mean."""

    def __init__(self, decoder: nn.Module, data: DataShape, latent: int, likelihood: str) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.finish = decoder, likelihood, Finish(data)
        self.inputs = [TensorSpec("noise", "float32", (-1, latent), "normal")]
        self.outputs = [TensorSpec("row" if data.format == "tabular" else "image", "float32", (-1, *data.sample))]

    def forward(self, noise: Tensor) -> Tensor:
        out: Tensor = self.decoder(noise)
        if self.likelihood == "binomial":
            return out.sigmoid()
        finished: Tensor = self.finish(torch.tanh(out) if self.likelihood == "logistic" else out)
        return finished


FAMILY = Vae
