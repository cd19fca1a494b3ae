"""Print for people and for programs: colours on a terminal, plain text elsewhere and with NO_COLOR, or JSON.

Knows terminals. It must not know what is told.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

COLOURS = {"good": "green", "bad": "bold red", "waiting": "yellow", "dim": "dim", "name": "bold", "": ""}
Part = tuple[str, str]  # a text, and how it is meant: a key of COLOURS


def console(stderr: bool = False) -> Console:
    """Open the terminal, or what stands in its place; there, no line is broken."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=stderr, highlight=False, emoji=False, color_system=None if plain else "auto")


def line(*parts: Part | str) -> None:
    """Print one line of parts. On a terminal long text is wrapped at words."""
    out = console()
    text = Text()
    for part in parts:
        words, meant = part if isinstance(part, tuple) else (part, "")
        text.append(words, COLOURS[meant])
    out.print(text, soft_wrap=not out.is_terminal)


def spaced(parts: Sequence[Part]) -> list[Part]:
    """Put a space between parts."""
    return [(f"{' ' if i else ''}{text}", meant) for i, (text, meant) in enumerate(parts)]


def as_json(value: Any) -> None:
    """Print for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def verbatim(text: str) -> None:
    """Print a line as it is, at once."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Say on standard error what is wrong."""
    print(text, file=sys.stderr)


def note(text: str) -> None:
    """Say something beside what was asked for, where it does not end up in a file or pipe."""
    console(stderr=True).print(Text(text, "dim"), soft_wrap=True)
