"""What a metric is: a name, a direction, what it needs, and how it is measured at a bench. One metric is one file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.scores import Score

Needs = Literal["features", "samples", "likelihood", "clock", "conditions", "oracle"]
ANY = ("images", "text", "music", "tabular")
SEQUENCES = ("text", "music")


@dataclass(frozen=True)
class Metric:
    """A metric as the registry knows it.

    `floor` says from where real samples may come that are scored in the model's place: "any" split but the one
    compared with, "unseen" (never the train split), or None where a real sample has no such score.
    `options` are the names a gate may set, with their defaults.
    """

    name: str
    says: str  # one line for people, without a full stop
    better: Literal["higher", "lower"]
    needs: Needs
    modalities: tuple[str, ...]
    source: str  # the paper
    measure: Callable[[Bench], Score]
    unit: str = ""
    floor: Literal["any", "unseen"] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.better == "higher" else -1
