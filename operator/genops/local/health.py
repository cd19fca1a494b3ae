"""Questions to a component's own health page, over TLS with the administrator's certificate."""

import ssl
import urllib.request
from collections.abc import Mapping

from genops.local.paths import Paths
from genops.local.state import NODE_PORT, State

PAGES: Mapping[str, str] = {
    "kube-apiserver": "readyz",
    "kube-controller-manager": "healthz",
    "kube-scheduler": "readyz",
    "node": "healthz",
    "etcd": "health",
}


def healthy(name: str, paths: Paths, state: State, timeout: float = 2.0) -> bool:
    """Say whether a component answers that it is well."""
    address = f"{state.node_address}:{NODE_PORT}" if name == "node" else f"127.0.0.1:{state.ports[name]}"
    try:
        request = f"https://{address}/{PAGES[name]}"
        with _opener(name, paths).open(request, timeout=timeout) as reply:
            return bool(reply.status == 200)
    except (OSError, ssl.SSLError):
        return False


def _opener(name: str, paths: Paths) -> urllib.request.OpenerDirector:
    authority, leaf = {"etcd": ("etcd-ca", "etcd-client"), "node": ("ca", "node-client")}.get(name, ("ca", "admin"))
    context = ssl.create_default_context(cafile=str(paths.pki / f"{authority}.crt"))
    context.load_cert_chain(paths.pki / f"{leaf}.crt", paths.pki / f"{leaf}.key")
    # No proxy: these are loopback addresses whatever the environment says.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
