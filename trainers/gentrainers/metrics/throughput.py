"""Throughput: samples per second when they are made in batches, in this process."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.clock import seconds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import Ratio, per_sample


def measure(bench: Bench) -> Ratio:
    """Give the rate of each repeat. A mean of rates bears a stalled repeat; all samples over all seconds would not."""
    batch, repeats = int(bench.options["batch"]), int(bench.options["repeats"])
    return per_sample(batch / seconds(bench, batch, repeats), unit="repeats")


METRIC = Metric(
    name="throughput",
    says="Samples per second in batches, in this process",
    better="higher",
    needs="clock",
    modalities=ANY,
    source="mean of rates with Student's t",
    measure=measure,
    unit="samples/s",
    options={"batch": 16, "repeats": 20},
)
