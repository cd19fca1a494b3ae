"""Novelty: the share of samples that are no copies of the train split.

For images and tables the share that is authentic; for text and music the share whose longest copied span is no longer
than what unseen documents usually share with the train split.
"""

from gentrainers.metrics.kit import novel
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import ANY, SEQUENCES, Metric
from gentrainers.metrics.kit.scores import Hits


def measure(bench: Bench) -> Hits:
    if bench.ground.modality in SEQUENCES:
        return Hits(novel.copied(bench) <= novel.usual_copy(bench))
    return Hits(novel.authentic(novel.made(bench), bench.ground.train.rows))


METRIC = Metric(
    name="novelty",
    says="Share of samples that are no copies of training data; read it beside the floor, what unseen real data scores",
    better="higher",
    needs="samples",
    modalities=ANY,
    source="Alaa et al. 2022",
    measure=measure,
    floor="unseen",
)
