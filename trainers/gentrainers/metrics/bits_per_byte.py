"""Bits per byte of the split: independent of the tokenizer for text; for images one byte is one dimension."""

import math

from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.metric import SEQUENCES, Metric
from gentrainers.metrics.kit.scores import Ratio


def measure(bench: Bench) -> Ratio:
    unit = "documents" if bench.ground.modality in SEQUENCES else "samples"
    return Ratio(bench.maker.nll() / math.log(2), bench.ground.units(), unit)


METRIC = Metric(
    name="bitsPerByte",
    says="Likelihood of the split as bits per byte of text, or per dimension of an image",
    better="lower",
    needs="likelihood",
    modalities=("images", "text"),
    source="Shannon 1948",
    measure=measure,
    unit="bits",
)
