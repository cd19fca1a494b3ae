"""What families of token sequences share: likelihood by the chain rule, and sampling with given uniform noise.

A sequence is led by a start token, numbered `vocab`; met again, it says that the document has ended.
"""

from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gentrainers.families._base import Batch, Config, DataShape, Family, Generation, Loss, Nets, TensorSpec
from gentrainers.nets.transformer import Kept, Transformer
from gentrainers.rng import Noise


class SequenceConfig(Config):
    """Dials of a transformer over tokens."""

    width: PositiveInt = 128
    depth: PositiveInt = 4
    heads: PositiveInt = 4
    dropout: float = Field(0.0, ge=0, lt=1)
    block: NonNegativeInt = 0  # tokens seen at once; 0 takes the dataset's
    length: PositiveInt = 64  # tokens of a generation
    temperature: PositiveFloat = 1.0
    top_p: float = Field(1.0, gt=0, le=1)
    optimizer: Any = "muon"
    betas: tuple[float, float] = (0.9, 0.95)


S = TypeVar("S", bound=SequenceConfig)


class Sequence(Family[S], Generic[S]):
    """A family whose net answers tokens with logits."""

    def __init__(self, config: S, data: DataShape) -> None:
        block = config.block or data.block
        super().__init__(config, data.model_copy(update={"block": block}))
        self.start = data.vocab

    def build(self) -> dict[str, nn.Module]:
        c = self.config
        return {"model": Transformer(self.start + 1, c.width, c.depth, c.heads, c.dropout, self.cycles())}

    def cycles(self) -> tuple[tuple[int, int], ...]:
        """Name the cycles that positions of a document go through: (tokens that share a value, values)."""
        return ()

    def loss(self, turn: str, nets: Nets, batch: Batch, noise: Noise) -> Loss:
        return Loss(nats=self.surprise(nets["model"], batch).mean())

    def nll(self, nets: Nets, batch: Batch, noise: Noise) -> Tensor:
        return (self.surprise(nets["model"], batch) * batch["score"]).sum(1)

    def surprise(self, net: nn.Module, batch: Batch) -> Tensor:
        """Nats of each token after the first: [batch, block]."""
        tokens = batch["tokens"]
        logits = net(tokens[:, :-1], batch["places"][:, :-1])
        return cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")

    def trim(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        ends = np.flatnonzero((tokens == self.start) | (tokens == self.data.end))
        return tokens[: ends[0]] if len(ends) else tokens

    def generation(self, nets: Nets, **how: Any) -> Generation:
        length = how.get("length") or self.config.length
        temperature = how.get("temperature") or self.config.temperature
        net = cast(Transformer, nets["model"])
        return SequenceGeneration(net, self.start, length, temperature, how.get("top_p") or self.config.top_p)


class SequenceGeneration(Generation):
    """Uniform noise [batch, length] and a prompt [batch, length] (-1 where free) to tokens, one after the other.

    Token t is the first whose cumulated probability passes noise[:, t]. The logits come out too: tokens of two runtimes
    can only be compared where these agree.
    """

    def __init__(self, net: Transformer, start: int, length: int, temperature: float, top_p: float) -> None:
        super().__init__()
        self.net, self.start, self.length, self.temperature, self.top_p = net, start, length, temperature, top_p
        self.inputs = [
            TensorSpec("noise", "float32", (-1, length), "uniform"),
            TensorSpec("prompt", "int64", (-1, length), "prompt", start),
        ]
        self.outputs = [
            TensorSpec("tokens", "int64", (-1, length)),
            TensorSpec("logits", "float32", (-1, length, start + 1)),
        ]

    def forward(self, noise: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
        token = before = torch.full_like(prompt[:, 0], self.start)
        kept: list[Kept] = []
        tokens, logits = [], []
        for place in range(self.length):
            answer, kept = self.net.step(token, before, place, kept)
            before = token
            token = torch.where(prompt[:, place] >= 0, prompt[:, place], self.drawn(answer, noise[:, place]))
            tokens.append(token)
            logits.append(answer)
        return torch.stack(tokens, 1), torch.stack(logits, 1)

    def drawn(self, logits: Tensor, u: Tensor) -> Tensor:
        """Draw a token [batch] by inverting the cumulated distribution at u [batch]."""
        p = torch.softmax(logits / self.temperature, -1)
        p = nucleus(p, self.top_p) if self.top_p < 1 else p
        sums = p.cumsum(-1)
        passed = (sums <= (u * sums[:, -1])[:, None]).sum(-1)
        return passed.clamp(max=self.start)


def nucleus(p: Tensor, share: float) -> Tensor:
    """Keep the likeliest tokens that hold `share` of the probability (Holtzman et al. 2019): [batch, vocab]."""
    ordered, _ = p.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    least = torch.where(before < share, ordered, torch.ones_like(ordered)).amin(-1, keepdim=True)
    return torch.where(p >= least, p, torch.zeros_like(p))
