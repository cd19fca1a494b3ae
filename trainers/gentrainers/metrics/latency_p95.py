"""Latency: the 95th percentile of the time that one generation takes here, with an order-statistic interval."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.clock import seconds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import Times

REPEATS = 100  # fewer than 72 cannot bound a 95th percentile from above at 97.5 %


def measure(bench: Bench) -> Times:
    """Give milliseconds per request of `batch` samples. It is measured, so it differs from run to run."""
    return Times(1000 * seconds(bench, int(bench.options["batch"]), int(bench.options["repeats"])), q=0.95)


METRIC = Metric(
    name="latencyP95",
    says="95th percentile of the time of one generation in this process",
    better="lower",
    needs="clock",
    modalities=ANY,
    source="order statistics, David & Nagaraja 2003",
    measure=measure,
    unit="ms",
    options={"batch": 1, "repeats": REPEATS},
)
