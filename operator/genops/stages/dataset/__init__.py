"""GenDataset: a source becomes data under a digest, by one Job."""

from genops.core.kinds import CLAIM, GEN_DATASET, JOB
from genops.core.model import Stage
from genops.stages.dataset.plan import inspect, plan, refs
from genops.stages.dataset.spec import Spec

DATASET: Stage[Spec] = Stage(
    kind=GEN_DATASET, spec=Spec, owns=(JOB, CLAIM), refs=refs, plan=plan, inspect=inspect, holds=True
)
