"""Randomness and the order of samples as pure functions of (seed, where): nothing here remembers anything.

So the whole state of data and noise at a step is the step itself, a resumed run continues bit for bit, and the number
of processes does not change what is drawn: noise is drawn for the global batch, and each process keeps its own rows.
This module knows nothing of models, files or processes.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def mix(*where: int | str) -> int:
    """Hash a place into a seed of 63 bits; places that differ give seeds that are independent.

    >>> mix(0, "order", 1) != mix(0, "order", 2)
    True
    """
    text = "\x1f".join(str(w) for w in where)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*where: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator for a place."""
    return torch.Generator(device).manual_seed(mix(*where))


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits n samples."""
    return torch.randperm(n, generator=generator(seed, "order", epoch)).numpy()


def visits(seed: int, n: int, start: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Name the samples at global positions start .. start + count of an endless run over n samples, and their epochs.

    >>> samples, epochs = visits(seed=0, n=4, start=4, count=6)
    >>> sorted(samples[:4].tolist()), epochs.tolist()
    ([0, 1, 2, 3], [1, 1, 1, 1, 2, 2])
    """
    places = np.arange(start, start + count)
    epochs = places // n
    return np.concatenate([order(seed, int(e), n)[places[epochs == e] % n] for e in np.unique(epochs)]), epochs


@dataclass
class Noise:
    """Draws for the rows of one process out of a global batch. Draws follow each other; each is for one place only."""

    generator: torch.Generator
    total: int  # rows of the global batch
    rows: slice  # of this process

    @property
    def count(self) -> int:
        """How many rows are ours."""
        return len(range(*self.rows.indices(self.total)))

    def normal(self, *shape: int) -> Tensor:
        """Draw from the unit Gaussian: [rows, *shape]."""
        return self._mine(torch.randn(self.total, *shape, generator=self.generator, device=self.generator.device))

    def uniform(self, *shape: int) -> Tensor:
        """Draw from [0, 1): [rows, *shape]."""
        return self._mine(torch.rand(self.total, *shape, generator=self.generator, device=self.generator.device))

    def _mine(self, x: Tensor) -> Tensor:
        return x[self.rows]


def noise(*where: int | str, total: int, rows: slice | None = None, device: torch.device | str = "cpu") -> Noise:
    """Return the noise of a place."""
    return Noise(generator(*where, device=device), total, rows or slice(0, total))
