"""One real cluster for the whole test run, shared by all xdist workers, and a namespace of its own for each test.

Set GENOPS_E2E_KEEP=1 to leave the cluster for a look after a failure; the run says where it is.
"""

import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import standin
from hands import World
from operators import Operator

from genops.local.cluster import LocalCluster
from genops.local.state import Options

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
_FOLDER = "GENOPS_E2E_DIR"  # set by the process that pytest was started as, inherited by xdist's workers
# More CPUs than there are, so that many small pods fit; a short back-off, so that restarts are seen in a test's time.
STAND_IN = standin.place(ROOT / ".genops")
OPTIONS = Options(audit=True, cpus=32, restart_back_off=1.0, images={standin.IMAGE: str(STAND_IN)})


@dataclass(frozen=True)
class Namespace:
    """One test's namespace, and kubectl in it."""

    name: str
    cluster: LocalCluster

    def __str__(self) -> str:
        return self.name

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *args, stdin=stdin, check=check, timeout=timeout)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read one object; an empty one if it does not exist."""
        text = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(text)) if text.strip() else {}

    def phase(self, pod: str) -> str:
        """Return a pod's phase."""
        return str(self.get("pod", pod).get("status", {}).get("phase", ""))

    def ended(self, pod: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until a pod is over and return it."""
        _eventually(lambda: self.phase(pod) in ("Succeeded", "Failed"), f"pod {pod} ends", seconds)
        return self.get("pod", pod)

    def logs(self, pod: str, *args: str) -> str:
        """Return a pod's log."""
        return self.kubectl("logs", pod, *args)

    def list(self, kind: str, *args: str) -> list[dict[str, Any]]:
        """Read all objects of a kind."""
        return list(json.loads(self.kubectl("get", kind, *args, "-o", "json"))["items"])


def _eventually(look: Callable[[], T], what: str = "", seconds: float = 60.0) -> T:
    """Look again and again until something true is seen, and return it; fails with the last thing seen."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what or look}; last seen: {seen!r}")
        time.sleep(0.1)
    return seen


def _a_pod(name: str, *command: str, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod with one container; `spec` is merged into the pod's, `container` into its container."""
    main = {"name": "main", "image": "genops/local:test", "command": list(command), **(container or {})}
    labels = {"app": name}
    pod_spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": pod_spec}


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(look, what, seconds)` waits until look() returns something true, and returns it."""
    return _eventually


@pytest.fixture(scope="session")
def a_pod() -> Callable[..., dict[str, Any]]:
    """`a_pod(name, *command, container={...}, **spec)` returns a pod with one container."""
    return _a_pod


def pytest_configure(config: pytest.Config) -> None:
    """Choose the cluster's folder once; nothing is started yet."""
    if not hasattr(config, "workerinput") and _FOLDER not in os.environ:
        (ROOT / ".genops").mkdir(exist_ok=True)
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="e2e-", dir=ROOT / ".genops")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the cluster down when all workers are done, however the run ended."""
    if hasattr(config, "workerinput") or _FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(_FOLDER))
    if os.environ.get("GENOPS_E2E_KEEP") and (folder / "cluster.json").exists():
        print(f"\nThe cluster is left running: genops local down --dir {folder}")
        return
    if folder.exists():
        LocalCluster(folder).down()
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(folder.name + ".lock").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def cluster() -> LocalCluster:
    """A real cluster, started by whichever worker asks first: `.kubeconfig`, `.kubectl(*args)`, `.paths`."""
    standin.image(STAND_IN)
    return LocalCluster(os.environ[_FOLDER], OPTIONS).up()


@pytest.fixture
def namespace(cluster: LocalCluster) -> Iterator[Namespace]:
    """A namespace of the test's own, removed after it with all that is in it."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    cluster.kubectl("create", "namespace", name)
    yield Namespace(name, cluster)
    with suppress(Exception):
        cluster.kubectl("delete", "pods", "--all", "--namespace", name, "--wait=false", "--grace-period=1")
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="session")
def crds(cluster: LocalCluster) -> LocalCluster:
    """The cluster, with our kinds in it."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    return cluster


@pytest.fixture
def operator(crds: LocalCluster, namespace: Namespace, tmp_path: Path) -> Iterator[Operator]:
    """The operator, looking after this test's namespace alone."""
    with Operator(crds.kubeconfig, namespace.name, tmp_path) as running:
        yield running


@pytest.fixture
def world(namespace: Namespace, operator: Operator) -> World:
    """This test's namespace with its operator, and hands to work there."""
    return World(namespace, operator)


@pytest.fixture
def private_cluster() -> Iterator[LocalCluster]:
    """A cluster for a test that breaks it. Not started: the test calls `.up()`."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-private-", dir=ROOT / ".genops"))
    own = LocalCluster(folder, OPTIONS)
    yield own
    own.down()
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(folder.name + ".lock").unlink(missing_ok=True)
