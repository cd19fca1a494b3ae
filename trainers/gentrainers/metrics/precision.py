"""Precision: the share of samples that lie among the real ones."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.manifolds import K, over_seeds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed


def measure(bench: Bench) -> PerSeed:
    return over_seeds(bench, "precision")


METRIC = Metric(
    name="precision",
    says="Share of samples that lie within the real cloud: fidelity",
    better="higher",
    needs="features",
    modalities=ANY,
    source="Kynkäänniemi et al. 2019",
    measure=measure,
    floor="any",
    options={"k": K},
)
