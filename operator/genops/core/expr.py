"""Rules about a spec, written once: each expression is CEL for the API server and a predicate for Python.

Expressions are total: a field that is absent equals nothing, holds nothing and has no members. So a rule never ends in
a "no such key" of CEL, and both sides agree by construction. A document is what the API server holds: plain dicts,
lists and scalars under their camelCase names, defaults filled in. Knows nothing of pydantic or of any kind.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Scalar = str | int | float | bool
_ITEM = {"self": "x", "oldSelf": "x", "x": "y", "y": "z"}  # the variable of a macro inside that of its parent
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Expr:
    """Something that is true or false of a document."""

    cel: Callable[[str], str]  # the text, given the name of the variable that holds the document
    holds: Callable[[Any], bool]

    def __and__(self, other: "Expr") -> "Expr":
        return all_of(self, other)

    def __or__(self, other: "Expr") -> "Expr":
        return any_of(self, other)

    def __invert__(self) -> "Expr":
        return Expr(lambda root: f"!{self.cel(root)}", lambda doc: not self.holds(doc))


def look(doc: Any, path: str) -> Any:
    """Read a dotted path; None where any part is absent."""
    for part in path.split("."):
        if not isinstance(doc, dict):
            return None
        doc = doc.get(part)
    return doc


def literal(value: Scalar) -> str:
    """Write a scalar as CEL has it.

    >>> literal("it's"), literal(True), literal(0.5)
    ("'it\\\\'s'", 'true', '0.5')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)


def _guard(root: str, path: str) -> str:
    parts = path.split(".")
    return " && ".join(f"has({root}.{'.'.join(parts[: n + 1])})" for n in range(len(parts)))


def _join(sign: str, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "(" + f" {sign} ".join(parts) + ")"


def present(path: str) -> Expr:
    """Hold when the field is there.

    >>> present("prepare.image").cel("self")
    '(has(self.prepare) && has(self.prepare.image))'
    """
    return Expr(lambda root: _join("&&", _guard(root, path).split(" && ")), lambda doc: look(doc, path) is not None)


def absent(path: str) -> Expr:
    """Hold when the field is not there."""
    return ~present(path)


def all_of(*parts: Expr) -> Expr:
    """Hold when each part does."""
    return Expr(lambda root: _join("&&", [p.cel(root) for p in parts]), lambda doc: all(p.holds(doc) for p in parts))


def any_of(*parts: Expr) -> Expr:
    """Hold when some part does."""
    return Expr(lambda root: _join("||", [p.cel(root) for p in parts]), lambda doc: any(p.holds(doc) for p in parts))


def when(condition: Expr, then: Expr) -> Expr:
    """Hold unless the condition does and `then` does not."""
    return any_of(~condition, then)


def exactly_one(*paths: str) -> Expr:
    """Hold when one of the fields is there, and only one.

    >>> exactly_one("a", "b").cel("self")
    '[has(self.a), has(self.b)].exists_one(x, x)'
    """
    fields = [present(p) for p in paths]
    return Expr(
        lambda root: f"[{', '.join(f.cel(root) for f in fields)}].exists_one(x, x)",
        lambda doc: sum(f.holds(doc) for f in fields) == 1,
    )


def at_most_one(*paths: str) -> Expr:
    """Hold when none or one of the fields is there."""
    fields = [present(p) for p in paths]
    return Expr(
        lambda root: f"[{', '.join(f.cel(root) for f in fields)}].filter(x, x).size() <= 1",
        lambda doc: sum(f.holds(doc) for f in fields) <= 1,
    )


def together(*paths: str) -> Expr:
    """Hold when all of the fields are there, or none."""
    fields = [present(p) for p in paths]
    first, rest = fields[0], fields[1:]
    return Expr(
        lambda root: _join("&&", [f"{first.cel(root)} == {f.cel(root)}" for f in rest]),
        lambda doc: len({f.holds(doc) for f in fields}) == 1,
    )


def compare(path: str, sign: str, value: Scalar) -> Expr:
    """Hold when the field is there and compares so."""
    return Expr(
        lambda root: f"({_guard(root, path)} && {root}.{path} {sign} {literal(value)})",
        lambda doc: look(doc, path) is not None and _COMPARE[sign](look(doc, path), value),
    )


def equals(path: str, value: Scalar) -> Expr:
    """Hold when the field is there and is that value."""
    return compare(path, "==", value)


def among(path: str, *values: str) -> Expr:
    """Hold when the field is there and is one of the values."""
    choices = ", ".join(literal(v) for v in values)
    return Expr(
        lambda root: f"({_guard(root, path)} && {root}.{path} in [{choices}])",
        lambda doc: look(doc, path) in values,
    )


def contains(path: str, value: str) -> Expr:
    """Hold when the list, or the keys of the map, have that member."""
    return Expr(
        lambda root: f"({_guard(root, path)} && {literal(value)} in {root}.{path})",
        lambda doc: value in (look(doc, path) or ()),
    )


def matches(path: str, pattern: str) -> Expr:
    """Hold when the text is there and the pattern finds all of it (a pattern of RE2, anchored by its author)."""
    return Expr(
        lambda root: f"({_guard(root, path)} && {root}.{path}.matches({literal(pattern)}))",
        lambda doc: re.search(pattern, str(look(doc, path) or "\0")) is not None,
    )


def ordered(low: str, sign: str, high: str) -> Expr:
    """Hold unless both numbers are there and do not compare so."""
    both = present(low) & present(high)
    return Expr(
        lambda root: f"(!{both.cel(root)} || {root}.{low} {sign} {root}.{high})",
        lambda doc: not both.holds(doc) or _COMPARE[sign](look(doc, low), look(doc, high)),
    )


def same(left: str, right: str) -> Expr:
    """Hold unless both fields are there and differ."""
    return ordered(left, "==", right)


def every(path: str, item: Expr) -> Expr:
    """Hold when each member of the list does; a list that is absent has none."""
    return Expr(
        lambda root: f"(!({_guard(root, path)}) || {root}.{path}.all({_ITEM[root]}, {item.cel(_ITEM[root])}))",
        lambda doc: all(item.holds(m) for m in look(doc, path) or ()),
    )


def some(path: str, item: Expr) -> Expr:
    """Hold when a member of the list does."""
    return Expr(
        lambda root: f"({_guard(root, path)} && {root}.{path}.exists({_ITEM[root]}, {item.cel(_ITEM[root])}))",
        lambda doc: any(item.holds(m) for m in look(doc, path) or ()),
    )


def at_most(path: str, count: int, item: Expr) -> Expr:
    """Hold when at most `count` members of the list do."""
    return Expr(
        lambda root: (
            f"(!({_guard(root, path)}) || "
            f"{root}.{path}.filter({_ITEM[root]}, {item.cel(_ITEM[root])}).size() <= {count})"
        ),
        lambda doc: sum(item.holds(m) for m in look(doc, path) or ()) <= count,
    )


def every_key(path: str, pattern: str) -> Expr:
    """Hold when each key of the map matches the pattern."""
    return Expr(
        lambda root: f"(!({_guard(root, path)}) || {root}.{path}.all(k, k.matches({literal(pattern)})))",
        lambda doc: all(re.search(pattern, k) for k in look(doc, path) or ()),
    )


def no_key(path: str, pattern: str) -> Expr:
    """Hold when no key of the map matches the pattern."""
    return Expr(
        lambda root: f"(!({_guard(root, path)}) || {root}.{path}.all(k, !k.matches({literal(pattern)})))",
        lambda doc: not any(re.search(pattern, k) for k in look(doc, path) or ()),
    )


def rising(path: str, key: str) -> Expr:
    """Hold when the members' numbers rise from each to the next."""

    def text(root: str) -> str:
        numbers = f"{root}.{path}.map(x, x.{key})"
        once = f"{root}.{path}.all(x, {numbers}.filter(n, n == x.{key}).size() == 1)"
        return f"(!({_guard(root, path)}) || ({numbers}.isSorted() && {once}))"

    return Expr(text, lambda doc: all(a[key] < b[key] for a, b in pairwise(look(doc, path) or ())))


def disjoint(path: str, key: str, other: str, other_key: str | None = None) -> Expr:
    """Hold when no member of the list has a name that the other list, or the keys of the other map, has too."""
    theirs = f"y.{other_key}" if other_key else "y"

    def text(root: str) -> str:
        names = f"{root}.{other}.exists(y, {theirs} == x.{key})"
        return f"(!({_guard(root, path)} && {_guard(root, other)}) || !{root}.{path}.exists(x, {names}))"

    def holds(doc: Any) -> bool:
        taken = {m[other_key] if other_key else m for m in look(doc, other) or ()}
        return not any(m[key] in taken for m in look(doc, path) or ())

    return Expr(text, holds)


def adds_up(total: float, tolerance: float, *paths: str) -> Expr:
    """Hold when the numbers add up to the total; all of them must be required or have a default."""

    def text(root: str) -> str:
        value = " + ".join(f"{root}.{p}" for p in paths)
        return f"({value} > {total - tolerance!r} && {value} < {total + tolerance!r})"

    return Expr(text, lambda doc: abs(sum(look(doc, p) or 0 for p in paths) - total) < tolerance)
