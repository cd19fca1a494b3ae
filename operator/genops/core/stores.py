"""Where artifacts are kept: the place an object names, or the operator's store.

A store is pvc://<claim>/<folder> or any URL that fsspec opens. Without a place of its own, an object writes below the
operator's store; a claim of that name is made in its namespace when there is none, and stays when the object goes.
"""

from typing import Any

from gencontract import layout
from genops.core.blocks import Store
from genops.core.digest import short_hash
from genops.core.kinds import CLAIM
from genops.core.model import Config, Manifest, Resource
from genops.core.podspec import claims_of


def place(store: Store | None, config: Config, obj: Resource[Any], inputs: Any) -> str:
    """Return where an object's artifact goes: a folder of its own that no other inputs ever write to."""
    root = (store.location() if store else config.store).rstrip("/")
    return f"{root}/{obj.kind.plural}/{obj.name}-{short_hash([obj.uid, inputs])}"


def records(location: str, deployment: Manifest) -> str:
    """Return where a GenDeployment's records of its traffic go, by its metadata: a folder of its own.

    >>> records("pvc://seen/faces/", {"name": "front", "uid": "1"})
    'pvc://seen/faces/captured/front-43de3a417d'
    """
    return f"{location.rstrip('/')}/captured/{deployment['name']}-{short_hash([deployment['uid']])}"


def shared_claim(store: Store | None, config: Config, obj: Resource[Any]) -> tuple[Manifest, ...]:
    """The operator's claim in the object's namespace, where the object uses it."""
    if store is not None:
        return ()
    return tuple(_claim(name, config, obj.namespace) for name in claims_of(config.store))


def _claim(name: str, config: Config, namespace: str) -> Manifest:
    spec: dict[str, Any] = {
        "accessModes": [config.store_access],
        "resources": {"requests": {"storage": config.store_size}},
    }
    if config.store_class:
        spec["storageClassName"] = config.store_class
    labels = {layout.LABEL_MANAGED_BY: layout.MANAGED_BY, layout.LABEL_ROLE: "store"}
    return {
        "apiVersion": CLAIM.api_version,
        "kind": CLAIM.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }
