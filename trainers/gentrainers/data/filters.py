"""Bounds on what a format measures: a filter is the name of a measured number, or `label`, with what is allowed."""

import difflib
import math
from collections.abc import Iterable, Mapping

from gencontract.codes import Code
from gencontract.task import Filter
from gentrainers.errors import JobError


def check_names(filters: Iterable[Filter], known: Iterable[str]) -> None:
    """Raise JobError(BAD_CONFIG) for a filter on something that this format does not measure, or without a bound."""
    names = [*known, "label"]
    for number, wanted in enumerate(filters):
        where = f"filters.{number}"
        if wanted.name not in names:
            near = difflib.get_close_matches(wanted.name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise JobError(
                Code.BAD_CONFIG, f"{where}.name {wanted.name!r} is not known; known are {', '.join(names)}{hint}"
            )
        _check_bounds(wanted, where)


def _check_bounds(wanted: Filter, where: str) -> None:
    if wanted.name == "label":
        if not wanted.values or wanted.min is not None or wanted.max is not None:
            raise JobError(Code.BAD_CONFIG, f"{where}: the filter label takes values, and neither min nor max")
    elif wanted.values or (wanted.min is None and wanted.max is None):
        raise JobError(Code.BAD_CONFIG, f"{where}: the filter {wanted.name} takes min, max or both, and no values")
    elif wanted.min is not None and wanted.max is not None and wanted.min > wanted.max:
        raise JobError(Code.BAD_CONFIG, f"{where}: min {wanted.min:g} is above max {wanted.max:g}")


def refuses(filters: Iterable[Filter], facts: Mapping[str, float], label: str | None) -> str | None:
    """Return the name of the first filter that a sample does not pass."""
    return next((f.name for f in filters if not _passes(f, facts, label)), None)


def _passes(wanted: Filter, facts: Mapping[str, float], label: str | None) -> bool:
    if wanted.name == "label":
        return label in wanted.values
    value = facts[wanted.name]
    low = -math.inf if wanted.min is None else wanted.min
    high = math.inf if wanted.max is None else wanted.max
    return low <= value <= high  # NaN passes no bound
