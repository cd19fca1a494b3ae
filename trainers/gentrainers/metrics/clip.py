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
    ground = bench.ground
    real = _conditions(ground.reference, bench)
    asked = [real[bench.reference_index(seed)] for seed in bench.seeds]
    pair = bench.once(("pair", bench.maker.told), lambda: _pair(bench))
    unit = pair.agree(ground.reference.rows, real).mean()
    scores = [_agreement(bench, pair, c, s) / unit for c, s in zip(asked, bench.seeds, strict=True)]
    return per_sample(np.concatenate(scores), np.concatenate(asked) if bench.maker.told == "caption" else None)


def _pair(bench: Bench) -> Pair:
    train = bench.ground.train
    return agreement.fit(train.rows, _conditions(train, bench), bench.ground.digest)


def _agreement(bench: Bench, pair: Pair, conditions: Conditions, seed: int) -> Floats:
    bench.tick()
    return pair.agree(bench.maker.sample_for(conditions.tolist(), seed), conditions)


def _conditions(real: Real, bench: Bench) -> Conditions:
    """Return what real rows are called in the kind that the maker can be told. Raises JobError where it is none."""
    found = {"label": real.classes, "caption": real.captions}.get(bench.maker.told)
    if found is None:
        raise JobError(
            Code.UNSUPPORTED,
            f"metrics.name = 'clip': the {bench.maker.name} takes neither class nor caption of this dataset; train it "
            "with condition class or text, or leave clip out",
        )
    return found


METRIC = Metric(
    name="clip",
    says="Agreement of samples with their class or caption: 0 is chance, 1 is what real pairs reach",
    better="higher",
    needs="conditions",
    modalities=("images",),
    source="after Radford et al. 2021",
    measure=measure,
)
