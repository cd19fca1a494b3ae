"""The reference page of the command line, out of its parsers. Knows argparse, nothing of what commands do."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genops.cli.commands import ABOUT, COMMANDS, parser
from genops.cli.reach import EXIT_CODES
from genops.generate.reference import HEADER, cell, table

ROOT = Path(__file__).resolve().parents[3]
PEOPLE = ("why", "tree", "lineage", "logs", "approve", "samples")


def page() -> str:
    """Write the page of all commands."""
    whole = parser(loaded=tuple(COMMANDS))
    parts = [
        f"{HEADER}# Command line\n\n{ABOUT}\n\n`genops COMMAND`, or `kubectl genops COMMAND` where the program "
        "`kubectl-genops` is on the path.",
        table(("Command", "What it does"), [(f"`{name}`", says) for name, (_, says) in COMMANDS.items()]).rstrip("\n"),
        _exit_codes(),
        *_commands(whole, "genops"),
    ]
    return "\n\n".join(parts) + "\n"


def _exit_codes() -> str:
    rows = [(str(code), says) for code, says in EXIT_CODES.items()]
    names = ", ".join(f"`{name}`" for name in PEOPLE)
    return f"## Exit codes\n\nOf {names}.\n\n" + table(("Code", "Meaning"), rows).rstrip("\n")


def _commands(whole: argparse.ArgumentParser, path: str) -> Iterator[str]:
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            says = {choice.dest: choice.help for choice in action._choices_actions}
            for name, sub in action.choices.items():
                yield _command(sub, f"{path} {name}", str(says.get(name) or ""))
                yield from _commands(sub, f"{path} {name}")


def _command(sub: argparse.ArgumentParser, path: str, says: str) -> str:
    about = sub.description or f"{says[:1].upper()}{says[1:]}."
    rows = [(_name(a), _default(a), _meaning(a)) for a in sub._actions if _told(a)]
    head = f"{'#' * (path.count(' ') + 1)} {path}\n\n{' '.join(about.split())}"
    return head + ("\n\n" + table(("Argument", "Default", "Meaning"), rows).rstrip("\n") if rows else "")


def _told(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _name(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return f"`{metavar}`" + (" (optional)" if action.nargs in ("*", "?") else "")
    takes = "" if action.nargs == 0 else f" {metavar}"
    return ", ".join(f"`{option}{takes}`" for option in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    said = cell((action.help or "").replace(" (default: %(default)s)", ""))
    choices = ", ".join(f"`{c}`" for c in action.choices or ())
    return "; ".join(part for part in (said, f"one of {choices}" if choices else "") if part)


def _default(action: argparse.Action) -> str:
    value: Any = action.default
    if isinstance(value, Path):
        value = value.relative_to(ROOT) if value.is_absolute() and value.is_relative_to(ROOT) else value
    if value in (None, "", False, True) or value == [] or action.nargs == 0:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


OUTPUTS: dict[str, Callable[[], str]] = {"docs/reference/cli.md": page}
