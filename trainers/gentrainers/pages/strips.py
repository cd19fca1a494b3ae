"""Strips: one metric as a small drawing, its interval, floor, baseline and limit on one axis. A record in, SVG out.

Places are computed here, drawn in the template: nothing here writes markup.
"""

from collections.abc import Iterator
from typing import Any

WIDTH, PAD = 260, 12


def strip(metric: dict[str, Any]) -> dict[str, Any]:
    """Place all that is known of a metric on an axis of WIDTH pixels. Differences to a baseline have no limit here."""
    limits = [g for g in metric["gates"] if g["need"] == "threshold"]
    known = [v for v in _values(metric, limits) if v is not None]
    low, high = min(known), max(known)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    scale = _Scale(low - margin, high + margin)
    subject = metric["subject"]
    return {
        "width": WIDTH,
        "low": scale.at(subject["low"]),
        "high": scale.at(subject["high"]),
        "value": scale.at(subject["value"]),
        "seeds": [scale.at(v) for v in metric["perSeed"] or []],
        "floor": scale.at(metric["floor"] and metric["floor"]["value"]),
        "baseline": scale.at(metric["baseline"] and metric["baseline"]["value"]),
        "limits": [{"x": scale.at(g["limit"]), "above": g["side"] == "above"} for g in limits],
        "from": low,
        "to": high,
        "label": _label(metric, limits),
    }


class _Scale:
    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def at(self, value: float | None) -> float | None:
        """Return the pixel of a value, None where there is none."""
        if value is None:
            return None
        return round(PAD + (WIDTH - 2 * PAD) * (value - self.low) / (self.high - self.low), 1)


def _values(metric: dict[str, Any], limits: list[dict[str, Any]]) -> Iterator[float | None]:
    yield from (metric["subject"][k] for k in ("value", "low", "high"))
    yield from metric["perSeed"] or []
    yield from (metric[k]["value"] for k in ("floor", "baseline") if metric[k])
    yield from (g["limit"] for g in limits)


def _label(metric: dict[str, Any], limits: list[dict[str, Any]]) -> str:
    """Say in words what the drawing shows, for those who cannot see it."""
    subject = metric["subject"]
    parts = [f"{metric['name']} {short(subject['value'])}"]
    if subject["low"] is not None and subject["high"] is not None:
        parts.append(f"interval {short(subject['low'])} to {short(subject['high'])}")
    parts += [f"{k} {short(metric[k]['value'])}" for k in ("floor", "baseline") if metric[k]]
    parts += [f"must be {g['side']} {short(g['limit'])}" for g in limits]
    return ", ".join(parts)


def short(value: float | None) -> str:
    """Write a number with four digits that count.

    >>> short(0.000123456), short(1234567.0), short(None), short(2.0), short(-0.5)
    ('0.0001235', '1,234,567', '–', '2.000', '−0.5000')
    """
    if value is None:
        return "–"
    if value != 0 and (abs(value) < 1e-4 or abs(value) >= 1e9):
        text = f"{value:.3e}"
    elif abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:#.4g}".rstrip(".")
    return text.replace("-", "−")
