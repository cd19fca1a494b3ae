"""Strokes of a tree, line by line. Knows shapes, nothing of what hangs there."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

N = TypeVar("N")


def rows(node: N, below: Callable[[N], Sequence[N]], before: str = "", stroke: str = "") -> Iterator[tuple[str, N]]:
    """Yield each node with the strokes before it.

    >>> shape = {"a": ["b", "c"], "b": ["d"]}
    >>> print(*(s + n for s, n in rows("a", lambda n: shape.get(n, []))), sep=chr(10))
    a
    ├─ b
    │  └─ d
    └─ c
    """
    yield before + stroke, node
    inner = before + {"": "", "├─ ": "│  ", "└─ ": "   "}[stroke]
    children = below(node)
    for i, child in enumerate(children):
        yield from rows(child, below, inner, "└─ " if i == len(children) - 1 else "├─ ")
