"""Where everything of one local cluster lies. Knows names, does no I/O."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where commands look for the cluster when none is named: GENOPS_LOCAL_DIR, else a folder of the work tree."""
    return Path(environ.get("GENOPS_LOCAL_DIR") or ".genops/local")


@dataclass(frozen=True)
class Paths:
    """The folder of one cluster and the places in it."""

    root: Path

    @classmethod
    def of(cls, directory: str | Path) -> "Paths":
        """Anchor a cluster at a folder, which need not exist."""
        return cls(Path(directory).expanduser().absolute())

    @property
    def lock(self) -> Path:
        """A file beside the folder, so that it outlives `down`."""
        return self.root.with_name(self.root.name + ".lock")

    @property
    def state(self) -> Path:
        """Ports, addresses and options of this cluster."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def conf(self) -> Path:
        """Generated configuration of the components."""
        return self.root / "conf"

    @property
    def run(self) -> Path:
        """Records of the processes that we started."""
        return self.root / "run"

    @property
    def cgroups(self) -> Path:
        """Where the node makes control groups, one folder a line."""
        return self.run / "cgroups"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        """etcd's data."""
        return self.root / "etcd"

    @property
    def pods(self) -> Path:
        """One folder a pod: volumes, logs, scratch."""
        return self.root / "pods"

    @property
    def volumes(self) -> Path:
        """One folder a PersistentVolume."""
        return self.root / "volumes"

    @property
    def audit(self) -> Path:
        """The audit log of writes, where it was asked for."""
        return self.logs / "audit.log"

    @property
    def memory(self) -> Path:
        """Where emptyDir volumes with medium Memory live: a tmpfs of the machine."""
        return Path("/dev/shm") / f"genops-{self.tag}"

    @property
    def tag(self) -> str:
        """A short name for this cluster, stable for its folder."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:10]

    def kubeconfig_of(self, component: str) -> Path:
        """The kubeconfig of one component."""
        return self.conf / f"{component}.kubeconfig"
