"""Does an object already hold everything that is wanted of it? Then nothing need be written."""

import copy
from typing import Any

from genops.core.digest import short_hash
from genops.core.model import Manifest
from genops.core.names import APPLIED


def contains(actual: Any, wanted: Any) -> bool:
    """Say whether `actual` has every field of `wanted` with the same value; what others added does not count.

    Lists must have the same length and hold their items in the same order, since Kubernetes keeps it.

    >>> contains({"a": 1, "b": [{"x": 1, "y": 2}]}, {"b": [{"x": 1}]})
    True
    >>> contains({"b": [1, 2]}, {"b": [1]})
    False
    """
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(k in actual and contains(actual[k], v) for k, v in wanted.items())
    if isinstance(wanted, list):
        same_size = isinstance(actual, list) and len(actual) == len(wanted)
        return same_size and all(contains(a, w) for a, w in zip(actual, wanted, strict=True))
    return bool(actual == wanted)


def marked(body: Manifest) -> Manifest:
    """Note on an object what is wanted of it, as a hash, so that a field that is wanted no more is seen as well.

    One that is left as it stands in the cluster, or carries its note over, is not noted anew.
    """
    meta = body["metadata"]
    if "resourceVersion" in meta or APPLIED in (meta.get("annotations") or {}):
        return body
    made = copy.deepcopy(body)
    made["metadata"].setdefault("annotations", {})[APPLIED] = short_hash(body)
    return made
