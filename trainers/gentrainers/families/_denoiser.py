"""What flow matching and diffusion share: a net told a time and a condition, guidance, and what a batch says.

Knows nothing of either one's time or target.
"""

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.families._base import CAPTION_BYTES, Batch, Config, DataShape, Finish, Generation, TensorSpec
from gentrainers.nets.dit import Dit
from gentrainers.nets.embed import Told
from gentrainers.nets.mlp import Mlp
from gentrainers.nets.unet import Unet
from gentrainers.rng import Noise

SMALL = 256  # up to so many numbers per sample, a residual MLP learns faster than convolutions


class DenoiserConfig(Config):
    """Dials of a net that is told a time and a condition."""

    net: Literal["auto", "mlp", "unet", "dit"] = "auto"
    width: PositiveInt = 256
    depth: PositiveInt = 3
    patch: PositiveInt = 2  # dit: pixels along the side of a token
    heads: PositiveInt = 4
    condition: Literal["auto", "none", "class", "text"] = "auto"
    drop_condition: float = Field(0.1, ge=0, lt=1)  # share of samples that are trained without their condition
    guidance: NonNegativeFloat = 1.0  # 1 samples the condition as learnt; more exaggerates it
    sample_steps: PositiveInt = 8
    flip: bool = False  # mirror images left to right while training
    dropout: float = Field(0.0, ge=0, lt=1)
    attention_below: NonNegativeInt = 16  # unet: self-attention where the image is at most so wide


def condition_of(config: DenoiserConfig, data: DataShape) -> str:
    """Decide what the net is told: none, class or text. Raises JobError(BAD_CONFIG) where the data lacks it."""
    if config.condition == "auto":
        return "text" if data.captions else "class" if data.classes else "none"
    has = {"none": True, "class": bool(data.classes), "text": data.captions}
    if not has[config.condition]:
        raise JobError(
            Code.BAD_CONFIG, f"hyperparameters.condition = {config.condition!r}: the dataset has none; use none or auto"
        )
    return config.condition


class Denoiser(nn.Module):
    """x [batch, *shape], time [batch] and perhaps a condition, to [batch, *shape]."""

    def __init__(self, config: DenoiserConfig, data: DataShape) -> None:
        super().__init__()
        told = condition_of(config, data)
        classes = len(data.classes) if told == "class" else 0
        self.told = Told(config.width, classes, CAPTION_BYTES if told == "text" else 0)
        self.core = core(config, data)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.core(x, self.told(t, condition)))


def core(config: DenoiserConfig, data: DataShape) -> nn.Module:
    """Choose the network that sees the sample."""
    kind = config.net
    if kind == "auto":
        kind = "mlp" if data.format == "tabular" or data.size <= SMALL else "unet"
    if kind == "mlp":
        return Mlp(data.sample, config.width, config.width, config.depth)
    if data.format == "tabular":
        raise JobError(Code.BAD_CONFIG, f"hyperparameters.net = {kind!r} needs images; rows of a table use mlp")
    if kind == "dit":
        return Dit(data.sample, config.width, config.width, config.depth, config.heads, config.patch)
    channels = max(config.width // 4, 16)
    return Unet(data.sample, config.width, channels, config.depth, config.attention_below, config.dropout)


def told_in(batch: Batch, told: str) -> Tensor | None:
    """Pick the condition out of a batch: labels [batch] or caption bytes [batch, bytes]."""
    return {"class": batch.get("y"), "text": batch.get("captions")}.get(told)


def untold(condition: Tensor, classes: int) -> Tensor:
    """Return the condition that says nothing, shaped like the one given."""
    return torch.full_like(condition, classes if condition.dim() == 1 else 0)


def forget(condition: Tensor | None, share: float, noise: Noise, classes: int) -> Tensor | None:
    """Replace a share of the conditions by the one that says nothing (classifier-free guidance, Ho & Salimans 2022)."""
    if condition is None or share == 0:
        return condition
    kept = noise.uniform() >= share
    return torch.where(kept if condition.dim() == 1 else kept[:, None], condition, untold(condition, classes))


def mirrored(x: Tensor, noise: Noise) -> Tensor:
    """Mirror half of the images left to right: [batch, channels, height, width]."""
    return torch.where((noise.uniform() < 0.5)[:, None, None, None], x.flip(-1), x)


def guided(
    net: Callable[..., Tensor], x: Tensor, t: Tensor, condition: Tensor | None, scale: float, classes: int
) -> Tensor:
    """Answer with guidance: unconditional + scale * (conditional - unconditional), both in one call of the net."""
    if condition is None or scale == 1:
        return net(x, t, condition)
    both = torch.cat([condition, untold(condition, classes)])
    answers, n = net(torch.cat([x, x]), torch.cat([t, t]), both), x.shape[0]
    with_it, without = answers[:n], answers[n:]
    return without + scale * (with_it - without)


class DenoiserGeneration(Generation):
    """Inputs and outputs of a generation that starts from noise of the sample's shape."""

    def __init__(self, told: str, data: DataShape) -> None:
        super().__init__()
        self.shares, self.finish = data.shares, Finish(data)
        self.classes = len(data.classes)
        name = "row" if data.format == "tabular" else "image"
        self.inputs = [TensorSpec("noise", "float32", (-1, *data.sample), "normal"), *told_spec(told, data)]
        self.outputs = [TensorSpec(name, "float32", (-1, *data.sample))]


def told_spec(told: str, data: DataShape) -> list[TensorSpec]:
    """Describe the condition as an input."""
    specs: dict[str, list[TensorSpec]] = {
        "class": [TensorSpec("label", "int64", (-1,), "label", len(data.classes))],
        "text": [TensorSpec("caption", "int64", (-1, CAPTION_BYTES), "caption", 256)],
    }
    return specs.get(told, [])


def sampling(config: DenoiserConfig, how: dict[str, Any]) -> tuple[int, float]:
    """Read the sampling dials: steps and guidance, as asked or as configured."""
    steps, guidance = how.get("steps"), how.get("guidance")
    return (config.sample_steps if steps is None else steps), (config.guidance if guidance is None else guidance)
