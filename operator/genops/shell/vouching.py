"""Does the API server vouch for who gave a verdict? Asked of the cluster, never assumed.

Reads the one admission policy and its binding by name. It must not know how verdicts are counted.
"""

import logging

from genops.core.kinds import ADMISSION_BINDING, ADMISSION_POLICY
from genops.core.model import Manifest
from genops.shell.cluster import Cluster
from genops.shell.errors import ApiError
from genops.shell.subset import contains
from genops.stages.verdict import policy

log = logging.getLogger("genops.vouching")


async def vouched(cluster: Cluster) -> bool:
    """Say whether the policy is in force as we ship it; where that may not be read, it is not."""
    try:
        rule = await cluster.get(ADMISSION_POLICY, "", policy.NAME)
        binding = await cluster.get(ADMISSION_BINDING, "", policy.NAME)
    except ApiError as error:
        log.warning("Cannot tell whether verdicts are vouched for, so none counts: %s", error)
        return False
    return _says(rule, policy.POLICY) and _binds_all(binding)


def _says(found: Manifest | None, wanted: Manifest) -> bool:
    """A rule with conditions or exceptions of its own is another rule."""
    spec = (found or {}).get("spec", {})
    narrowed = spec.get("matchConditions") or spec.get("matchConstraints", {}).get("excludeResourceRules")
    return found is not None and contains(found, {"spec": wanted["spec"]}) and not narrowed


def _binds_all(found: Manifest | None) -> bool:
    spec = (found or {}).get("spec", {})
    return contains(spec, policy.BINDING["spec"]) and not spec.get("matchResources")
