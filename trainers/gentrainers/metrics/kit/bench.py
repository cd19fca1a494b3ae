"""The bench at which a metric measures one maker of samples against real rows.

A maker is a model, or the dataset itself when a floor is wanted. Everything costly (samples, features) is made once
and kept in a memo that all metrics of an evaluation share. Equal n is the bench's law: whatever is compared has the
same number of rows. This module must not know any metric, nor how models are loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit import extractors
from gentrainers.metrics.kit.arrays import Floats, Ints, Tokens
from gentrainers.metrics.kit.extractors import Extractor, Material, Opinion
from gentrainers.metrics.kit.rows import Rows, fingerprint, take

T = TypeVar("T")
FEW = 8  # so few samples may be the same by chance


class Maker(Protocol):
    """Who is measured."""

    @property
    def name(self) -> str: ...
    @property
    def told(self) -> str: ...  # what it can be told: "label", "caption" or nothing
    def sample(self, n: int, seed: int) -> Rows: ...
    def sample_for(self, conditions: Sequence[Any], seed: int) -> Rows: ...  # one sample for each condition
    def nll(self) -> Floats: ...  # nats per row of the split


@dataclass(frozen=True)
class Real:
    """One split as a metric sees it, with what its rows are called where the dataset says so."""

    name: str
    rows: Rows
    classes: Ints | None = None  # [n]
    captions: npt.NDArray[np.str_] | None = None  # [n]

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, n: int, seed: int) -> npt.NDArray[np.int64]:
        """Choose n different rows by seed. Raises JobError where there are fewer."""
        if n > len(self):
            raise JobError(
                Code.BAD_CONFIG,
                f"samples: {n} is more than split {self.name} holds ({len(self)}); equal numbers are compared, so ask "
                f"for at most {len(self)} or choose a larger split",
            )
        return np.random.default_rng([seed, 7]).permutation(len(self))[:n]


@dataclass(frozen=True)
class Ground:
    """The real rows of an evaluation: what is compared with, what was trained on, what no model has seen."""

    modality: str
    body: Mapping[str, Any]
    digest: str
    reference: Real
    train: Real
    unseen: Real  # for questions of copying: never the train split
    spare: tuple[Real, ...]  # neither train nor compared with: for floors
    units: Callable[[], Floats]  # per row of the split as stored: bytes or dimensions, for bits per byte
    tokens: Callable[[], Floats]  # per row of the split as stored: tokens, or ones for images and tables
    true_nats: Callable[[], Floats]  # per document of a procedural set: what it costs under the true distribution
    corpus: Tokens = field(default_factory=lambda: np.zeros(0, np.int64))  # the train split of a sequence dataset

    def material(self) -> Material:
        """What extractors are fitted on: the train split and its classes."""
        return Material(self.train.rows, self.train.classes, self.modality, dict(self.body), self.digest)


@dataclass(frozen=True)
class Bench:
    """One maker, real rows, n and seeds."""

    maker: Maker
    ground: Ground
    n: int
    seeds: tuple[int, ...]
    opinion: Opinion = "learned"
    options: Mapping[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    tick: Callable[[], None] = lambda: None  # called between costly pieces; may raise to leave

    def seen_by(self, opinion: Opinion) -> "Bench":
        """The same bench through the other extractor."""
        return replace(self, opinion=opinion)

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Make something the first time it is asked for; the key must say all that it depends on."""
        if key not in self.memo:
            self.tick()
            self.memo[key] = make()
        found: T = self.memo[key]
        return found

    @property
    def extractor(self) -> Extractor:
        return self.once(("extractor", self.opinion), lambda: extractors.make(self.opinion, self.ground.material()))

    def samples(self, seed: int) -> Rows:
        """n samples of the maker."""
        return self.once(("samples", self.maker.name, self.n, seed), lambda: self._sampled(seed))

    def _sampled(self, seed: int) -> Rows:
        """Make samples, and see that another seed made others: repeats would look like agreement."""
        rows = self.maker.sample(self.n, seed)
        before = self.memo.setdefault(("fingerprint", self.maker.name, self.n, fingerprint(rows)), seed)
        if before != seed and self.n >= FEW:
            raise JobError(
                Code.BAD_DATA,
                f"{self.maker.name}: seeds {before} and {seed} gave the same {self.n} samples, so they are no repeats; "
                "mend its family so that sample() uses its seed",
            )
        return rows

    def features(self, seed: int) -> Floats:
        """Features [n, 64] of `samples(seed)`."""
        key = ("features", self.opinion, self.maker.name, self.n, seed)
        return self.once(key, lambda: self.extractor.features(self.samples(seed)))

    def reference_index(self, seed: int) -> npt.NDArray[np.int64]:
        """Which rows of the reference split stand against `samples(seed)`: as many, chosen by the seed."""
        return self.ground.reference.draw(self.n, seed)

    def reference(self, seed: int) -> Rows:
        """n real rows."""
        return take(self.ground.reference.rows, self.reference_index(seed))

    def reference_features(self, seed: int) -> Floats:
        """Features [n, 64] of `reference(seed)`."""
        needed = np.unique(np.concatenate([self.reference_index(s) for s in self.seeds]))
        key = ("features", self.opinion, "reference", self.n, self.seeds)
        known = self.once(key, lambda: self.extractor.features(take(self.ground.reference.rows, needed)))
        found: Floats = known[np.searchsorted(needed, self.reference_index(seed))]
        return found

    def pair(self, seed: int) -> tuple[Floats, Floats]:
        """Features of n samples and of n real rows, both [n, 64]."""
        made, real = self.features(seed), self.reference_features(seed)
        same_number(made, real)
        return made, real

    def over_seeds(self, distance: Callable[[Floats, Floats], float]) -> Floats:
        """Take a distance between made and real features for each seed: [seeds]."""
        return np.array([distance(*self.pair(seed)) for seed in self.seeds])


def same_number(made: Sequence[Any] | npt.NDArray[Any], real: Sequence[Any] | npt.NDArray[Any]) -> None:
    """Refuse to compare unequal numbers: most distances between distributions are biased by n."""
    if len(made) != len(real):
        raise JobError(
            Code.BAD_CONFIG,
            f"{len(made)} samples cannot be compared with {len(real)} real ones: the bias of a distance depends on the "
            "number; give the same number of both",
        )
