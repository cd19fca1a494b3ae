"""The downward API: what a pod may ask about itself, by fieldRef and resourceFieldRef. Pure."""

import re

from genops.local.agent.facts import Json, NodeFacts
from genops.local.agent.quantity import in_units_of

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class UnknownField(ValueError):
    """A path that the downward API does not know."""


def field(pod: Json, path: str, address: str, node: NodeFacts) -> str:
    """Return what a fieldRef points at."""
    match = _SUBSCRIPT.match(path)
    if match:
        return str(pod["metadata"].get(match[1], {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _listing(pod["metadata"].get(path.removeprefix("metadata."), {}))
    known = {
        **{f"metadata.{name}": pod["metadata"].get(name, "") for name in ("name", "namespace", "uid")},
        "spec.nodeName": node.name,
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        **dict.fromkeys(("status.hostIP", "status.hostIPs"), node.address),
        **dict.fromkeys(("status.podIP", "status.podIPs"), address),
    }
    if path not in known:
        raise UnknownField(f"fieldPath {path} is not known to the downward API")
    return str(known[path])


def resource(container: Json, ref: Json, node: NodeFacts) -> str:
    """Return what a resourceFieldRef points at; a missing limit is what the node has."""
    where, _, name = ref["resource"].partition(".")
    has = container.get("resources", {})
    whole_node = {"cpu": str(node.cpus), "memory": str(node.memory), "ephemeral-storage": str(node.storage)}
    fallback = whole_node.get(name, "0") if where == "limits" else "0"
    return str(in_units_of(has.get(where, {}).get(name, fallback), ref.get("divisor") or "1"))


def named_resource(pod: Json, ref: Json, node: NodeFacts) -> str:
    """Return what a resourceFieldRef in a volume points at, which names its container."""
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    container = next((c for c in containers if c["name"] == ref.get("containerName")), None)
    if container is None:
        raise UnknownField(f"resourceFieldRef names no container of this pod: {ref.get('containerName')}")
    return resource(container, ref, node)


def _listing(values: dict[str, str]) -> str:
    """Write labels as the kubelet does: one per line, quoted, sorted."""
    return "\n".join(f'{name}="{_escaped(value)}"' for name, value in sorted(values.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
