"""Write findings down: as the record that report.json holds and the page is made from, and as the contract's report.

Plain values only, finite numbers only. A record of the same inputs is the same, bit for bit, but for measured times.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gencontract.report import MetricReport
from gentrainers.metrics.kit.estimates import Estimate
from gentrainers.metrics.kit.examine import Finding, Opinions
from gentrainers.metrics.kit.gates import Outcome
from gentrainers.metrics.kit.scores import PerSeed

DIGITS = 6  # significant digits in the contract's report, which has to be short


def finding(found: Finding, alpha: float) -> dict[str, Any]:
    """Write one finding down in full."""
    metric, gate = found.asked.metric, found.asked.gate
    return {
        "name": metric.name,
        "says": metric.says,
        "better": metric.better,
        "needs": metric.needs,
        "unit": metric.unit,
        "source": metric.source,
        "options": dict(found.asked.options),
        "primary": gate.primary,
        "passed": found.passed,
        "sentence": found.sentence,
        **_opinions(found.first, alpha),
        "floor": _floor(found, alpha),
        "secondOpinion": _opinions(found.second, alpha) if found.second else None,
        "gates": [_gate(o) for o in found.outcomes],
    }


def estimate(found: Estimate | None, alpha: float) -> dict[str, Any] | None:
    """Write an estimate down with its two-sided interval at level 1 - alpha."""
    if found is None:
        return None
    shown = found.n >= 2
    return {
        "value": _finite(found.value),
        "low": _finite(found.low(alpha / 2)) if shown else None,
        "high": _finite(found.high(alpha / 2)) if shown else None,
        "n": found.n,
        "unit": found.unit,
    }


def _opinions(found: Opinions, alpha: float) -> dict[str, Any]:
    values = found.raw.values.tolist() if isinstance(found.raw, PerSeed) else None
    return {
        "subject": estimate(found.subject, alpha),
        "perSeed": values,
        "baseline": estimate(found.baseline, alpha),
        "difference": estimate(found.ahead, alpha),
    }


def _floor(found: Finding, alpha: float) -> dict[str, Any] | None:
    written = estimate(found.floor, alpha)
    return written and {**written, "rows": found.floor_rows}


def _gate(outcome: Outcome) -> dict[str, Any]:
    return {
        "need": outcome.claim.need,
        "side": ("above" if outcome.claim.above else "below"),
        "limit": outcome.claim.limit,
        "passed": outcome.passed,
        "bound": _finite(outcome.bound),
        "boundError": outcome.tail,
        "needed": outcome.needed,
        "unit": outcome.claim.estimate.unit,
        "sentence": outcome.sentence,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def brief(record: Sequence[dict[str, Any]], found: Sequence[Finding]) -> list[MetricReport]:
    """Shorten findings for the termination message: gated metrics first, so that what is cut is what matters least."""
    both = sorted(zip(record, found, strict=True), key=lambda p: (not p[0]["primary"], not p[0]["gates"]))
    return [_brief(r, f) for r, f in both]


def _brief(written: dict[str, Any], found: Finding) -> MetricReport:
    subject, baseline = written["subject"], written["baseline"]
    return MetricReport(
        name=written["name"],
        value=_short(subject["value"]),
        low=_short(subject["low"]),
        high=_short(subject["high"]),
        samples=found.first.subject.n,
        baseline=_short(baseline["value"]) if baseline else None,
        passed=written["passed"],
        primary=written["primary"],
        message=written["sentence"],
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(np.format_float_scientific(value, precision=DIGITS - 1, unique=True))
