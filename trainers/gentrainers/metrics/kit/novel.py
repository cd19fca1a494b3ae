"""What the tests for copying share: distances to the nearest rows in pixels or columns, and longest copied spans.

Distances are taken in the data's own space, not in features: a classifier's features forget exactly what makes a copy
a copy. Read the results with care: published detectors miss memorisation too, and none of these proves its absence.
"""

import numpy as np

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit.arrays import Bools, Floats, Ints
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.copies import longest_copies
from gentrainers.metrics.kit.neighbours import nearest
from gentrainers.metrics.kit.rows import Rows, flat, joined, take

PART = 10_000  # training rows that are held as floats at once
JUDGED = 2000  # unseen documents that say what is usual
USUAL = 0.95  # of the unseen documents copy no longer span from the train split than the limit


def made(bench: Bench) -> Rows:
    """All samples of all seeds."""
    return joined([bench.samples(seed) for seed in bench.seeds])


def strangers(bench: Bench) -> Rows:
    """Return rows that no model has seen. Raises JobError where the dataset has none."""
    rows = bench.ground.unseen.rows
    if not len(rows):
        raise JobError(
            Code.BAD_DATA,
            "dataset: no split but train holds samples, so nothing says what an honest sample shares with it; "
            "give validation or test a share in prepare",
        )
    return rows


def authentic(rows: Rows, train: Rows) -> Bools:
    """Say which rows are authentic: [rows]. Alaa et al. 2022, section 4.3.

    A row is not, if it lies closer to its nearest training row than any other training row does.
    """
    distance, neighbour = closest(rows, train)
    used, back = np.unique(neighbour, return_inverse=True)
    apart, _ = closest(take(train, used), train, skip=used)
    return np.asarray(distance > apart[back.reshape(-1)])


def ways(rows: Rows, others: Rows, itself: bool = False) -> Floats:
    """Return the distance of each row to the nearest of the others; `itself` when both are the same rows."""
    return closest(rows, others, np.arange(len(rows)) if itself else None)[0]


def closest(rows: Rows, others: Rows, skip: Ints | None = None) -> tuple[Floats, Ints]:
    """Return distance and index of the nearest other row, looking at PART of them at a time: [rows] each."""
    queries = flat(rows)
    best, index = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    for start in range(0, len(others), PART):
        part = flat(take(others, range(start, min(start + PART, len(others)))))
        here = None if skip is None else np.where((skip >= start) & (skip < start + len(part)), skip - start, -1)
        distance, found = nearest(queries, part, here)
        index = np.where(distance < best, found + start, index)
        best = np.minimum(best, distance)
    return best, index


def copied(bench: Bench) -> Ints:
    """Return the longest copied span in tokens of each sample of all seeds."""
    key = ("copied", bench.maker.name, bench.n, bench.seeds)
    return bench.once(key, lambda: longest_copies(_sequences(made(bench)), bench.ground.corpus))


def usual_copy(bench: Bench) -> float:
    """Return the span that 95 % of unseen documents do not exceed: common phrases are not copies."""
    every = strangers(bench)
    unseen = take(every, np.linspace(0, len(every) - 1, min(len(every), JUDGED)).astype(np.int64))
    found = bench.once(("copied", "unseen"), lambda: longest_copies(_sequences(unseen), bench.ground.corpus))
    return float(np.quantile(found, USUAL))


def _sequences(rows: Rows) -> list[Ints]:
    assert isinstance(rows, list), "only text and music are sequences"
    return rows
