"""Agreement of images with the condition they were made for, on a scale where chance is 0 and real pairs are 1."""

import numpy as np

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit import agreement
from gentrainers.metrics.kit.agreement import Conditions, Pair
from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.bench import Bench, Real
from gentrainers.metrics.kit.metric import Metric
from gentrainers.metrics.kit.scores import Ratio, per_sample


def measure(bench: Bench) -> Ratio:
    """Give the agreement of each sample over that of real pairs, clustered by caption.

    The encoder is fitted on the train split of this dataset, so that values compare only within one dataset. Classes
    are all there are, so that they are no clusters; captions are a sample of what could be asked.
    """
    pair = bench.once(("pair",), lambda: agreement.fit(bench.ground.train.rows, _conditions(bench.ground.train)))
    asked = [_conditions(bench.ground.reference)[bench.reference_index(seed)] for seed in bench.seeds]
    scores = [_agreement(bench, pair, c, s) for c, s in zip(asked, bench.seeds, strict=True)]
    every = np.concatenate(asked)
    real = pair.agree(bench.ground.reference.rows, _conditions(bench.ground.reference)).mean()
    return per_sample(np.concatenate(scores) / real, every if every.dtype.kind != "i" else None)


def _agreement(bench: Bench, pair: Pair, conditions: Conditions, seed: int) -> Floats:
    bench.tick()
    return pair.agree(bench.maker.sample_for(list(conditions), seed), conditions)


def _conditions(real: Real) -> Conditions:
    if real.labels is None:
        raise JobError(
            Code.BAD_CONFIG,
            f"metrics.name = 'clip': split {real.name} has neither classes nor captions to agree with; leave it out",
        )
    return real.labels


METRIC = Metric(
    name="clip",
    says="Agreement of samples with their class or caption: 0 is chance, 1 is what real pairs reach",
    better="higher",
    needs="conditions",
    modalities=("images",),
    source="after Radford et al. 2021",
    measure=measure,
)
