"""Oracles: procedural datasets whose distribution is known exactly, as judges of what a model makes of them.

The dataset's body names its oracle; the set's own module has the parser. No network judges here, so that nothing of
this depends on an extractor.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gencontract.codes import Code
from gentrainers.data.builtin import arpeggios, markov, sprites
from gentrainers.data.formats.music import END
from gentrainers.errors import JobError
from gentrainers.metrics.kit.arrays import Bools, Floats, Tokens
from gentrainers.metrics.kit.rows import Rows

PIECE = arpeggios.VOICES * arpeggios.BARS * arpeggios.BEATS * arpeggios.STEPS


def kind(body: Mapping[str, Any], metric: str, known: tuple[str, ...]) -> str:
    """Return the oracle that a dataset is. Raises JobError(BAD_CONFIG) where it is none that the metric can ask."""
    found = str(body.get("oracle", {}).get("kind", "no oracle"))
    if found not in known:
        raise JobError(
            Code.BAD_CONFIG,
            f"metrics.name = {metric!r} asks an oracle ({', '.join(known)}), and the dataset is {found}; leave it out",
        )
    return found


def readable(oracle: str, rows: Rows) -> Bools:
    """Say which samples the oracle's parser can read: [rows]."""
    if oracle == "sprites":
        return np.array([sprites.parse(picture) is not None for picture in rows])
    return np.array([arpeggios.parse(_piece(row)) is not None for row in rows])


def as_told(rows: Rows, captions: list[str]) -> Bools:
    """Say which sprites show what their caption says: [rows]."""
    found = (sprites.parse(picture) for picture in rows)
    return np.array([s is not None and s.caption == c for s, c in zip(found, captions, strict=True)])


def _piece(row: Tokens) -> Tokens:
    """Take END away. Raises JobError where a sample is too short to be a piece at all."""
    if len(row) < PIECE:
        raise JobError(
            Code.BAD_CONFIG,
            f"metrics.name = 'oracleAccuracy': samples have {len(row)} tokens and a piece has {PIECE}; prepare the "
            f"dataset with options.blockSize of at least {PIECE + arpeggios.VOICES}",
        )
    ends = np.flatnonzero(np.asarray(row) == END)
    return np.asarray(row)[: ends[0] if len(ends) else PIECE]


def true_nats(body: Mapping[str, Any], arrays: Mapping[str, Any], decode: Callable[[Tokens], str]) -> Floats:
    """Return what each stored document costs under the true distribution, in nats: [documents]."""
    documents = len(arrays["offsets"]) - 1
    oracle = body["oracle"]
    if oracle["kind"] == "arpeggios":
        return np.full(documents, float(oracle["entropyPerPiece"]))
    chain = markov.Chain(int(oracle["seed"]))
    bounds = np.asarray(arrays["offsets"]).astype(np.int64)
    texts = (decode(arrays["tokens"][bounds[i] : bounds[i + 1]]) for i in range(documents))
    return np.array([_cost(chain, text, float(oracle["entropyRate"])) for text in texts])


def _cost(chain: markov.Chain, text: str, rate: float) -> float:
    """Cost a text; its first two letters, whose context is not in it, at the entropy rate."""
    return float(chain.nats(text).sum()) + 2 * rate
