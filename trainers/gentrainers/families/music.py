"""Music as a grid of voices, one token per voice and step, learnt by a transformer that hears voice and beat.

Rotary positions tell how far apart notes are (as the relative attention of Huang et al. 2018 does); which voice sings
and where in the bar are told outright. Training transposes each excerpt, since a chorale is as good in any key.
"""

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from gentrainers.families._base import Batch
from gentrainers.families._sequence import Sequence, SequenceConfig
from gentrainers.rng import Noise

QUARTERS = 4  # in a bar
PITCHES = 128


class MusicConfig(SequenceConfig):
    PRESETS = {
        "xs": {"width": 128, "depth": 3, "heads": 4, "steps": 500, "batch": 16, "lr": 3e-3, "dropout": 0.1},
        "s": {"width": 256, "depth": 6, "heads": 8, "steps": 6000, "batch": 32, "lr": 2e-3, "dropout": 0.1},
        "m": {"width": 512, "depth": 8, "heads": 8, "steps": 20000, "batch": 64, "lr": 1e-3, "dropout": 0.1},
        "l": {"width": 768, "depth": 12, "heads": 12, "steps": 50000, "batch": 128, "lr": 6e-4, "dropout": 0.1},
    }

    transpose: NonNegativeInt = 5  # semitones up or down at most


class Music(Sequence[MusicConfig]):
    CONFIG = MusicConfig
    FORMATS = ("music",)

    def cycles(self) -> tuple[tuple[int, int], ...]:
        voices = self.data.voices
        return ((1, voices), (voices, QUARTERS * self.data.grid))

    def augment(self, batch: Batch, noise: Noise) -> Batch:
        """Move each excerpt by a few semitones, within the pitches there are: tokens [batch, block + 1]."""
        down = min(self.config.transpose, self.data.lowest)
        up = min(self.config.transpose, PITCHES - 1 - self.data.highest)
        by = (noise.uniform() * (down + up + 1)).long() - down  # [batch]
        return {**batch, "tokens": self.transposed(batch["tokens"], by)}

    def transposed(self, tokens: Tensor, by: Tensor) -> Tensor:
        pitch = (tokens >= self.data.first_pitch) & (tokens < self.start)
        return torch.where(pitch, tokens + by[:, None], tokens)


FAMILY = Music
