"""Names, labels and owner references of children. Names fit a DNS label of 63 characters with room for pod suffixes."""

from collections.abc import Mapping
from typing import Any

from gencontract import layout
from genops.core.digest import short_hash
from genops.core.kinds import Kind

# A pod of an Indexed Job is called <job>-<index>-<5 random>: 52 leaves room for a five-digit index.
NAME_LIMIT = 52
APPLIED = f"{layout.GROUP}/applied"  # annotation of an object that was applied: the hash of what was wanted of it


def child_name(owner: str, role: str, inputs: Any = None, limit: int = NAME_LIMIT) -> str:
    """Name a child after its owner, its role and the hash of its inputs (left out for a child that may change).

    A name that would be too long, or that has dots, which host names and Services may not have, is changed and made
    unique by a hash of the owner's whole name.

    >>> child_name("faces", "prepare", {"a": 1})
    'faces-prepare-015abd7f5c'
    >>> len(child_name("x" * 200, "prepare", {"a": 1}))
    52
    >>> child_name("faces.v2", "train")
    'faces-v2-bfbf58-train'
    """
    tail = f"-{role}" if inputs is None else f"-{role}-{short_hash(inputs)}"
    room = limit - len(tail)
    if len(owner) <= room and "." not in owner:
        return owner + tail
    mark = short_hash(owner, 6)
    return f"{owner[: room - 7].replace('.', '-').rstrip('-')}-{mark}{tail}"


def label_value(text: str) -> str:
    """Make a label value of at most 63 characters out of an object's name."""
    return text if len(text) <= 63 else f"{text[:52].rstrip('-.')}-{short_hash(text)}"


def child_labels(kind: Kind, owner: Mapping[str, Any], role: str) -> dict[str, str]:
    """Label a child so that it is found by its owner, and its owner by it."""
    return {
        layout.LABEL_MANAGED_BY: layout.MANAGED_BY,
        layout.LABEL_OWNER_KIND: kind.kind,
        layout.LABEL_OWNER_NAME: label_value(owner["name"]),
        layout.LABEL_OWNER_UID: owner["uid"],
        layout.LABEL_ROLE: role,
    }


def owner_reference(kind: Kind, owner: Mapping[str, Any]) -> dict[str, Any]:
    """Make the controller reference by which Kubernetes removes a child after its owner."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner["name"],
        "uid": owner["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
