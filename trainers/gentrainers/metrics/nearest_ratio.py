"""Nearest ratio: how much closer samples lie to the train split than to rows that no model has seen."""

from gentrainers.metrics.kit import novel
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import Metric
from gentrainers.metrics.kit.scores import Ratio


def measure(bench: Bench) -> Ratio:
    """Give the mean way to the nearest training row over the mean way to the nearest unseen row.

    The larger split has the nearer neighbours, for every maker. So the ratio is taken relative to that of the unseen
    rows themselves: 0 for copies, 1 for samples that know no more of the train split than of any other.
    """
    rows, train, unseen = novel.made(bench), bench.ground.train.rows, novel.strangers(bench)
    usual = novel.ways(unseen, train).mean() / novel.ways(unseen, unseen, itself=True).mean()
    return Ratio(novel.ways(rows, train) / usual, novel.ways(rows, unseen))


METRIC = Metric(
    name="nearestRatio",
    says="Way to the nearest training row over the way to the nearest unseen row: 0 for copies, 1 for new samples",
    better="higher",
    needs="samples",
    modalities=("images", "tabular"),
    source="after Meehan et al. 2020",
    measure=measure,
    floor="unseen",
)
