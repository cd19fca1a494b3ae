"""Watch a chain of objects until it is served or has failed, and show it live.

Reads through kubectl, as people do, so that the same code works on any cluster. Knows status fields; decides nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

Kubectl = Callable[..., dict[str, Any]]

KINDS = ("gendatasets", "gentrainingjobs", "genevaluations", "gendeployments", "genmodels")
GOOD, BAD = ("Ready", "Succeeded", "Complete", "Serving"), ("Failed", "Blocked", "Halted")


class DemoError(RuntimeError):
    """The demo cannot go on; the message says what happened and where to look."""


@dataclass(frozen=True)
class Row:
    """One object as the table shows it."""

    kind: str
    name: str
    phase: str
    detail: str
    message: str

    @property
    def good(self) -> bool:
        """Say whether the object has come where it should."""
        return self.phase in GOOD

    @property
    def bad(self) -> bool:
        """Say whether the object will not come where it should."""
        return self.phase in BAD


def read(kubectl: Kubectl, names: Sequence[tuple[str, str]]) -> list[Row]:
    """Read the named objects, as (kind, name)."""
    found = {(m["kind"], m["metadata"]["name"]): m for kind in KINDS for m in kubectl("get", kind)["items"]}
    return [row(found.get(key, {"kind": key[0], "metadata": {"name": key[1]}})) for key in names]


def row(manifest: dict[str, Any]) -> Row:
    """Read one object."""
    status = manifest.get("status") or {}
    return Row(
        manifest["kind"],
        manifest["metadata"]["name"],
        str(status.get("phase") or "-"),
        _detail(status),
        _message(status),
    )


def _detail(status: dict[str, Any]) -> str:
    """The one thing worth seeing beside the phase."""
    progress = status.get("progress") or {}
    if "percent" in progress and status.get("phase") not in GOOD:
        loss = next((f", loss {m['value']}" for m in progress.get("metrics", ()) if m["name"] == "loss"), "")
        return f"{progress['percent']} %{loss}" + (
            f", {progress['etaSeconds']} s left" if progress.get("etaSeconds") else ""
        )
    if status.get("verdict"):
        return str(status["verdict"])
    if status.get("samples"):
        return f"{status['samples']} samples"
    chosen = next((e for e in status.get("engines", ()) if e.get("chosen")), None)
    return f"{chosen['target']}, p50 {chosen.get('p50Ms', '?')} ms" if chosen else str(progress.get("stage") or "")


def _message(status: dict[str, Any]) -> str:
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    main: dict[str, Any] = next(
        (conditions[t] for t in ("Failed", "Ready", "Complete") if conditions.get(t, {}).get("message")), {}
    )
    return str(main.get("message") or "")


def table(rows: Sequence[Row], seconds: float) -> Table:
    """Draw the objects."""
    drawn = Table(title=f"{seconds:.0f} s", title_justify="left", expand=True)
    for name, width in (("Object", 26), ("Phase", 12), ("", 30), ("Message", None)):
        drawn.add_column(name, width=width, overflow="ellipsis", no_wrap=True)
    for r in rows:
        colour = "green" if r.good else "red" if r.bad else "yellow"
        drawn.add_row(f"{r.kind} {r.name}", f"[{colour}]{r.phase}[/]", r.detail, r.message)
    return drawn


def follow(kubectl: Kubectl, names: Sequence[tuple[str, str]], timeout: float, console: Console) -> float:
    """Show the objects until all are good; returns the seconds it took. Raises DemoError when one is bad."""
    started = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as live:
        said: dict[str, str] = {}
        while True:
            rows, seconds = read(kubectl, names), time.monotonic() - started
            if console.is_terminal:
                live.update(table(rows, seconds), refresh=True)
            else:
                _say_changes(rows, said, seconds, console)
            if all(r.good for r in rows):
                return seconds
            _give_up(rows, seconds, timeout)
            time.sleep(1)


def _say_changes(rows: Sequence[Row], said: dict[str, str], seconds: float, console: Console) -> None:
    """Without a terminal: one line for each object whose phase or detail changed."""
    for r in rows:
        line = f"{r.kind} {r.name}: {r.phase} {r.detail}".rstrip()
        if said.get(r.kind + r.name) != line:
            said[r.kind + r.name] = line
            console.print(f"{seconds:4.0f} s  {line}", highlight=False, soft_wrap=True)


def _give_up(rows: Sequence[Row], seconds: float, timeout: float) -> None:
    bad = next((r for r in rows if r.bad), None)
    if bad:
        raise DemoError(f"{bad.kind} {bad.name} is {bad.phase}: {bad.message}")
    if seconds > timeout:
        slow = next(r for r in rows if not r.good)
        raise DemoError(f"{slow.kind} {slow.name} is still {slow.phase} after {seconds:.0f} s: {slow.message}")
