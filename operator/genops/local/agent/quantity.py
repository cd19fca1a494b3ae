"""Kubernetes quantities as exact numbers: `500m`, `1.5Gi`, `2e3`. Pure."""

import math
import re
from decimal import Decimal

_SUFFIXES = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
}
_FORM = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([KMGTPE]i|[numkMGTPE]|)$")


def parse(text: str | float | int) -> Decimal:
    """Return a quantity as a number. Raises ValueError for what is none."""
    match = _FORM.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    return Decimal(match[1]) * _SUFFIXES[match[2]]


def whole(text: str | float | int) -> int:
    """Return a quantity rounded up, in bytes for memory."""
    return math.ceil(parse(text))


def in_units_of(text: str | float | int, divisor: str | float | int) -> int:
    """Return how many divisors a quantity holds, rounded up, as resourceFieldRef gives it."""
    unit = parse(divisor)
    return math.ceil(parse(text) / (unit or Decimal(1)))
