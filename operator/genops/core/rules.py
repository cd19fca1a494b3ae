"""A phase is the first rule that holds. The docs and the state diagram are printed from the same tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

F = TypeVar("F")


@dataclass(frozen=True)
class Rule(Generic[F]):
    """When `when` holds for the facts, the object is in `phase` for `reason`, and `say` tells people so."""

    when: Callable[[F], bool]
    phase: str
    reason: str
    say: str = ""


def always(facts: object) -> bool:
    """Hold for every world; the last rule of a table."""
    return True


def first(rules: Sequence[Rule[F]], facts: F) -> Rule[F]:
    """Find the first rule that holds. Raises LookupError when none does, which a law test excludes."""
    for rule in rules:
        if rule.when(facts):
            return rule
    raise LookupError(f"No rule holds for {facts!r}")
