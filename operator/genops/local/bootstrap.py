"""Objects that every local cluster has from its start: storage classes and the provisioner's rights."""

from typing import Any

PROVISIONER = "genops.dev/local"
STORAGE_CLASS = "genops-local"
_USER = "genops:local-provisioner"


def objects() -> list[dict[str, Any]]:
    """List the objects in the order to apply them."""
    return [_role(), _binding(), _storage_class("WaitForFirstConsumer"), _storage_class("Immediate")]


def _storage_class(mode: str) -> dict[str, Any]:
    default = mode == "WaitForFirstConsumer"
    name = STORAGE_CLASS if default else f"{STORAGE_CLASS}-{mode.lower()}"
    annotations = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": mode,
    }


def _role() -> dict[str, Any]:
    rules = [
        _rule("", ["persistentvolumes"], ["get", "list", "watch", "create", "delete", "patch"]),
        _rule("", ["persistentvolumeclaims"], ["get", "list", "watch"]),
        _rule("storage.k8s.io", ["storageclasses"], ["get", "list", "watch"]),
        _rule("", ["events"], ["create", "patch"]),
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _USER},
        "rules": rules,
    }


def _binding() -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _USER}],
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
