"""The kinds of others (Gateway API, KEDA, Prometheus' own operator), as their makers publish them.

They come out of Go modules, checked by go.sum; nothing is built.
"""

import json
import os
import subprocess
from pathlib import Path

from genops.local import programs


def crds(module: str, folder: str, *names: str) -> list[Path]:
    """Fetch a module and name the files of some of its CRDs. Raises AssertionError with what Go says."""
    home = programs.module_folder("kinds")
    argv = [programs.go(home, os.environ), "mod", "download", "-json", module]
    done = subprocess.run(argv, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [Path(json.loads(done.stdout)["Dir"]) / folder / f"{name}.yaml" for name in names]


def of_prometheus() -> list[Path]:
    """What Prometheus' own operator is told by."""
    names = (f"monitoring.coreos.com_{kind}" for kind in ("podmonitors", "servicemonitors", "prometheusrules"))
    return crds("github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd", *names)


def of_gateways() -> list[Path]:
    """What a Gateway is told by."""
    return crds("sigs.k8s.io/gateway-api", "config/crd/standard", "gateway.networking.k8s.io_httproutes")


def of_keda() -> list[Path]:
    """What KEDA and its HTTP add-on are told by."""
    own = crds("github.com/kedacore/keda/v2", "config/crd/bases", "keda.sh_scaledobjects")
    return own + crds("github.com/kedacore/http-add-on", "config/crd/bases", "http.keda.sh_httpscaledobjects")
