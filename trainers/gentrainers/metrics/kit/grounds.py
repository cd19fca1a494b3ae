"""Lay out a prepared dataset as the ground of an evaluation: which real rows play which part.

Knows the layout of datasets (trainers/gentrainers/README.md). It must not know models or metrics.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit import oracles
from gentrainers.metrics.kit.arrays import Floats, Tokens
from gentrainers.metrics.kit.bench import Ground, Real
from gentrainers.metrics.kit.rows import Rows, windows

SEQUENCES = ("text", "music")


class Split(Protocol):
    """What package data offers of a split."""

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]: ...
    @property
    def captions(self) -> list[str] | None: ...


class Dataset(Protocol):
    """What package data offers of a dataset."""

    @property
    def body(self) -> dict[str, Any]: ...
    @property
    def digest(self) -> str: ...
    def split(self, name: str) -> Any: ...


def lay_out(dataset: Dataset, split: str, length: int, decode: Callable[[Tokens], str]) -> Ground:
    """Read the splits an evaluation needs. Sequences are cut into windows of `length` tokens, as long as a sample."""
    modality = str(dataset.body["format"])
    others = [name for name in ("test", "validation") if name != split]
    train, reference = (_real(dataset, name, modality, length) for name in ("train", split))
    spare = tuple(_real(dataset, name, modality, length) for name in others if _holds(dataset, name))
    chosen = dataset.split(split)
    return Ground(
        modality=modality,
        body=dataset.body,
        digest=dataset.digest,
        reference=reference,
        train=train,
        unseen=reference if split != "train" else next(iter(spare), Real("unseen", train.rows[:0])),
        spare=spare,
        units=lambda: _units(chosen.arrays, modality, decode),
        tokens=lambda: _tokens(chosen.arrays, modality),
        true_nats=lambda: oracles.true_nats(dataset.body, chosen.arrays, decode),
        corpus=dataset.split("train").arrays["tokens"] if modality in SEQUENCES else np.zeros(0, np.int64),
    )


def _holds(dataset: Dataset, name: str) -> bool:
    return bool(dataset.body["splits"].get(name, {}).get("samples"))


def _real(dataset: Dataset, name: str, modality: str, length: int) -> Real:
    if not _holds(dataset, name):
        raise JobError(
            Code.BAD_DATA, f"dataset: split {name} holds no samples; give it a share in prepare, or choose another"
        )
    split = dataset.split(name)
    rows: Rows = (
        windows(split.arrays["tokens"], split.arrays["offsets"], length) if modality in SEQUENCES else split.arrays["x"]
    )
    captions = np.asarray(split.captions, dtype=np.str_) if split.captions else None
    return Real(name, rows, split.arrays.get("y"), captions)


def _tokens(arrays: dict[str, npt.NDArray[Any]], modality: str) -> Floats:
    if modality not in SEQUENCES:
        return np.ones(len(arrays["x"]))
    return np.diff(arrays["offsets"].astype(np.int64)).astype(np.float64)


def _units(arrays: dict[str, npt.NDArray[Any]], modality: str, decode: Callable[[Tokens], str]) -> Floats:
    if modality not in SEQUENCES:
        return np.full(len(arrays["x"]), float(np.prod(arrays["x"].shape[1:])))
    bounds = arrays["offsets"].astype(np.int64)
    texts = (decode(arrays["tokens"][a:b]) for a, b in pairwise(bounds))
    return np.array([float(len(t.encode())) for t in texts])
