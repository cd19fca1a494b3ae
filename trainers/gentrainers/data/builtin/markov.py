"""Text from an order-2 Markov chain over 16 letters, an oracle whose entropy rate is known exactly.

Chances are whole multiples of 1/1024 and are drawn from the seed alone, so that text, rate and true likelihood are the
same on any machine. A set is one long text, cut into documents that go on from each other.
"""

import hashlib
import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gencontract.task import PrepareTask
from gentrainers.data.builtin.chance import Dice
from gentrainers.data.sample import Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.pod import Pod

SYMBOLS = "abcdefghijklmnop"
COUNT = len(SYMBOLS)
PARTS = 1024
SHARPNESS = 5  # weights are the 5th power of uniform draws: a rate of about 1.8 nats
LENGTH = 1 << 16  # letters in a document
SAMPLES = 64


class Chain:
    """The chain of one seed. A context is the last two letters: before-last * 16 + last."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts = np.array([_shares(Dice(seed, context)) for context in range(COUNT * COUNT)], np.int64)

    @cached_property
    def entropy_rate(self) -> float:
        """Entropy rate in nats per letter."""
        chances = self.counts / PARTS
        each = -(chances * np.log(chances)).sum(axis=1)
        return float(f"{float(self._stationary() @ each):.9g}")

    def _stationary(self) -> NDArray[np.float64]:
        """Return the long-run share of each context, by iteration."""
        share = np.full(COUNT * COUNT, 1 / COUNT**2)
        for _ in range(500):
            flow = share[:, None] * self.counts / PARTS  # [before * last, next]
            share = flow.reshape(COUNT, COUNT, COUNT).sum(axis=0).ravel()
        return share

    def letters(self) -> Iterator[str]:
        """Yield documents of LENGTH letters without end, each going on from the one before."""
        table = [np.repeat(np.arange(COUNT), row).tolist() for row in self.counts]
        context, number = 0, 0
        while True:
            out = []
            for draw in _draws(self.seed, number, LENGTH):
                letter = table[context][draw]
                context = context % COUNT * COUNT + letter
                out.append(letter)
            yield "".join(SYMBOLS[i] for i in out)
            number += 1

    def nats(self, text: str) -> NDArray[np.float64]:
        """Return the true -log probability of each letter after the first two: [len(text) - 2]."""
        ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord(SYMBOLS[0])
        found: NDArray[np.float64] = -np.log(self.counts[ids[:-2] * COUNT + ids[1:-1], ids[2:]] / PARTS)
        return found


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Write `source.samples` documents of the chain of `source.seed`."""
    count, chain = task.source.samples or SAMPLES, Chain(task.source.seed)
    oracle = {"kind": "markov", "order": 2, "symbols": COUNT, "seed": chain.seed, "entropyRate": chain.entropy_rate}
    return Fetched(
        f"markov/1/{chain.seed}/{count}",
        "Apache-2.0",
        samples=lambda: samples(chain, count),
        about={"samples": count, "seed": chain.seed},
        body={"oracle": oracle},
        draws=True,
    )


def samples(chain: Chain, count: int) -> Iterator[Sample]:
    """Yield documents as parts of one text."""
    group = hashlib.sha256(b"markov/%d" % chain.seed).digest()
    for part, text in zip(range(count), chain.letters(), strict=False):
        yield Sample(text, f"markov[{part}]", group=group, part=part)


def rate_error(text: str, chain: Chain) -> float:
    """Return how far a text's true likelihood lies from the entropy rate, in nats per letter."""
    return abs(float(chain.nats(text).mean()) - chain.entropy_rate)


def _shares(dice: Dice) -> list[int]:
    """Draw 16 whole numbers, each at least 1, that add up to 1024."""
    weights = [math.prod([(dice.word() >> 11) / (1 << 53)] * SHARPNESS) for _ in range(COUNT)]
    free = PARTS - COUNT
    shares = [1 + int(free * w / sum(weights)) for w in weights]
    shares[weights.index(max(weights))] += PARTS - sum(shares)
    return shares


def _draws(seed: int, number: int, count: int) -> list[int]:
    """Return numbers below 1024. Philox's raw bits are fixed by numpy's promise for bit generators."""
    raw = np.random.Philox(key=[seed & (1 << 64) - 1, number]).random_raw(count)
    found: list[int] = (raw >> np.uint64(54)).tolist()
    return found
