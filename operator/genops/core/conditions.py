"""Conditions as Kubernetes has them: a list by type, whose transition time moves only when the status does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Condition:
    """What a stage says about one side of its object."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""


def timestamp(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(
    wanted: Iterable[Condition], before: Iterable[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Turn wanted conditions into status entries; one whose status is as before keeps its transition time."""
    known = {c.get("type"): c for c in before}
    return [_entry(c, known.get(c.type), generation, now) for c in sorted(wanted, key=lambda c: c.type)]


def _entry(c: Condition, before: Mapping[str, Any] | None, generation: int, now: datetime) -> dict[str, Any]:
    same = before is not None and before.get("status") == c.status
    since = before.get("lastTransitionTime") if same and before else None
    return {
        "type": c.type,
        "status": c.status,
        "reason": str(c.reason),
        "message": c.message,
        "observedGeneration": generation,
        "lastTransitionTime": since or timestamp(now),
    }


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    """Say whether a status holds the condition of that type as True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions", ()))
