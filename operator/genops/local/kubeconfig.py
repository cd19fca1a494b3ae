"""Kubeconfig files with everything inside, for one cluster and one user each."""

import base64
from pathlib import Path

import yaml

from genops.local.certs import write_private


def write(path: Path, server: str, pki: Path, leaf: str) -> None:
    """Write a kubeconfig for the certificate `leaf`, readable by its owner only."""
    user = {
        "client-certificate-data": _encoded(pki / f"{leaf}.crt"),
        "client-key-data": _encoded(pki / f"{leaf}.key"),
    }
    cluster = {"server": server, "certificate-authority-data": _encoded(pki / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "genops-local", "cluster": cluster}],
        "users": [{"name": leaf, "user": user}],
        "contexts": [{"name": "genops-local", "context": {"cluster": "genops-local", "user": leaf}}],
        "current-context": "genops-local",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
