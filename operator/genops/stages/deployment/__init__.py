"""GenDeployment: an engine is built for a model with its verdict, served by Triton, and followed by the next."""

from genops.core.kinds import (
    AUTOSCALER,
    CLAIM,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    GEN_DEPLOYMENT,
    HTTP_ROUTE,
    HTTP_SCALED_OBJECT,
    JOB,
    NETWORK_POLICY,
    POD_MONITOR,
    SCALED_OBJECT,
    SERVICE,
)
from genops.core.model import Stage
from genops.stages.deployment.plan import asks, inspect, plan, refs
from genops.stages.deployment.spec import Spec

OWNS = (
    JOB,
    CLAIM,
    DEPLOYMENT,
    SERVICE,
    HTTP_ROUTE,
    HTTP_SCALED_OBJECT,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    AUTOSCALER,
    SCALED_OBJECT,
    POD_MONITOR,
)

# Named after the kind, since "deployment" alone is Kubernetes' own.
GEN_DEPLOYMENT_STAGE: Stage[Spec] = Stage(
    kind=GEN_DEPLOYMENT, spec=Spec, owns=OWNS, refs=refs, plan=plan, inspect=inspect, asks=asks
)
