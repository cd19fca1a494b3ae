"""Density: how many real neighbourhoods a sample lies in, over k; 1 for real rows, more where samples crowd."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.manifolds import K, over_seeds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed


def measure(bench: Bench) -> PerSeed:
    return over_seeds(bench, "density")


METRIC = Metric(
    name="density",
    says="Real neighbourhoods around each sample, over k: fidelity that outliers do not inflate",
    better="higher",
    needs="features",
    modalities=ANY,
    source="Naeem et al. 2020",
    measure=measure,
    floor="any",
    options={"k": K},
)
