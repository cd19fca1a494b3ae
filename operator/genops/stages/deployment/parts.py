"""What all children of a GenDeployment have in common: their names, their labels, their head."""

from typing import Any

from gencontract import layout
from genops.core.kinds import Kind
from genops.core.model import Manifest, Resource
from genops.core.names import child_labels, child_name, owner_reference
from genops.stages.deployment.spec import Spec

SERVE = "serve"
PORTS = {
    "http": layout.PORT_HTTP,
    "grpc": layout.PORT_GRPC,
    "metrics": layout.PORT_METRICS,
    "ready": layout.PORT_READY,
}
PUBLIC = ("http", "grpc", "metrics")


def pods_of(obj: Resource[Spec]) -> dict[str, str]:
    """Labels that every server pod of this object has, whichever its version."""
    return {layout.LABEL_OWNER_UID: obj.uid, layout.LABEL_ROLE: SERVE}


def body(obj: Resource[Spec], kind: Kind, name: str) -> dict[str, Any]:
    """Begin a child's manifest."""
    head: Manifest = {
        "name": name,
        "namespace": obj.namespace,
        "labels": child_labels(obj.kind, obj.metadata, SERVE),
        "ownerReferences": [owner_reference(obj.kind, obj.metadata)],
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": head}


def service_name(obj: Resource[Spec], part: str = SERVE) -> str:
    """Name a Service. It starts with a letter, as Services must."""
    name = child_name(obj.name, part)
    return name if name[0].isalpha() else f"s-{name}"
