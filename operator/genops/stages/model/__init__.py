"""GenModel: an idea becomes a chain of objects, run by run, and its lineage is kept."""

from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB
from genops.core.model import Stage
from genops.stages.model.plan import asks, plan, refs
from genops.stages.model.spec import Spec

OWNED = (GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT)

MODEL: Stage[Spec] = Stage(kind=GEN_MODEL, spec=Spec, owns=OWNED, refs=refs, plan=plan, asks=asks, stopped="Halted")
