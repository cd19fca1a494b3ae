"""Makers of samples: a model, or the dataset itself where a floor is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Real
from gentrainers.metrics.kit.rows import Rows, checked, take


class Model(Protocol):
    """What `model.load` gives, as far as it is judged."""

    family: str
    digest: str
    body: dict[str, Any]
    data: Any

    def sample(self, n: int, seed: int, condition: Any = None) -> Any: ...
    def nll(self, split: Any) -> Any: ...
    def generation(self) -> Any: ...


@dataclass(frozen=True)
class ModelMaker:
    """A model under the name it plays in the evaluation: subject or baseline."""

    name: str
    model: Model
    modality: str
    split: Any = field(repr=False)  # as package data gives it, for likelihoods
    reference: Real | None = field(default=None, repr=False)  # whose captions are asked for where a model wants some
    length: int = 0  # of a sequence; longer ones are cut, so that all that is compared is equally long

    @property
    def told(self) -> str:
        """What the model can be told: "label", "caption" or nothing."""
        inputs = [spec.name for spec in self.model.generation().inputs]
        return next((name for name in ("label", "caption") if name in inputs), "")

    def sample(self, n: int, seed: int) -> Rows:
        """Make n samples. Classes come in the data's shares; captions are those of n real rows, chosen by seed."""
        condition = None
        if self.told == "caption" and self.reference is not None and self.reference.captions is not None:
            order = np.resize(self.reference.draw(len(self.reference), seed), n)
            condition = [str(c) for c in self.reference.captions[order]]
        return self._checked(self.model.sample(n, seed, condition), n)

    def sample_for(self, conditions: Sequence[Any], seed: int) -> Rows:
        """Make one sample for each condition, which must be of the kind that the model can be told."""
        return self._checked(self.model.sample(len(conditions), seed, list(conditions)), len(conditions))

    def nll(self) -> Floats:
        """Return nats for each stored sample of the split. Raises JobError where the family has no likelihood."""
        found = self.model.nll(self.split)
        if found is None:
            raise JobError(
                Code.UNSUPPORTED,
                f"metrics: the {self.name}'s family {self.model.family} gives no likelihood; use fid, kid or coverage",
            )
        nats = np.asarray(found, np.float64)
        if not np.isfinite(nats).all():
            raise JobError(
                Code.NON_FINITE,
                f"{self.name}: nll is not finite for {int((~np.isfinite(nats)).sum())} of {len(nats)} samples; "
                "train it again with a lower learning rate",
            )
        return nats

    def _checked(self, rows: Any, n: int) -> Rows:
        found = checked(rows, self.modality, n, f"{self.name} ({self.model.family})")
        return [row[: self.length] for row in found] if isinstance(found, list) else found


@dataclass(frozen=True)
class HeldOut:
    """Real rows in a model's place: what they score is what a perfect model could score at this n."""

    pool: Real

    @property
    def name(self) -> str:
        return f"floor from {self.pool.name}"

    @property
    def told(self) -> str:
        return ""

    def sample(self, n: int, seed: int) -> Rows:
        """Choose n real rows by seed; another choice than the bench makes of the reference."""
        return take(self.pool.rows, self.pool.draw(n, seed + 1_000_003))

    def sample_for(self, conditions: Sequence[Any], seed: int) -> Rows:
        raise NotImplementedError("real rows cannot be asked for a condition")

    def nll(self) -> Floats:
        raise NotImplementedError("real rows have no likelihood")
