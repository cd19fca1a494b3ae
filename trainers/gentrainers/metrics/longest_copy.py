"""Longest copy: the mean length of the longest span that a sample takes word for word from the train split."""

from gentrainers.metrics.kit import novel
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import SEQUENCES, Metric
from gentrainers.metrics.kit.scores import Ratio, per_sample


def measure(bench: Bench) -> Ratio:
    return per_sample(novel.copied(bench).astype(float))


METRIC = Metric(
    name="longestCopy",
    says="Mean length of the longest span copied from the train split",
    better="lower",
    needs="samples",
    modalities=SEQUENCES,
    source="exact search, Manber & Myers 1993",
    measure=measure,
    unit="tokens",
    floor="unseen",
)
