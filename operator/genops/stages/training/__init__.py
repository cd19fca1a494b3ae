"""GenTrainingJob: data becomes weights under a digest, by one run or by the best of several."""

from genops.core.kinds import CLAIM, GEN_TRAINING_JOB, JOB, JOB_SET, SERVICE
from genops.core.model import Stage
from genops.stages.training.plan import inspect, plan, refs
from genops.stages.training.spec import Spec

TRAINING: Stage[Spec] = Stage(
    kind=GEN_TRAINING_JOB, spec=Spec, owns=(JOB, JOB_SET, SERVICE, CLAIM), refs=refs, plan=plan, inspect=inspect
)
