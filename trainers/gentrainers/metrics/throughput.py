"""Throughput: samples per second when they are made in batches, in this process."""

import numpy as np

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.clock import seconds
from gentrainers.metrics.kit.metric import ANY, Metric
from gentrainers.metrics.kit.scores import Ratio


def measure(bench: Bench) -> Ratio:
    """Give samples over seconds, one pair per repeat. It is measured, so it differs from run to run."""
    batch, repeats = int(bench.options["batch"]), int(bench.options["repeats"])
    return Ratio(np.full(repeats, float(batch)), seconds(bench, batch, repeats), "repeats")


METRIC = Metric(
    name="throughput",
    says="Samples per second in batches, in this process",
    better="higher",
    needs="clock",
    modalities=ANY,
    source="ratio estimator, Cochran 1977",
    measure=measure,
    unit="samples/s",
    options={"batch": 16, "repeats": 20},
)
