"""Choose what a reader of the report sees of the samples themselves: pictures, piano rolls, or excerpts.

Knows the bench; must not know the page.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gentrainers.metrics.kit.bench import Bench, Maker
from gentrainers.metrics.kit.novel import closest
from gentrainers.metrics.kit.rows import Rows, take
from gentrainers.pages import pictures

SHOWN = {"images": 48, "music": 4, "text": 6, "tabular": 8}
COLUMNS = 8
SUSPECTS = 8  # the samples nearest to the train split
LONGEST = 600  # characters of an excerpt


@dataclass(frozen=True)
class Exhibit:
    """`pictures` are PNG files by name; `texts` are excerpts by whose they are."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)


def exhibit(bench: Bench, baseline: Maker | None, decode: Callable[[Any], str]) -> Exhibit:
    """Show the first samples of the first seed, the baseline's, and real ones."""
    modality = bench.ground.modality
    count = min(SHOWN[modality], bench.n)
    shown = {"samples": _first(bench, count)}
    if baseline:
        shown["baseline"] = _first(replace(bench, maker=baseline), count)
    shown["real"] = take(bench.ground.reference.rows, range(min(count, len(bench.ground.reference))))
    if modality == "images":
        return Exhibit(_images(shown) | _suspects(bench, shown["samples"]))
    if modality == "music":
        grammar = bench.ground.body["tokens"]
        return Exhibit({f"{k}.png": pictures.png(pictures.piano_rolls(list(v), grammar)) for k, v in shown.items()})
    speak = decode if modality == "text" else _row
    return Exhibit(texts={who: [_cut(speak(row)) for row in rows] for who, rows in shown.items()})


def _first(bench: Bench, count: int) -> Rows:
    seed = bench.seeds[0]
    known = ("samples", bench.maker.name, bench.n, seed) in bench.memo
    return take(bench.samples(seed), range(count)) if known else replace(bench, n=count).samples(seed)


def _images(shown: dict[str, Rows]) -> dict[str, bytes]:
    return {f"{who}.png": pictures.png(pictures.grid(np.asarray(rows), COLUMNS)) for who, rows in shown.items()}


def _suspects(bench: Bench, shown: Rows) -> dict[str, bytes]:
    """Show the samples that lie nearest to the train split, above what they are near to."""
    known = ("samples", bench.maker.name, bench.n, bench.seeds[0]) in bench.memo
    rows = np.asarray(bench.samples(bench.seeds[0]) if known else shown)
    distance, neighbour = closest(rows, bench.ground.train.rows)
    worst = np.argsort(distance, kind="stable")[:SUSPECTS]
    near = np.asarray(take(bench.ground.train.rows, neighbour[worst]))
    return {"nearest.png": pictures.png(pictures.pairs(rows[worst], near))}


def _row(row: Any) -> str:
    return "  ".join(f"{value:.4g}" for value in np.asarray(row).tolist())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
