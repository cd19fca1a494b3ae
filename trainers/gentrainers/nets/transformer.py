"""A decoder-only transformer: rotary positions, normed queries and keys, squared ReLU, no biases, no learnt norms.

forward() sees whole sequences; step() sees one token more and what was kept of those before it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu, rms_norm, scaled_dot_product_attention

from gencontract.codes import Code
from gentrainers.errors import JobError

SHARPNESS = 1.5
Kept = tuple[Tensor, Tensor]  # keys and values so far: [batch, heads, time, head]


def norm(x: Tensor) -> Tensor:
    """Scale the last axis to unit root mean square."""
    return rms_norm(x, x.shape[-1:])


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate pairs of features by angles that grow with position (Su et al. 2021). x [..., time, head]."""
    cos, sin = turns.cos().to(x.dtype), turns.sin().to(x.dtype)  # [time, head / 2]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gain = nn.Parameter(torch.full((heads, 1, 1), SHARPNESS))  # how sharply a head may look
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, turns: Tensor, kept: Kept | None = None) -> tuple[Tensor, Kept]:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        q, k = rotated(norm(q) * self.gain, turns), rotated(norm(k), turns)
        if kept:
            k, v = torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2)
        share = self.dropout if self.training else 0.0
        y = scaled_dot_product_attention(q, k, v, dropout_p=share, is_causal=kept is None)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


class Block(nn.Module):
    """Attention, then a feed-forward layer of squared ReLU; both residual, normed first, and at first silent."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attend = Attention(width, heads, dropout)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = dropout
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, turns: Tensor, kept: Kept | None = None) -> tuple[Tensor, Kept]:
        y, kept = self.attend(norm(x), turns, kept)
        x = x + dropout(y, self.dropout, self.training)
        y = self.down(relu(self.up(norm(x))).square())
        return x + dropout(y, self.dropout, self.training), kept


class Transformer(nn.Module):
    """Tokens [batch, time], and their places in their documents, to logits [batch, time, vocab].

    A cycle (stride, count) tells the net (place // stride) % count, such as which voice sings or which beat it is.
    """

    frequencies: Tensor

    def __init__(
        self,
        vocab: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        cycles: tuple[tuple[int, int], ...] = (),
        base: float = 1e4,
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise JobError(
                Code.BAD_CONFIG, f"hyperparameters.width = {width} must be a multiple of {2 * heads}: two per head"
            )
        self.cycles = cycles
        self.phases = nn.ModuleList(nn.Embedding(count, width) for _, count in cycles)
        self.embed = nn.Embedding(vocab, width)
        self.shift = nn.Parameter(torch.zeros(width))  # of the token before, felt at once (Peng et al. 2023)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.leave = nn.Linear(width, vocab, bias=False)
        self.dropout = dropout
        pairs = width // heads // 2
        self.register_buffer("frequencies", base ** (-torch.arange(pairs) / pairs), persistent=False)
        nn.init.normal_(self.embed.weight, std=1.0)
        nn.init.zeros_(self.leave.weight)

    def turns(self, first: int, count: int) -> Tensor:
        """Angles of positions first .. first + count: [count, head / 2]."""
        places = torch.arange(first, first + count, device=self.frequencies.device)
        return places[:, None].float() * self.frequencies

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        before = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
        x = self.entered(tokens, before, places)
        turns = self.turns(0, tokens.shape[1])
        for block in self.blocks:
            x, _ = block(x, turns)
        return self.logits(x)

    def step(self, token: Tensor, before: Tensor, place: int, kept: list[Kept]) -> tuple[Tensor, list[Kept]]:
        """Read one token [batch] at a place of a document; return logits [batch, vocab] and what to keep."""
        x = self.entered(token[:, None], before[:, None], torch.full_like(token[:, None], place))
        turns, after = self.turns(place, 1), []
        for number, block in enumerate(self.blocks):
            x, keep = block(x, turns, kept[number] if kept else None)
            after.append(keep)
        return self.logits(x)[:, 0], after

    def entered(self, tokens: Tensor, before: Tensor, places: Tensor) -> Tensor:
        x = self.embed(tokens) + self.shift * self.embed(before)
        for (stride, count), phase in zip(self.cycles, self.phases, strict=True):
            x = x + phase(places // stride % count)
        return dropout(norm(x), self.dropout, self.training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits in fp32, held within +-15 so that none runs away."""
        raw: Tensor = self.leave(norm(x)).float()
        return 15 * torch.tanh(raw / 15)
