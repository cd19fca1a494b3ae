"""The tutorials, run as they are written: each page's commands in order, in one shell, on a cluster that the page makes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT, manifests, run

from genops.local import programs
from genops.local.cluster import LocalCluster
from genops.local.progress import Quiet

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

TUTORIALS = ROOT / "docs" / "tutorials"
PATIENCE = 1500.0  # for a whole page, on a machine that runs all tests at once


@contextmanager
def a_folder() -> Iterator[dict[str, str]]:
    """The environment of pages whose `genops local` must not meet the developer's own cluster; it goes at the end."""
    (ROOT / ".genops").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="e2e-page-", dir=ROOT / ".genops"))
    helm = Path(programs.helm(Quiet())).parent
    env = {"GENOPS_LOCAL_DIR": str(folder / "cluster"), "PATH": f"{helm}:{os.environ['PATH']}"}
    try:
        yield env
    finally:
        down = [sys.executable, "-m", "genops", "local", "down"]
        subprocess.run(down, env={**os.environ, **env}, check=True, capture_output=True, timeout=120)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def local() -> Iterator[dict[str, str]]:
    """One folder for the pages that begin with `make local`, which is fine twice."""
    with a_folder() as env:
        yield env


@pytest.fixture(autouse=True)
def told() -> Iterator[None]:
    """Where a page stops, pytest shows how its objects stood."""
    yield
    for folder in (ROOT / ".genops").glob("e2e-page-*/cluster"):
        if (folder / "kubeconfig").exists():
            print(_seen(folder))


def _seen(folder: Path) -> str:
    cluster = LocalCluster(folder)
    seen = [("get", "gds,gtj,gev,gdp,pods", "-A"), ("get", "events", "-A", "--sort-by=.lastTimestamp")]
    return "\n".join([*(cluster.kubectl(*words, check=False) for words in seen), cluster.tail("operator")])


def test_data(local: dict[str, str]) -> None:
    said = run(TUTORIALS / "data.md", PATIENCE, **local)
    assert "check enough did not pass" in said
    assert re.search(r"opticks +Ready +7955", said)


def test_training(local: dict[str, str]) -> None:
    said = run(TUTORIALS / "training.md", PATIENCE, **local)
    [step] = re.findall(r'^\{"genops":"progress".*"step":(\d+),"total"', said, re.MULTILINE)
    assert int(step) > 1, "it began anew"
    assert re.search(r"plug +Succeeded +100", said)


def test_the_quickstart(local: dict[str, str]) -> None:
    """Last of those that share a cluster: its page takes it down."""
    said = run(TUTORIALS / "quickstart.md", PATIENCE, **local)
    assert "gendeployment.genops.dev/digits condition met" in said
    assert '"name":"sample"' in said
    assert (ROOT / ".genops/quickstart.png").read_bytes().startswith(b"\x89PNG")


def test_helm() -> None:
    with a_folder() as env:
        said = run(TUTORIALS / "helm.md", PATIENCE, **env)
    assert "STATUS: deployed" in said
    assert "gentrainingjob.genops.dev/digits condition met" in said


def test_every_manifest_of_the_pages_is_admitted(crds: LocalCluster, namespace: Any) -> None:
    """By the real API server, in a dry run; none is applied."""
    pages = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
    shown = [(page, body) for page in pages for body in manifests(page) if "apiVersion" in body and "spec" in body]
    assert shown
    for page, body in shown:
        if body["apiVersion"].startswith("genops.dev/"):
            done = namespace.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
            assert "created" in done, page
