"""Progress on a terminal or in a log. Knows how to show steps, nothing of what they do."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

Detail = Callable[[str], None]


class Progress(Protocol):
    """Shows steps that take a while."""

    def step(self, title: str) -> AbstractContextManager[Detail]:
        """Show a step until it ends; the yielded function replaces the detail beside it."""

    def say(self, text: str) -> None:
        """Show one line that stays."""


class Quiet:
    """Shows nothing: for tests and for calls from Python."""

    @contextmanager
    def step(self, title: str) -> Iterator[Detail]:
        """Run the step unseen."""
        yield lambda detail: None

    def say(self, text: str) -> None:
        """Say nothing."""


class Plain:
    """One line at the start of a step and one at its end, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def step(self, title: str) -> Iterator[Detail]:
        """Print the step's start, and its end with the seconds it took."""
        self.say(f"{title} ...")
        start = time.monotonic()
        last: list[str] = []
        yield last.append
        self.say(f"{title}: done{_after(last)} in {time.monotonic() - start:.1f} s")

    def say(self, text: str) -> None:
        """Print one line."""
        print(text, file=self._out, flush=True)


class Terminal:
    """A spinner with a changing detail, for people."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Detail]:
        """Spin while the step runs, then leave one line with the seconds it took."""
        start = time.monotonic()
        last: list[str] = []
        with self._console.status(title) as status:

            def show(detail: str) -> None:
                last[:] = [detail]
                status.update(f"{title}: {detail}, {time.monotonic() - start:.0f} s")

            yield show
        self._console.print(f"[green]✓[/] {title}{_after(last)} [dim]{time.monotonic() - start:.1f} s[/]")

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, highlight=False)


def for_stream(out: TextIO = sys.stderr) -> Progress:
    """Choose by whether a person watches."""
    if not out.isatty():
        return Plain(out)
    try:
        return Terminal()
    except ImportError:
        return Plain(out)


def _after(last: list[str]) -> str:
    return f" ({last[-1]})" if last else ""
