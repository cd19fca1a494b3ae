"""The kinds that are reconciled. A new kind is one folder and one entry here."""

from typing import Any

from genops.core.model import Stage
from genops.stages.dataset import DATASET
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE
from genops.stages.evaluation import EVALUATION
from genops.stages.model import MODEL
from genops.stages.training import TRAINING

STAGES: tuple[Stage[Any], ...] = (MODEL, DATASET, TRAINING, EVALUATION, GEN_DEPLOYMENT_STAGE)
