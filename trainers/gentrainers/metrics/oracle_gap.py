"""Oracle gap: what the model's likelihood of the split lacks of the true one, which a procedural set knows exactly."""

from gentrainers.metrics.kit import oracles
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import SEQUENCES, Metric
from gentrainers.metrics.kit.scores import Ratio


def measure(bench: Bench) -> Ratio:
    """Give nats above the true cost over tokens, one pair per document: an estimate of KL(truth | model) per token."""
    oracles.kind(bench.ground.body, METRIC.name, ("markov", "arpeggios"))
    return Ratio(bench.maker.nll() - bench.ground.true_nats(), bench.ground.tokens(), "documents")


METRIC = Metric(
    name="oracleGap",
    says="Nats per token that the model's likelihood lies above the true one: 0 is perfect",
    better="lower",
    needs="likelihood",
    modalities=SEQUENCES,
    source="Kullback & Leibler 1951",
    measure=measure,
    unit="nats",
)
