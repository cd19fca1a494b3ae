"""What a family is: a config, nets, a loss per turn, and a generation. One family is one file in this folder.

Adding a family is adding a file whose name is the family's and whose class `FAMILY` says the rest; the listing of the
folder is the registry. A family must not know of loops, devices, processes, files or pods: it gets tensors and noise.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from torch import Tensor, nn

from gencontract.codes import Code
from gencontract.wire import explain
from gentrainers import rng
from gentrainers.errors import JobError

Batch = Mapping[str, Tensor]
Nets = Mapping[str, nn.Module]  # by turn
CAPTION_BYTES = 64  # a caption is read as so many UTF-8 bytes, filled up with zeros


class Config(BaseModel):
    """The dials that every family has. A family's own config adds to them and sets `PRESETS`, one entry per size."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"xs": {}, "s": {}, "m": {}, "l": {}}

    steps: PositiveInt = 2000
    batch: PositiveInt = 128  # of all processes together
    accumulate: PositiveInt = 1  # parts that a batch is cut into to fit memory
    lr: PositiveFloat = 1e-3
    optimizer: Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: NonNegativeFloat = 0.0
    clip: NonNegativeFloat = 1.0  # largest norm of a gradient; 0 does not clip
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    warmup: NonNegativeInt = 100  # steps
    cooldown: float = Field(0.3, ge=0, le=1)  # wsd: share of the run in which the rate falls
    final_lr: float = Field(0.0, ge=0, le=1)  # where the rate ends, as a share of lr
    ema: float = Field(0.999, ge=0, lt=1)  # 0 keeps no average
    precision: Literal["fp32", "bf16"] = "fp32"  # of the computation; masters are fp32
    compile: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"  # where there are several processes
    lora: NonNegativeInt = 0  # rank of the adapters when fine-tuning; 0 trains all weights
    threads: NonNegativeInt = 0  # of the CPU; 0 leaves it to torch
    evaluate_every: NonNegativeInt = 0  # steps between looks at the validation split; 0 looks at the end only


class DataShape(BaseModel):
    """What a model must know of its data; kept in the model's manifest."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    format: Literal["images", "text", "music", "tabular"]
    height: int = 0
    width: int = 0
    channels: int = 0
    levels: int = 255  # a pixel has the values 0 .. levels, stored as round(value * 255 / levels)
    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # of each class in the train split
    captions: bool = False
    vocab: int = 0
    block: int = 0  # tokens that a model sees at once
    end: int = -1  # the token that closes a document, where the dataset has one
    voices: int = 1  # music: tokens per step of time
    grid: int = 4  # music: steps per quarter note
    first_pitch: int = 0  # music: tokens from here on are pitches
    lowest: int = 0  # music: pitches met in training
    highest: int = 127
    columns: int = 0
    means: tuple[float, ...] = ()  # of each column in the train split
    scales: tuple[float, ...] = ()
    tops: tuple[float, ...] = ()  # the largest whole number of a column of whole numbers that start at 0; -1 for others

    @property
    def sample(self) -> tuple[int, ...]:
        """The shape of one sample as nets see it: [channels, height, width] or [columns]."""
        return (self.columns,) if self.format == "tabular" else (self.channels, self.height, self.width)

    @property
    def size(self) -> int:
        """Numbers per sample."""
        return int(np.prod(self.sample))

    def encode(self, x: Tensor) -> Tensor:
        """Turn stored samples into what nets see: images to [batch, channels, height, width] in [-1, 1]."""
        if self.format == "tabular":
            known = (x.float() - x.new_tensor(self.means)) / x.new_tensor(self.scales)
            return known.nan_to_num(0.0)  # what is missing is taken to be the mean
        return x.permute(0, 3, 1, 2).float() / 127.5 - 1

    def decode(self, x: Tensor) -> NDArray[Any]:
        """Turn generated images in [0, 1] into uint8 [batch, height, width, channels]; other samples as they are."""
        if self.format != "images":
            return x.cpu().numpy()
        pixels = ((x.clamp(0, 1) * self.levels).round() * (255 / self.levels)).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def shape_of(body: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], captions: bool) -> DataShape:
    """Read what a model must know from a dataset's manifest and the arrays of its train split."""
    known: dict[str, Any] = {"format": body["format"], "captions": captions, **body.get("image", {})}
    known |= {k: v for k, v in body.get("tokens", {}).items() if k != "blockSize"}
    known["block"] = body.get("tokens", {}).get("blockSize", 0)
    if body["format"] == "tabular":
        known |= {"classes": body.get("classes", []), **columns_of(arrays["x"], [c["type"] for c in body["columns"]])}
    if "y" in arrays and known.get("classes"):
        counts = np.bincount(arrays["y"], minlength=len(known["classes"]))
        known["shares"] = (counts / max(counts.sum(), 1)).tolist()
    return DataShape(**known)


def columns_of(x: NDArray[np.float32], types: list[str]) -> dict[str, Any]:
    """Measure the columns of a table [n, columns]; NaN is what is missing."""
    full = np.where(np.isnan(x), np.nanmean(x, axis=0, dtype=np.float64), x)
    spread = full.std(axis=0)
    tops = [float(np.nanmax(x[:, j])) if kind in ("category", "boolean") else -1.0 for j, kind in enumerate(types)]
    means, scales = full.mean(axis=0).tolist(), np.where(spread > 0, spread, 1.0).tolist()
    return {"columns": x.shape[1], "means": means, "scales": scales, "tops": tops}


class Finish(nn.Module):
    """From what nets see to what comes out: images in [0, 1]; rows in the data's own units, categories whole."""

    means: Tensor
    scales: Tensor
    tops: Tensor

    def __init__(self, data: DataShape) -> None:
        super().__init__()
        self.table = data.format == "tabular"
        for name in ("means", "scales", "tops"):
            self.register_buffer(name, torch.tensor(getattr(data, name)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.table:
            return (x / 2 + 0.5).clamp(0, 1)
        row = x * self.scales + self.means
        return torch.where(self.tops < 0, row, torch.minimum(row.round().clamp(min=0), self.tops))


class Loss(dict[str, Tensor]):
    """Named terms whose sum is minimised; each is a mean over the batch."""

    @property
    def total(self) -> Tensor:
        return torch.stack(list(self.values())).sum()


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a generation. `draw` says what an input is made of; -1 in the shape is the batch."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int, ...]
    draw: Literal["normal", "uniform", "label", "caption", "prompt", ""] = ""
    high: int = 0  # label: how many; caption: bytes


class Generation(nn.Module):
    """A whole generation in one graph: noise and condition in, samples out. Its loops have fixed lengths."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    shares: tuple[float, ...] = ()

    def example(self, batch: int, seed: int, condition: Any = None) -> tuple[Tensor, ...]:
        """Draw inputs: [batch, ...] each. A condition that is not given is drawn as the data has it."""
        source = rng.generator(seed, "generation")
        return tuple(self._draw(spec, batch, source, condition) for spec in self.inputs)

    def _draw(self, spec: TensorSpec, batch: int, source: torch.Generator, condition: Any) -> Tensor:
        shape = (batch, *spec.shape[1:])
        if spec.draw == "normal":
            return torch.randn(shape, generator=source)
        if spec.draw == "uniform":
            return torch.rand(shape, generator=source)
        if spec.draw == "label":
            return labels(condition, batch, spec.high, self.shares, source)
        if spec.draw == "caption":
            return caption_bytes([""] * batch if condition is None else condition)
        return prompts(condition, batch, spec.shape[1])


def labels(wanted: Any, batch: int, high: int, shares: Iterable[float], source: torch.Generator) -> Tensor:
    """Return class labels [batch]: as wanted (one number, or one each), else drawn by their shares."""
    if wanted is None:
        weights = torch.tensor(list(shares) or [1.0] * high)
        return torch.multinomial(weights, batch, replacement=True, generator=source)
    asked = torch.as_tensor(wanted, dtype=torch.int64)
    if bool(((asked < 0) | (asked >= high)).any()):
        raise JobError(Code.BAD_CONFIG, f"condition: a class is not in 0..{high - 1}: {asked.tolist()}")
    return asked.expand(batch).clone() if asked.dim() == 0 else asked


def caption_bytes(captions: Iterable[str]) -> Tensor:
    """Turn captions into UTF-8 bytes [n, CAPTION_BYTES], cut or filled up with zeros."""
    rows = [list(c.encode()[:CAPTION_BYTES]) for c in captions]
    return torch.tensor([row + [0] * (CAPTION_BYTES - len(row)) for row in rows], dtype=torch.int64)


def prompts(given: Any, batch: int, length: int) -> Tensor:
    """Turn prompts (token lists) into [batch, length]; -1 stands where the model is free."""
    out = torch.full((batch, length), -1, dtype=torch.int64)
    for row, tokens in enumerate(given if given is not None else []):
        kept = torch.as_tensor(tokens, dtype=torch.int64)[:length]
        out[row, : len(kept)] = kept
    return out


C = TypeVar("C", bound=Config)


class Family(ABC, Generic[C]):
    """A way to learn a distribution. Holds its config and what it knows of the data; weights live in nets."""

    CONFIG: ClassVar[type[Config]]
    FORMATS: ClassVar[tuple[str, ...]]
    turns: tuple[str, ...] = ("model",)  # each turn trains the net of that name with an optimizer of its own

    def __init__(self, config: C, data: DataShape) -> None:
        self.config = config
        self.data = data

    @abstractmethod
    def build(self) -> dict[str, nn.Module]:
        """Make fresh nets, one per turn."""

    @abstractmethod
    def loss(self, turn: str, nets: Nets, batch: Batch, noise: rng.Noise) -> Loss:
        """Say what the net of this turn should make small."""

    @abstractmethod
    def generation(self, nets: Nets, **how: Any) -> Generation:
        """Make the whole generation; `how` overrides the family's sampling dials."""

    def nll(self, nets: Nets, batch: Batch, noise: rng.Noise) -> Tensor | None:
        """Bound or compute -log p in nats per sample: [batch]; None where the family has none."""
        return None

    def augment(self, batch: Batch, noise: rng.Noise) -> Batch:
        """Vary a training batch without leaving the data's distribution."""
        return batch

    def trim(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cut what a sequence holds after its end."""
        return tokens

    def learning_rate(self, turn: str) -> float:
        """The peak learning rate of a turn."""
        return self.config.lr


def names() -> list[str]:
    """List the families: the files of this folder."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))


def family(name: str) -> type[Family[Any]]:
    """Find a family. Raises JobError(UNSUPPORTED) that lists what there is."""
    if name == "custom":
        raise JobError(Code.UNSUPPORTED, "family custom runs the image that the training job names, not this one")
    if name not in names():
        raise JobError(Code.UNSUPPORTED, f"family {name!r} is not one of {', '.join(names())}")
    return cast(type[Family[Any]], import_module(f"gentrainers.families.{name}").FAMILY)


def configure(kind: type[Family[Any]], size: str, overrides: Mapping[str, Any]) -> Config:
    """Turn the one dial, then the named ones. Raises JobError(BAD_CONFIG) that names field, value and remedy."""
    config = kind.CONFIG
    by_alias = {f.alias or name: name for name, f in config.model_fields.items()}
    given = {by_alias.get(key, key): value for key, value in overrides.items()}
    unknown = sorted(set(given) - set(config.model_fields))
    if unknown:
        raise JobError(Code.BAD_CONFIG, "; ".join(_unknown(key, given[key], config) for key in unknown))
    try:
        return config(**{**config.PRESETS[size], **given})
    except ValidationError as error:
        raise JobError(Code.BAD_CONFIG, f"hyperparameters: {explain(error)}") from None


def _unknown(key: str, value: Any, config: type[Config]) -> str:
    allowed = sorted(config.model_fields)
    near = difflib.get_close_matches(key, allowed, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"hyperparameters.{key} = {value!r} is not a dial{hint} Allowed: {', '.join(allowed)}"
