"""Oracle accuracy: the share of samples that a procedural set's own parser can read, and that show what was asked."""

import numpy as np

from gentrainers.metrics.kit import oracles
from gentrainers.metrics.kit.arrays import Bools
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import Metric
from gentrainers.metrics.kit.novel import made
from gentrainers.metrics.kit.scores import Hits


def measure(bench: Bench) -> Hits:
    """Give one hit per sample. A sprite made for a caption must show what the caption says."""
    oracle = oracles.kind(bench.ground.body, METRIC.name, ("sprites", "arpeggios"))
    if oracle == "sprites" and bench.maker.told == "caption":
        return Hits(np.concatenate([_as_told(bench, seed) for seed in bench.seeds]))
    return Hits(oracles.readable(oracle, made(bench)))


def _as_told(bench: Bench, seed: int) -> Bools:
    known = bench.ground.reference.captions
    assert known is not None, "sprites have captions"
    captions = [str(c) for c in known[bench.reference_index(seed)]]
    return oracles.as_told(bench.maker.sample_for(captions, seed), captions)


METRIC = Metric(
    name="oracleAccuracy",
    says="Share of samples that the dataset's own grammar accepts, and that show what was asked",
    better="higher",
    needs="oracle",
    modalities=("images", "music"),
    source="the dataset's parser",
    measure=measure,
    floor="unseen",
)
