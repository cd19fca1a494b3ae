"""One test's namespace with an operator in it, and what a person would do and read there: make, wait, tamper, mend."""

import json
import uuid
from typing import Any

from operators import Operator, until
from places import Place, said

SOON = 60.0  # seconds within which a fault is said
# Changes one byte in the middle of the first file whose name matches, and names it. Once more, and it is as it was.
FLIP = """
import pathlib, sys
path = sorted(p for p in pathlib.Path("/data", sys.argv[1]).rglob(sys.argv[2]) if p.is_file() and p.suffix != ".py")[0]
data = bytearray(path.read_bytes()); data[len(data) // 2] ^= 1; path.write_bytes(data); print(path.name)
"""


def on_claim(place: Place, claim: str, script: str, *args: str) -> str:
    """Run a script in a pod that has a claim under /data and meets the restricted standard; return what it printed."""
    name = f"hands-{uuid.uuid4().hex[:8]}"
    container = {
        "name": "main",
        "image": "genops-trainers:latest",
        "command": ["python", "-c", script, *args],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    spec = {"restartPolicy": "Never", "securityContext": user, "containers": [container], "volumes": volumes}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    place.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def ended() -> str:
        phase = str(place.get("pod", name)["status"].get("phase"))
        return phase if phase in ("Succeeded", "Failed") else ""

    phase = until(ended, SOON, lambda: f"{name} to end: {place.get('pod', name)['status']}")
    said = place.kubectl("logs", name)
    assert phase == "Succeeded", said
    return said.strip()


def flip(place: Place, uri: str, pattern: str) -> str:
    """Change one byte of a file of an artifact on a claim. Returns the file's name."""
    claim, _, folder = uri.removeprefix("pvc://").partition("/")
    return on_claim(place, claim, FLIP, folder, pattern)


class World(Place):
    """One namespace with an operator, and what a person would do and read in it."""

    def __init__(self, namespace: Any, operator: Operator) -> None:
        super().__init__(namespace.cluster, namespace.name, operator)
        self.namespace = namespace

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
        return on_claim(self, claim, script, *args)

    def claim(self, name: str) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        self.namespace.apply(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
        )
