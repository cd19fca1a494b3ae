"""Whether a container starts again after its end, and how long to wait. Pure."""

from dataclasses import dataclass

from genops.local.agent.facts import Json, is_sidecar

LONGEST = 300.0
FORGIVEN_AFTER = 600.0  # seconds of good running after which the wait starts small again


def policy_of(pod: Json, container: Json, init: bool) -> str:
    """Return the restart policy in force: the container's own, or the pod's."""
    if init and is_sidecar(container):
        return "Always"
    policy = container.get("restartPolicy") or pod["spec"].get("restartPolicy", "Always")
    return "OnFailure" if init and policy == "Always" else str(policy)


def again(container: Json, policy: str, code: int) -> bool:
    """Say whether a container that ended with this code is started again."""
    for rule in container.get("restartPolicyRules", []):
        if rule.get("action") == "Restart" and _covers(rule.get("exitCodes", {}), code):
            return True
    return policy == "Always" or (policy == "OnFailure" and code != 0)


@dataclass
class BackOff:
    """The wait before a restart: none before the first, then doubling."""

    first: float
    _next: float = 0.0

    def after(self, ran_for: float) -> float:
        """Return the wait after a container that ran for so many seconds."""
        if ran_for >= FORGIVEN_AFTER:
            self._next = 0.0
        wait = self._next
        self._next = min(LONGEST, max(self.first, 2 * wait))
        return wait


def _covers(codes: Json, code: int) -> bool:
    inside = code in codes.get("values", [])
    return inside if codes.get("operator") == "In" else not inside
