"""Encode and decode what crosses the boundary, within Kubernetes' limits.

Canonical JSON (sorted keys, no spaces, UTF-8) is the one form that is hashed. Progress travels as marked lines of the
pod's log, the Report as its termination message of at most 4096 bytes.
"""

import json
from typing import Any

from pydantic import ValidationError

from gencontract.layout import TERMINATION_BUDGET
from gencontract.report import Progress, Report
from gencontract.task import TaskFile

PROGRESS_MARK = '{"genops":"progress",'


class WireError(ValueError):
    """The other side sent something that this side cannot read; the message names the field."""


def canonical(value: Any) -> bytes:
    """Encode JSON in the one form that is hashed. NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def encode_task(task: TaskFile) -> str:
    """Encode a task file in one line; fields left at None are not written."""
    return canonical(task.model_dump(mode="json", by_alias=True, exclude_none=True)).decode()


def decode_task(text: str | bytes) -> TaskFile:
    """Decode a task file. Raises WireError that names each wrong field."""
    try:
        return TaskFile.model_validate_json(text)
    except ValidationError as error:
        raise WireError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """Name each wrong field, its value and what is allowed, in one line, sorted.

    >>> from gencontract.task import Near
    >>> try:
    ...     Near(threshold=2)
    ... except ValidationError as e:
    ...     print(explain(e))
    threshold: Input should be less than or equal to 1, got 2
    """
    lines = []
    for e in error.errors(include_url=False):
        where = ".".join(str(p) for p in e["loc"]) or "the document"
        got = "" if e["type"] == "missing" else f", got {_short(e['input'])}"
        lines.append(f"{where}: {e['msg']}{got}")
    return "; ".join(sorted(lines))


def _short(value: Any, limit: int = 80) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def encode_progress(progress: Progress) -> str:
    """Encode a heartbeat as one marked line without its line end."""
    body = progress.model_dump_json(by_alias=True, exclude_none=True)
    return PROGRESS_MARK + body[1:]


def last_progress(log: str) -> Progress | None:
    """Find the newest readable heartbeat in the tail of a pod's log."""
    for line in reversed(log.splitlines()):
        start = line.find(PROGRESS_MARK)
        if start < 0:
            continue
        try:
            return Progress.model_validate_json(line[start:])
        except ValidationError:
            continue
    return None


def encode_report(report: Report, budget: int = TERMINATION_BUDGET) -> str:
    """Encode a report within the budget in bytes: long texts are cut first, then lists are dropped from the end."""
    for text_limit in (1024, 240, 80, 0):
        data = _cut_texts(
            report.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True), text_limit
        )
        data |= {"verb": report.verb, "code": int(report.code)}
        if len(canonical(data)) <= budget:
            return canonical(data).decode()
    for name in ("engines", "metrics", "checks", "splits"):
        while data.get(name) and len(canonical(data)) > budget:
            data[name].pop()
    return canonical(data).decode()


def _cut_texts(value: Any, limit: int) -> Any:
    if isinstance(value, dict):
        return {k: _cut(v, limit) if k in ("message", "reason") else _cut_texts(v, limit) for k, v in value.items()}
    if isinstance(value, list):
        return [_cut_texts(v, limit) for v in value]
    return value


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def decode_report(text: str) -> Report | None:
    """Decode a termination message; None where it is not one of ours (a pod that died before it could speak)."""
    try:
        return Report.model_validate_json(text)
    except ValidationError:
        return None
