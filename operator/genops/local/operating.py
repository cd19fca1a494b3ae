"""The operator beside the local cluster: our kinds installed, and `genops run` as one more process of ours.

On a real cluster the operator is a Deployment; here it is a process, so that its code can be changed and started anew.
"""

import os
import sys
import time
from collections.abc import Mapping

from genops.generate import crds
from genops.local import processes
from genops.local.cluster import ComponentStatus, LocalCluster
from genops.local.errors import LocalError
from genops.local.progress import Progress, Quiet

NAME = "operator"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


def up(cluster: LocalCluster, progress: Progress | None = None, **settings: str) -> None:
    """Install the CRDs and start the operator, unless it runs. Raises LocalError with the end of its log.

    `settings` are environment variables of the operator, such as GENOPS_PROMETHEUS.
    """
    with (progress or Quiet()).step("Install the kinds and start the operator") as detail:
        detail("CRDs")
        for text in crds.OUTPUTS.values():
            cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text())
        detail("operator")
        if not running(cluster):
            _start(cluster, settings)
        detail("ready")


def down(cluster: LocalCluster) -> None:
    """Stop the operator."""
    processes.stop([NAME], cluster.paths.run, STOP_SECONDS)


def status(cluster: LocalCluster) -> list[ComponentStatus]:
    """Look at the operator, if it was ever started here."""
    record = processes.recorded(NAME, cluster.paths.run)
    if record is None:
        return []
    alive = processes.alive(record)
    return [ComponentStatus(NAME, record.pid if alive else None, alive, alive)]


def running(cluster: LocalCluster) -> bool:
    """Say whether the operator runs."""
    return processes.alive(processes.recorded(NAME, cluster.paths.run))


def _start(cluster: LocalCluster, settings: Mapping[str, str]) -> None:
    env = {**os.environ, **settings, "KUBECONFIG": cluster.kubeconfig, "GENOPS_HEALTH_PORT": "0"}
    log = cluster.paths.logs / f"{NAME}.log"
    seen = log.stat().st_size if log.exists() else 0
    processes.start(NAME, [sys.executable, "-m", "genops", "run"], cluster.paths.run, cluster.paths.logs, env)
    deadline = time.monotonic() + START_SECONDS
    while b" Ready: " not in log.read_bytes()[seen:]:
        if not running(cluster) or time.monotonic() > deadline:
            raise LocalError(f"The operator did not get ready:\n{cluster.tail(NAME)}")
        time.sleep(0.1)
