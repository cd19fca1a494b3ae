"""GenEvaluation: a model is measured by one Job, judged by people where asked, and gets a verdict."""

from genops.core.kinds import CLAIM, GEN_EVALUATION, JOB
from genops.core.model import Stage
from genops.stages.evaluation.plan import inspect, plan, refs
from genops.stages.evaluation.spec import Spec

EVALUATION: Stage[Spec] = Stage(
    kind=GEN_EVALUATION, spec=Spec, owns=(JOB, CLAIM), refs=refs, plan=plan, inspect=inspect
)
