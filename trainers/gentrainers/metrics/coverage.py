"""Coverage: the share of real rows with a sample in their own neighbourhood."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.manifolds import K, over_seeds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import PerSeed


def measure(bench: Bench) -> PerSeed:
    return over_seeds(bench, "coverage")


METRIC = Metric(
    name="coverage",
    says="Share of real rows with a sample in their neighbourhood: variety that outliers do not inflate",
    better="higher",
    needs="features",
    modalities=ANY,
    source="Naeem et al. 2020",
    measure=measure,
    floor="any",
    options={"k": K},
)
