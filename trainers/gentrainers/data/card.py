"""The data card: one page without links for people, made from what the manifest says. Equal data, equal bytes."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from gencontract.report import CheckReport, SplitReport
from gentrainers.data import pictures
from gentrainers.data.checks import Findings

CARE = {
    "personalSensitiveInformation": "Personal data",
    "dataBiases": "Bias",
    "dataLimitations": "Limits",
    "dataUseCases": "Use",
}


def render(
    body: Mapping[str, Any],
    texts: Mapping[str, str],
    findings: Findings,
    checks: Sequence[CheckReport],
    reference: Mapping[str, Any],
    picture: bytes | None,
    quotes: Sequence[str],
) -> str:
    """Render the page."""
    import jinja2  # half a second that only the end of a preparation needs

    source = (files("gentrainers.data") / "card.html.j2").read_text()
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(source)
    splits = [SplitReport(name=n, samples=s["samples"], digest=s["digest"]) for n, s in sorted(body["splits"].items())]
    return template.render(
        title=f"Dataset of {body['format']}: {body['source'].get('name') or body['source']['kind']}",
        description=texts["description"],
        picture=base64.b64encode(picture).decode() if picture else "",
        texts=quotes,
        facts=_facts(body),
        splits=splits,
        counts=_counts(findings),
        checks=checks,
        features=[(name, _feature(f)) for name, f in reference["features"].items()],
        care=[(title, texts[key]) for key, title in CARE.items() if key in texts],
    )


def _facts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    about = {**body["source"], "license": body.get("license") or "not stated"}
    for part in ("image", "tokens", "oracle"):
        about |= {f"{part} {name}": value for name, value in body.get(part, {}).items() if not isinstance(value, dict)}
    return [(name, ", ".join(map(str, v)) if isinstance(v, list) else str(v)) for name, v in sorted(about.items())]


def _counts(findings: Findings) -> list[tuple[str, int]]:
    refused = [(f"left out: {reason}", n) for reason, n in sorted(findings.rejected.items())]
    copies = [("left out: exact duplicates", findings.exact), ("left out: near-duplicates", findings.near)]
    return [("read", findings.read), *refused, *copies, ("kept", findings.kept)]


def _feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    from markupsafe import Markup

    says = f"{len(feature['counts'])} values"
    if feature["kind"] == "numeric" and "mean" in feature:
        says = f"mean {feature['mean']:.4g}, from {feature['min']:.4g} to {feature['max']:.4g}"
    chart = Markup(pictures.bars(feature["counts"]))  # our own numbers, nothing to escape  # nosec B704
    return {"chart": chart, "says": says}
