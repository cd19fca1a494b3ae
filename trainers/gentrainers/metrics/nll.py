"""Negative log-likelihood of the split in nats: per image or row, per token for text and music."""

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import ANY, SEQUENCES, Metric
from gentrainers.metrics.kit.scores import Ratio


def measure(bench: Bench) -> Ratio:
    """Give nats over tokens (ones for images and tables), one pair per stored sample of the split.

    A family that has only a bound gives the bound. Values compare only under the same tokenizer, which the dataset's
    digest includes.
    """
    unit = "documents" if bench.ground.modality in SEQUENCES else "samples"
    return Ratio(bench.maker.nll(), bench.ground.tokens(), unit)


METRIC = Metric(
    name="nll",
    says="Negative log-likelihood of the split, or the family's bound on it",
    better="lower",
    needs="likelihood",
    modalities=ANY,
    source="Shannon 1948",
    measure=measure,
    unit="nats",
)
