"""The page of an evaluation, made from its record (report.json) and its pictures. Everything is escaped."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from gentrainers.pages.strips import short, strip

CAPTIONS = {
    "samples": "Subject",
    "baseline": "Baseline",
    "real": "Real data",
    "nearest": "Closest to training data",
}
SAYS = {
    "Passed": "Every claim was shown, at the error rate asked for.",
    "Failed": "At least one claim was shown to be false.",
    "Inconclusive": "The data did not decide every claim. Nothing undecided counts as passed.",
}


def evaluation(record: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """Render the page: one HTML file with pictures inside, no script, nothing fetched."""
    return _template().render(
        r=record,
        verdict_says=SAYS[record["verdict"]],
        metrics=[{**m, "strip": strip(m)} for m in _gated_first(record["metrics"])],
        figures=[_figure(name, data) for name, data in pictures.items()],
        excerpts=[(CAPTIONS[who], texts) for who, texts in record["exhibits"].items()],
        second=[m for m in record["metrics"] if m["secondOpinion"]],
    )


def _gated_first(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(metrics, key=lambda m: (not m["primary"], not m["gates"]))


def claim(gate: dict[str, Any]) -> str:
    """Say what a gate claims: "≥ 0.5", "≤ baseline + 1"."""
    sign = "≥" if gate["side"] == "above" else "≤"
    if gate["need"] == "threshold":
        return f"{sign} {gate['limit']:.6g}".replace("-", "−")
    if gate["need"] == "better":
        return "better than baseline"
    return f"{sign} baseline {'−' if gate['limit'] < 0 else '+'} {abs(gate['limit']):.6g}"


def _figure(name: str, data: bytes) -> dict[str, str]:
    stem = name.removesuffix(".png")
    return {"kind": stem, "caption": CAPTIONS[stem], "data": "data:image/png;base64," + base64.b64encode(data).decode()}


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": short, "claim": claim}
    environment.filters["digest"] = lambda text: str(text).removeprefix("sha256:")[:12] if text else "–"
    return environment.get_template("evaluation.html")
