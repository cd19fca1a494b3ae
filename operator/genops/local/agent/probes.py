"""What a series of probe results means. Pure: results go in, a verdict comes out."""

from dataclasses import dataclass
from typing import Literal

from genops.local.agent.facts import Json

Kind = Literal["startup", "liveness", "readiness"]


@dataclass
class Tally:
    """Counts results of one probe of one container and turns them into a verdict by the thresholds."""

    kind: Kind
    success_threshold: int = 1
    failure_threshold: int = 3
    passing: bool | None = None  # None until a threshold is reached for the first time
    _successes: int = 0
    _failures: int = 0

    @classmethod
    def of(cls, kind: Kind, probe: Json) -> "Tally":
        """Read the thresholds of a probe."""
        return cls(kind, probe.get("successThreshold", 1), probe.get("failureThreshold", 3))

    def count(self, success: bool) -> bool | None:
        """Add one result and return whether the probe passes, or None while that is open."""
        self._successes = self._successes + 1 if success else 0
        self._failures = 0 if success else self._failures + 1
        if self._successes >= self.success_threshold:
            self.passing = True
        if self._failures >= self.failure_threshold:
            self.passing = False
        return self.passing


@dataclass(frozen=True)
class Timing:
    """When to probe."""

    delay: float
    period: float
    timeout: float

    @classmethod
    def of(cls, probe: Json) -> "Timing":
        """Read the timing of a probe, with the API's defaults."""
        seconds = (probe.get("initialDelaySeconds", 0), probe.get("periodSeconds", 10), probe.get("timeoutSeconds", 1))
        return cls(*map(float, seconds))


def port_number(port: int | str, container: Json) -> int:
    """Return a probe's port, which may be the name of a container's port. Raises ValueError for an unknown name."""
    if isinstance(port, int):
        return port
    named = [p["containerPort"] for p in container.get("ports", []) if p.get("name") == port]
    return int(named[0]) if named else int(port)
