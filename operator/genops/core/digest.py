"""Stable hashes of inputs: is this child for this spec?"""

import hashlib
from typing import Any

from gencontract.wire import canonical


def short_hash(value: Any, length: int = 10) -> str:
    """Hash JSON-like data to `length` hex digits, the same for the same data on every machine.

    >>> short_hash({"b": 1, "a": 2}) == short_hash({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(canonical(value)).hexdigest()[:length]
