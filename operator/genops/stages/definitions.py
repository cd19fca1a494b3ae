"""Every kind as it is written into the API: its names, its fields and its columns. The CRDs are made of these."""

from genops.core.schema import Definition
from genops.stages.dataset.spec import DEFINITION as DATASET
from genops.stages.deployment.spec import DEFINITION as DEPLOYMENT
from genops.stages.evaluation.spec import DEFINITION as EVALUATION
from genops.stages.model.spec import DEFINITION as MODEL
from genops.stages.training.spec import DEFINITION as TRAINING
from genops.stages.verdict.spec import DEFINITION as VERDICT

DEFINITIONS: tuple[Definition, ...] = (MODEL, DATASET, TRAINING, EVALUATION, DEPLOYMENT, VERDICT)
