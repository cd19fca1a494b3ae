"""Which sample goes into which split: a pure function of a stable key and a seed.

A sample's place depends on its own key alone, so that adding data never moves what was there. Near-duplicates are
given one key before they come here.
"""

import hashlib
from collections.abc import Iterable

from gencontract.codes import Code
from gencontract.task import Splits
from gentrainers.errors import JobError

BUCKETS = 10_000
NAMES = ("train", "validation", "test")


def bucket(key: bytes, seed: int = 0) -> int:
    """Hash a key into one of 10,000 buckets.

    >>> bucket(b"a") == bucket(b"a"), 0 <= bucket(b"a", seed=3) < BUCKETS
    (True, True)
    """
    digest = hashlib.sha256(b"genops/split/%d/" % seed + key).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def bounds(splits: Splits) -> list[int]:
    """Turn shares into upper bounds of buckets. Raises JobError(BAD_CONFIG) where they are not shares of one whole."""
    shares = [splits.train, splits.validation, splits.test]
    if any(not 0 <= s <= 1 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise JobError(Code.BAD_CONFIG, f"splits: {shares} must each be within 0 and 1 and add up to 1")
    first, second = round(shares[0] * BUCKETS), round((shares[0] + shares[1]) * BUCKETS)
    return [first, second, BUCKETS]


def place(keys: Iterable[bytes], splits: Splits) -> list[int]:
    """Return the index into NAMES for each key."""
    first, second, _ = bounds(splits)
    found = (bucket(key, splits.seed) for key in keys)
    return [0 if b < first else 1 if b < second else 2 for b in found]
