"""Which licences a dataset may carry: SPDX identifiers against a list of allowed ones. Knows identifiers only."""

import re
from collections.abc import Iterable

from gencontract.codes import Code
from gentrainers.errors import JobError

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def normal(identifier: str) -> str:
    """Compare SPDX identifiers as SPDX says: without regard to case."""
    return identifier.strip().casefold()


def check_list(allowed: Iterable[str]) -> None:
    """Raise JobError(BAD_CONFIG) for an entry that cannot be an SPDX identifier."""
    for entry in allowed:
        if not ID.fullmatch(entry.strip()):
            raise JobError(Code.BAD_CONFIG, f"licenses: {entry!r} is not an SPDX identifier, such as CC-BY-4.0")


def is_allowed(expression: str | None, allowed: Iterable[str]) -> bool:
    """Judge an SPDX expression: every side of AND, and one side of OR, must be allowed. Nothing stated is not allowed.

    >>> is_allowed("MIT OR GPL-3.0-only", ["MIT"]), is_allowed("MIT AND GPL-3.0-only", ["MIT"])
    (True, False)
    """
    known = {normal(a) for a in allowed}
    if not known:
        return True
    if not expression or not expression.strip():
        return False
    options = re.split(r"\s+OR\s+", expression.strip().strip("()"), flags=re.IGNORECASE)
    return any(_all_allowed(option, known) for option in options)


def _all_allowed(option: str, known: set[str]) -> bool:
    parts = re.split(r"\s+AND\s+", option.strip().strip("()"), flags=re.IGNORECASE)
    return all(normal(part.strip("()")) in known for part in parts)
