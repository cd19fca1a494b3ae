"""The command lines and configuration of etcd, kube-apiserver, kube-controller-manager, kube-scheduler and the node.

Pure apart from `write_config`: it must not know how processes are started or watched.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from genops.local import certs, kubeconfig
from genops.local.certs import Leaf
from genops.local.paths import Paths
from genops.local.programs import Programs
from genops.local.state import State

NODE_NAME = "local"
NODE = "node"
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", NODE)
AUTHORITIES = ("ca", "etcd-ca", "node-ca", "front-proxy-ca")
LOOPBACK = ("127.0.0.1", "localhost")
# Endpoints and EndpointSlices may not hold loopback addresses, which is all that this cluster has: the node looks
# at pods itself. The others need a cloud, several nodes, or attachable disks.
SWITCHED_OFF = (
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "node-ipam-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
)


def leaves(state: State) -> tuple[Leaf, ...]:
    """List the certificates of one cluster."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    return (
        Leaf("admin", "ca", "genops:admin", ("system:masters",)),
        Leaf("kube-apiserver", "ca", "kube-apiserver", hosts=(*LOOPBACK, state.api_service, *service)),
        Leaf("kube-controller-manager", "ca", "system:kube-controller-manager", hosts=LOOPBACK),
        Leaf("kube-scheduler", "ca", "system:kube-scheduler", hosts=LOOPBACK),
        Leaf("node", "ca", f"system:node:{NODE_NAME}", ("system:nodes",), hosts=(state.node_address, NODE_NAME)),
        Leaf("provisioner", "ca", "genops:local-provisioner"),
        Leaf("etcd", "etcd-ca", "etcd", hosts=LOOPBACK),
        Leaf("etcd-client", "etcd-ca", "kube-apiserver"),
        Leaf("node-client", "node-ca", "kube-apiserver"),
        Leaf("front-proxy", "front-proxy-ca", "front-proxy"),
    )


def write_config(paths: Paths, state: State) -> None:
    """Write certificates, kubeconfigs and configuration files; what is there already keeps its keys."""
    certs.ensure(paths.pki, AUTHORITIES, leaves(state))
    for component in ("kube-controller-manager", "kube-scheduler", "node", "provisioner"):
        kubeconfig.write(paths.kubeconfig_of(component), state.server, paths.pki, component)
    kubeconfig.write(paths.kubeconfig, state.server, paths.pki, "admin")
    _write_yaml(paths.conf / "kube-scheduler.yaml", scheduler_config(paths))
    _write_yaml(paths.conf / "audit-policy.yaml", AUDIT_POLICY)


def command(name: str, paths: Paths, state: State, programs: Programs) -> list[str]:
    """Return the command line of one component."""
    if name == NODE:
        return [sys.executable, "-m", "genops.local.node", "--dir", str(paths.root)]
    flags = {
        "etcd": etcd,
        "kube-apiserver": apiserver,
        "kube-controller-manager": controller_manager,
        "kube-scheduler": scheduler,
    }
    return [programs[name], *_rendered(flags[name](paths, state))]


def etcd(paths: Paths, state: State) -> Mapping[str, str]:
    """Flags of etcd: one member, certificates both ways, no fsync, since a crash of the machine may lose it all."""
    client, peer = (f"https://127.0.0.1:{state.ports[name]}" for name in ("etcd", "etcd-peer"))
    return {
        "name": "local",
        "data-dir": str(paths.etcd),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"local={peer}",
        **_etcd_tls("", paths.pki),
        **_etcd_tls("peer-", paths.pki),
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": str(4 << 30),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "10m",
        "log-level": "warn",
    }


def apiserver(paths: Paths, state: State) -> Mapping[str, str]:
    """Flags of kube-apiserver: those of an ordinary cluster, on loopback."""
    pki = paths.pki
    return {
        "etcd-servers": f"https://127.0.0.1:{state.ports['etcd']}",
        "etcd-cafile": f"{pki}/etcd-ca.crt",
        "etcd-certfile": f"{pki}/etcd-client.crt",
        "etcd-keyfile": f"{pki}/etcd-client.key",
        "bind-address": "127.0.0.1",
        "secure-port": str(state.ports["kube-apiserver"]),
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": state.service_network,
        "client-ca-file": f"{pki}/ca.crt",
        **_tls(pki, "kube-apiserver"),
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": f"{pki}/service-accounts.pub",
        "service-account-signing-key-file": f"{pki}/service-accounts.key",
        "requestheader-client-ca-file": f"{pki}/front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": f"{pki}/front-proxy.crt",
        "proxy-client-key-file": f"{pki}/front-proxy.key",
        "authorization-mode": "Node,RBAC",
        # Everything else that a normal cluster has (PodSecurity, ResourceQuota, ...) is on by default.
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",  # as anywhere; it is the node that refuses such pods
        "kubelet-certificate-authority": f"{pki}/ca.crt",
        "kubelet-client-certificate": f"{pki}/node-client.crt",
        "kubelet-client-key": f"{pki}/node-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
        **(_audit(paths) if state.options.audit else {}),
    }


def controller_manager(paths: Paths, state: State) -> Mapping[str, str]:
    """Flags of kube-controller-manager: all controllers but those that cannot work on loopback."""
    config = str(paths.kubeconfig_of("kube-controller-manager"))
    return {
        **_client(config),
        **_serving(paths, state, "kube-controller-manager"),
        "use-service-account-credentials": "true",
        "service-account-private-key-file": f"{paths.pki}/service-accounts.key",
        "root-ca-file": f"{paths.pki}/ca.crt",
        "cluster-signing-cert-file": f"{paths.pki}/ca.crt",
        "cluster-signing-key-file": f"{paths.pki}/ca.key",
        "controllers": ",".join(["*", *(f"-{name}" for name in SWITCHED_OFF)]),
        "leader-elect": "false",
        "kube-api-qps": "200",
        "kube-api-burst": "400",
        "profiling": "false",
    }


def scheduler(paths: Paths, state: State) -> Mapping[str, str]:
    """Flags of kube-scheduler."""
    config = str(paths.kubeconfig_of("kube-scheduler"))
    return {
        "config": str(paths.conf / "kube-scheduler.yaml"),
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        **_serving(paths, state, "kube-scheduler"),
    }


def scheduler_config(paths: Paths) -> dict[str, object]:
    """Return the scheduler's configuration file."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(paths.kubeconfig_of("kube-scheduler")), "qps": 200, "burst": 400},
        "leaderElection": {"leaderElect": False},
    }


AUDIT_POLICY: Mapping[str, object] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


def _audit(paths: Paths) -> dict[str, str]:
    return {
        "audit-log-path": str(paths.audit),
        "audit-policy-file": str(paths.conf / "audit-policy.yaml"),
        "audit-log-maxsize": "0",
    }


def _tls(pki: Path, leaf: str) -> dict[str, str]:
    return {"tls-cert-file": f"{pki}/{leaf}.crt", "tls-private-key-file": f"{pki}/{leaf}.key"}


def _etcd_tls(prefix: str, pki: Path) -> dict[str, str]:
    return {
        f"{prefix}cert-file": f"{pki}/etcd.crt",
        f"{prefix}key-file": f"{pki}/etcd.key",
        f"{prefix}trusted-ca-file": f"{pki}/etcd-ca.crt",
        f"{prefix}client-cert-auth": "true",
    }


def _client(config: str) -> dict[str, str]:
    return {"kubeconfig": config, "authentication-kubeconfig": config, "authorization-kubeconfig": config}


def _serving(paths: Paths, state: State, name: str) -> dict[str, str]:
    return {"bind-address": "127.0.0.1", "secure-port": str(state.ports[name]), **_tls(paths.pki, name)}


def _rendered(flags: Mapping[str, str]) -> Iterable[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _write_yaml(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
