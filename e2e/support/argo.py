"""Argo CD's own program, asked for its opinion of an object by the health checks that are shipped."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from genops.generate.argocd import HEALTH_FILE
from genops.local import programs
from genops.local.progress import Quiet

ROOT = Path(__file__).resolve().parents[2]


def judged(folder: Path, body: dict[str, Any]) -> tuple[str, str]:
    """What Argo CD says of an object: its health and the message."""
    path = folder / "object.yaml"
    path.write_text(json.dumps(body))
    command = [programs.argocd(Quiet()), "admin", "settings", "resource-overrides", "health", str(path)]
    command += ["--argocd-cm-path", str(ROOT / HEALTH_FILE), "--load-cluster-settings=false"]
    environ = {**os.environ, "KUBECONFIG": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return said["STATUS"], said["MESSAGE"]
