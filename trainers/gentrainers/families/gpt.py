"""Text as one token after the other: a transformer that learns the next token (Radford et al. 2018, and what has
proved itself since: rotary positions, normed queries and keys, squared ReLU, Muon for its matrices).
"""

from gentrainers.families._sequence import Sequence, SequenceConfig


class GptConfig(SequenceConfig):
    PRESETS = {
        "xs": {"width": 128, "depth": 4, "heads": 4, "steps": 2000, "batch": 16, "lr": 3e-3},
        "s": {"width": 384, "depth": 6, "heads": 6, "steps": 5000, "batch": 64, "lr": 2e-3},
        "m": {"width": 768, "depth": 12, "heads": 12, "steps": 20000, "batch": 256, "lr": 1e-3, "precision": "bf16"},
        "l": {"width": 1024, "depth": 24, "heads": 16, "steps": 50000, "batch": 512, "lr": 6e-4, "precision": "bf16"},
    }


class Gpt(Sequence[GptConfig]):
    CONFIG = GptConfig
    FORMATS = ("text",)


FAMILY = Gpt
