"""The tutorials, run as they are written: each page's commands in order, in one shell, on a cluster that the page makes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT, run

from genops.local.cluster import LocalCluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

TUTORIALS = ROOT / "docs" / "tutorials"
PATIENCE = 900.0  # for a whole page, on a machine that runs all tests at once


@pytest.fixture
def local() -> Iterator[dict[str, str]]:
    """The environment of a page whose `make local` must not meet the developer's own cluster."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-page-", dir=ROOT / ".genops"))
    env = {"GENOPS_LOCAL_DIR": str(folder / "cluster")}
    yield env
    if (folder / "cluster" / "kubeconfig").exists():
        print(_seen(folder / "cluster"))  # pytest shows it where the page failed
    down = [sys.executable, "-m", "genops", "local", "down"]
    subprocess.run(down, env={**os.environ, **env}, check=True, capture_output=True, timeout=120)
    shutil.rmtree(folder)


def _seen(folder: Path) -> str:
    """Say how the objects of a page's cluster stand."""
    cluster = LocalCluster(folder)
    seen = [("get", "gds,gtj,gev,gdp,pods"), ("get", "events", "--sort-by=.lastTimestamp")]
    return "\n".join([*(cluster.kubectl(*words, check=False) for words in seen), cluster.tail("operator")])


def test_the_quickstart(local: dict[str, str]) -> None:
    said = run(TUTORIALS / "quickstart.md", PATIENCE, **local)
    assert "gendeployment.genops.dev/digits condition met" in said
    assert '"name":"sample"' in said
    assert (ROOT / ".genops/quickstart.png").read_bytes().startswith(b"\x89PNG")
