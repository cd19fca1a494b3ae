"""The rule that a schema cannot say: a verdict is given in nobody's name but one's own.

The API server alone knows who sends a request. A ValidatingAdmissionPolicy lets it compare that with `spec.rater`; the
operator counts verdicts only where the rule is in force. Made into crds/ beside the kind that it guards.
"""

from gencontract.layout import GROUP
from genops.core.kinds import ADMISSION_BINDING, ADMISSION_POLICY, GEN_VERDICT
from genops.core.model import Manifest

NAME = f"raters.{GEN_VERDICT.plural}.{GROUP}"
FILE = f"crds/{GROUP}_{GEN_VERDICT.plural}.raters.yaml"
MESSAGE = "'spec.rater must be ' + request.userInfo.username + ', who sends this: nobody judges in another\\'s name'"

# One for the whole cluster: Helm leaves it when the release goes that brought it, since others may count by it.
META = {"name": NAME, "annotations": {"helm.sh/resource-policy": "keep"}}
POLICY: Manifest = {
    "apiVersion": ADMISSION_POLICY.api_version,
    "kind": ADMISSION_POLICY.kind,
    "metadata": META,
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": ["*"],
                    "operations": ["CREATE"],
                    "resources": [GEN_VERDICT.plural],
                }
            ]
        },
        "validations": [
            {
                "expression": "object.spec.rater == request.userInfo.username",
                "messageExpression": MESSAGE,
                "reason": "Forbidden",
            }
        ],
    },
}
BINDING: Manifest = {
    "apiVersion": ADMISSION_BINDING.api_version,
    "kind": ADMISSION_BINDING.kind,
    "metadata": META,
    "spec": {"policyName": NAME, "validationActions": ["Deny"]},
}
