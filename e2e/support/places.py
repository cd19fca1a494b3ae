"""A namespace of a test module's own, with an operator that looks after it, and the objects that journeys start from."""

import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from operators import Operator, until

from genops.local.cluster import LocalCluster
from genops.local.state import Options

ROOT = Path(__file__).resolve().parents[2]
GROUP = "genops.dev/v1alpha1"
# The local node runs no images; this is where what a server image holds is installed (`make server-env`).
IMAGES = {"genops-server": str(ROOT / ".genops/venv-server")}
SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}}
# Machines that run all tests at once are slow.
PATIENCE = 600.0


class Place:
    """A namespace and kubectl in it."""

    def __init__(self, cluster: LocalCluster, name: str, operator: Operator) -> None:
        self.cluster, self.name, self.operator = cluster, name, operator

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *args, stdin=stdin)

    def make(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Create or change an object of ours."""
        body = {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read one object."""
        return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))

    def list(self, kind: str, *args: str) -> list[dict[str, Any]]:
        """Read all objects of a kind."""
        return list(json.loads(self.kubectl("get", kind, *args, "-o", "json"))["items"])

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """Read an object's status."""
        return dict(self.get(kind, name).get("status") or {})

    def phase(self, kind: str, name: str, *phases: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until an object is in one of some phases, and return its status."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.status(kind, name))
            return seen.get("phase") in phases

        until(there, seconds, lambda: f"{kind}/{name} to be {' or '.join(phases)}: {self._told(seen)}", every=1.0)
        return dict(seen)

    def _told(self, status: dict[str, Any]) -> str:
        said = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions", ())]
        return "\n".join([str(status.get("phase")), *said, self.kubectl("get", "pods")])


def said(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of a status."""
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})


@contextmanager
def a_serving_cluster() -> Iterator[LocalCluster]:
    """A cluster with our kinds in it, whose node knows what a server image holds; it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-serving-", dir=ROOT / ".genops"))
    cluster = LocalCluster(folder, Options(cpus=32, restart_back_off=1.0, images=IMAGES))
    try:
        cluster.up().kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield cluster
    finally:
        cluster.down()
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(folder.name + ".lock").unlink(missing_ok=True)


@contextmanager
def a_place(cluster: LocalCluster, folder: Path, **env: str) -> Iterator[Place]:
    """A namespace with an operator of its own, under the restricted standard; both go at the end."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    try:
        with Operator(cluster.kubeconfig, name, folder, **env) as operator:
            yield Place(cluster, name, operator)
    finally:
        cluster.kubectl("delete", "pods", "--all", "--namespace", name, "--wait=false", "--grace-period=1", check=False)
        cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


def train_digits(place: Place) -> None:
    """Prepare digits and train a flow on them for a moment: real weights, of no quality."""
    source = {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": SMALL}
    place.make("GenDataset", "digits", source)
    train = {
        "datasetRef": {"name": "digits"},
        "family": "flow",
        "size": "xs",
        "hyperparameters": {"steps": 20, "batch": 32},
        "resources": SMALL,
    }
    place.make("GenTrainingJob", "digits", train)
    place.phase("gentrainingjob", "digits", "Succeeded")


def evaluation(threshold: float = 1e6, **more: Any) -> dict[str, Any]:
    """A GenEvaluation of that flow that asks little."""
    return {
        "subject": {"trainingJobRef": {"name": "digits"}},
        "datasetRef": {"name": "digits"},
        "samples": 48,
        "metrics": [{"name": "fid", "op": "<=", "threshold": threshold, "primary": True}],
        "resources": SMALL,
        **more,
    }
