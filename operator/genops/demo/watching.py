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

from genops.core.reasons import Reason

Kubectl = Callable[..., dict[str, Any]]

KINDS = ("gendatasets", "gentrainingjobs", "genevaluations", "gendeployments", "genmodels")
GOOD, BAD = ("Ready", "Succeeded", "Complete", "Serving"), ("Failed", "Blocked", "Halted")


UNSEEN, UNSEEN_SECONDS, STUCK_SECONDS = "-", 45.0, 90.0
NEEDS = (
    "A cluster needs an operator that looks after the namespace (docs/howto/install.md), images that its nodes can "
    "pull (pods.trainerImage and pods.serverImage of the chart), and a default storage class or a claim genops-store"
)


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
    reason: str = ""

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
        str(status.get("phase") or UNSEEN),
        _detail(status),
        str(_main(status).get("message") or ""),
        str(_main(status).get("reason") or ""),
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


def _main(status: dict[str, Any]) -> dict[str, Any]:
    """The condition that says where an object is."""
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    return next((conditions[t] for t in ("Failed", "Ready", "Complete") if conditions.get(t, {}).get("message")), {})


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
    started, patience = time.monotonic(), Patience(timeout)
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
            patience.check(rows, seconds)
            time.sleep(1)


def _say_changes(rows: Sequence[Row], said: dict[str, str], seconds: float, console: Console) -> None:
    """Without a terminal: one line for each object whose phase or detail changed."""
    for r in rows:
        line = f"{r.kind} {r.name}: {r.phase} {r.detail}".rstrip()
        if said.get(r.kind + r.name) != line:
            said[r.kind + r.name] = line
            console.print(f"{seconds:4.0f} s  {line}", highlight=False, soft_wrap=True)


class Patience:
    """How long an object may stay where it is. What will not move by itself is given up before the time is over."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._since: dict[tuple[str, str, str], float] = {}  # since when an object stands as it does

    def check(self, rows: Sequence[Row], seconds: float) -> None:
        """Raise DemoError for an object that is bad, is not looked at, cannot start, or takes too long."""
        self._since = {k: self._since.get(k, seconds) for r in rows for k in [(r.kind, r.name, r.phase + r.reason)]}
        for r in rows:
            stood = seconds - self._since[r.kind, r.name, r.phase + r.reason]
            if r.bad:
                raise DemoError(f"{r.kind} {r.name} is {r.phase}: {r.message}")
            if r.phase == UNSEEN and stood > UNSEEN_SECONDS:
                raise DemoError(f"The operator says nothing of {r.kind} {r.name} in {stood:.0f} s. {NEEDS}")
            if r.reason == Reason.POD_NOT_STARTED and stood > STUCK_SECONDS:
                raise DemoError(f"{r.kind} {r.name} cannot start: {r.message}. {NEEDS}")
        if seconds > self._timeout:
            slow = next(r for r in rows if not r.good)
            raise DemoError(f"{slow.kind} {slow.name} is still {slow.phase} after {seconds:.0f} s: {slow.message}")
