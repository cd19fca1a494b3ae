"""Recall: the share of real rows that lie among the samples."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.manifolds import K, over_seeds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed


def measure(bench: Bench) -> PerSeed:
    return over_seeds(bench, "recall")


METRIC = Metric(
    name="recall",
    says="Share of real rows that lie within the cloud of samples: variety",
    better="higher",
    needs="features",
    modalities=ANY,
    source="Kynkäänniemi et al. 2019",
    measure=measure,
    floor="any",
    options={"k": K},
)
