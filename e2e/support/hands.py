"""One test's namespace with an operator in it, and what a person would do and read there: make, wait, tamper, mend."""

import json
from collections.abc import Callable
from typing import Any

from operators import Operator, until
from places import Place, said

SOON = 60.0  # seconds within which a fault is said


class World(Place):
    """One namespace with an operator, and what a person would do and read in it."""

    def __init__(self, namespace: Any, operator: Operator, a_pod: Callable[..., dict[str, Any]]) -> None:
        super().__init__(namespace.cluster, namespace.name)
        self.namespace, self.operator, self.a_pod = namespace, operator, a_pod
        self._pods = 0

    def patch(self, kind: str, name: str, **spec: Any) -> None:
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def condition(self, kind: str, name: str, which: str = "Ready") -> dict[str, Any]:
        return said(self.status(kind, name), which)

    def says(self, kind: str, name: str, reason: str, seconds: float = SOON, which: str = "Ready") -> str:
        """Wait until a condition has a reason, and return its message."""
        until(
            lambda: self.condition(kind, name, which).get("reason") == reason,
            seconds,
            lambda: f"{kind}/{name} to say {reason}: {self.status(kind, name)}\n{self.operator.tail()}",
        )
        return str(self.condition(kind, name, which)["message"])

    def phase(self, kind: str, name: str, *phases: str, seconds: float = 240.0) -> dict[str, Any]:
        return super().phase(kind, name, *phases, seconds=seconds)

    def on_claim(self, claim: str, script: str, *args: str) -> str:
        """Run a script in a pod that has a claim under /data, and return what it printed."""
        self._pods += 1
        name = f"hands-{self._pods}"
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
        mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        self.namespace.apply(self.a_pod(name, "python", "-c", script, *args, container=mount, volumes=[volume]))
        ended = self.namespace.ended(name)
        assert ended["status"]["phase"] == "Succeeded", self.namespace.logs(name)
        return str(self.namespace.logs(name))

    def claim(self, name: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self.namespace.apply(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        )
