"""Windows of a watch: when they end, and how one was found. Values only; must not know how a window is measured."""

from dataclasses import dataclass
from datetime import datetime

from genops.stages.deployment.spec import Drift


@dataclass(frozen=True)
class Window:
    """One window as it was found."""

    end: int
    drifts: bool | None = None  # None where that is unknown
    value: float | None = None
    limit: float | None = None
    reason: str = ""
    message: str = ""


def ends(watch: Drift, now: datetime, settle: float, more: int = 0) -> list[int]:
    """List when the watch's windows ended, the newest first, and so many more than make a row.

    A window counts `settle` seconds after its end.
    """
    length = watch.window_seconds
    newest = int(now.timestamp() - settle) // length * length
    return [newest - n * length for n in range(watch.consecutive + more)]
