"""Rows: samples in the form that metrics compare, checked once where they enter.

Images are uint8 [n, height, width, channels]; a table is float32 [n, columns]; text and music are lists of token
arrays. This module must not know where rows come from.
"""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit.arrays import Bytes, Singles, Tokens

Rows: TypeAlias = npt.NDArray[Any] | list[Tokens]


def to_bytes(images: npt.NDArray[Any]) -> Bytes:
    """Turn images in [0, 1] into bytes by rounding to nearest; truncation would darken them by half a step.

    >>> to_bytes(np.array([0.0, 0.5, 0.9999, 1.2]))
    array([  0, 128, 255, 255], dtype=uint8)
    """
    if images.dtype == np.uint8:
        return images
    return np.clip(np.rint(images.astype(np.float64) * 255), 0, 255).astype(np.uint8)


def checked(rows: Any, modality: str, n: int, maker: str) -> Rows:
    """Check n samples of a model and bring them into their one form. Raises JobError that names the model."""
    if len(rows) != n:
        raise JobError(Code.BAD_DATA, f"{maker}: asked for {n} samples, sample() gave {len(rows)}; mend its family")
    if modality in ("text", "music"):
        return [np.asarray(r) for r in rows]
    array = np.asarray(rows)
    bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(1, np.bool_)
    if bad.any():
        raise JobError(
            Code.NON_FINITE,
            f"{maker}: {int(bad.any(axis=tuple(range(1, bad.ndim))).sum())} of {n} samples hold NaN or infinity; "
            "train it again with a lower learning rate, or sample in float32",
        )
    return to_bytes(array) if modality == "images" else array.astype(np.float32)


def fingerprint(rows: Rows) -> str:
    """Name rows by their content and order."""
    parts = rows if isinstance(rows, list) else [rows]
    return hashlib.sha256(b"|".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def take(rows: Rows, index: Sequence[int] | npt.NDArray[Any]) -> Rows:
    """Pick rows by index, in that order."""
    return [rows[i] for i in index] if isinstance(rows, list) else rows[np.asarray(index)]


def joined(parts: Sequence[Rows]) -> Rows:
    """Put rows of the same form behind each other."""
    if any(isinstance(p, list) for p in parts):
        return [row for part in parts for row in part]
    return np.concatenate([np.asarray(p) for p in parts])


def flat(rows: Rows) -> Singles:
    """Lay out images or a table as float32 [n, dims]; bytes become [0, 1]."""
    array = np.asarray(rows)
    scale = np.float32(255 if array.dtype == np.uint8 else 1)
    return (array.reshape(len(array), -1).astype(np.float32) / scale).astype(np.float32)


def windows(tokens: Tokens, offsets: npt.NDArray[Any], length: int) -> list[Tokens]:
    """Cut each document into pieces of `length` tokens; a shorter piece stays only where it is the whole document."""
    pieces = []
    for start, end in pairwise(offsets):
        document = np.asarray(tokens[int(start) : int(end)])
        whole = range(0, max(len(document) - length, 0) + 1, length)
        pieces += [document[i : i + length] for i in whole if len(document)]
    return pieces
