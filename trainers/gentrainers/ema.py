"""An exponential moving average of weights: what is used after training, where training itself jitters.

Knows parameters by name and nothing of families, files or processes. Shards (DTensor) are averaged where they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages of named parameters. `decay` is reached by a ramp, so that a short run is not held at its start."""

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.parameters = parameters
        self.average: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move each average towards its parameter, after the step was taken."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the averages stand in for the parameters inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, p in self.parameters.items():
            kept = p.detach().clone()
            p.copy_(self.average[name])
            self.average[name].copy_(kept)
