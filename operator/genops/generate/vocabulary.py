"""Reference pages of the words: reasons with what helps, phases with their rules, conditions, settings and metrics.

Each page is printed from the table that the operator itself uses. What a server tells Prometheus is read from its
source, since the operator never imports it. It must not know a cluster.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genops.core.reasons import Reason, meanings
from genops.core.remedies import remedy
from genops.generate.reference import HEADER, cell, table
from genops.shell import metrics, settings, statuses
from genops.stages.conditions import CONDITIONS, REFUSED
from genops.stages.dataset.status import RULES as DATASET
from genops.stages.definitions import DEFINITIONS
from genops.stages.deployment.status import RULES as DEPLOYMENT
from genops.stages.evaluation.status import RULES as EVALUATION
from genops.stages.model.status import RULES as MODEL
from genops.stages.training.status import RULES as TRAINING

RULES: Mapping[str, Any] = {
    "GenModel": MODEL,
    "GenDataset": DATASET,
    "GenTrainingJob": TRAINING,
    "GenEvaluation": EVALUATION,
    "GenDeployment": DEPLOYMENT,
}
SERVER = "trainers/gentrainers/serving/backend/metrics.py"


def reasons() -> str:
    """Write the page of reasons."""
    rows = [(f"`{r}`", cell(m), _helps(remedy(r))) for r, m in sorted(meanings().items())]
    about = (
        "Why a condition is as it is, and what a person does about it: `kubectl genops why` says both for an object."
    )
    empty = "Where nothing is to be done, it comes right by itself or is well."
    return f"{HEADER}# Reasons\n\n{about}\n{empty}\n\n" + table(("Reason", "Meaning", "What to do"), rows)


def _helps(text: str) -> str:
    return cell(text[:1].upper() + text[1:])


def phases() -> str:
    """Write the page of phases: the tables of rules that the stages use, in order."""
    about = "A phase is the first rule that holds, from the top. Programs should read conditions, not phases."
    parts = [f"{HEADER}# Phases\n\n{about}\nWords in braces are filled in."]
    for definition in DEFINITIONS:
        rules = RULES.get(definition.kind)
        if rules:
            rows = [(r.phase, _reason(r.reason), cell(r.say)) for r in rules]
            parts.append(f"## {definition.kind}\n\n" + table(("Phase", "Reason", "What is said"), rows).rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def _reason(reason: str) -> str:
    """A rule whose reason is another's own says so in words."""
    return f"`{reason}`" if isinstance(reason, Reason) or reason.isalnum() else reason.strip("()")


def conditions() -> str:
    """Write the page of conditions."""
    about = "`kubectl wait --for=condition=TYPE KIND/NAME` waits for each."
    parts = [f"{HEADER}# Conditions\n\n{about}\nOn every kind, `Ready` is {REFUSED}."]
    for kind, known in CONDITIONS.items():
        rows = [(f"`{name}`", cell(says)) for name, says in known.items()]
        parts.append(f"## {kind.kind}\n\n" + table(("Condition", "True means"), rows).rstrip("\n"))
    return "\n\n".join(parts) + "\n"


def variables() -> str:
    """Write the page of the operator's settings."""
    known = settings.Settings()
    rows = [(f"`{name}`", _default(known, name), cell(says)) for name, says in settings.MEANINGS.items()]
    about = (
        "Environment variables of `genops run`; the chart sets them. One that cannot be used ends it with a message."
    )
    return f"{HEADER}# Settings\n\n{about}\n\n" + table(("Variable", "Default", "Meaning"), rows)


def _default(known: settings.Settings, name: str) -> str:
    field = name.removeprefix("GENOPS_").lower()
    value = getattr(known, field) if hasattr(known, field) else getattr(known.config, field)
    text = f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    return "" if value in (None, "", ()) or field == "identity" else f"`{text}`"


def series() -> str:
    """Write the page of metrics."""
    own = sorted(f for f in _operators())
    told = [(f"`{f.series}`", ", ".join(f.labels), f.about) for f in statuses.FIELDS]
    name, about = statuses.CONDITION
    told.append((f"`{name}`", "kind, namespace, name, type, status, reason", about))
    served = [(f"`{n}`", kind, says) for n, kind, says in _servers()]
    return (
        "\n".join(
            (
                f"{HEADER}# Metrics\n",
                "## The operator\n\nOn `/metrics` of its health port.\n",
                table(("Series", "Kind", "Labels", "Meaning"), own),
                "## Statuses\n\nThere too, out of statuses; what a status does not say has no series.\n",
                table(("Series", "Labels", "Meaning"), told),
                "## Servers\n\nOn port 8002 of each server pod, beside Triton's own, by `model` and `version`.\n",
                table(("Series", "Kind", "Meaning"), served),
                "## Trainers\n\nOther pods have no port: what they tell stands in statuses.",
            )
        )
        + "\n"
    )


def _operators() -> Iterator[tuple[str, str, str, str]]:
    for family in metrics.REGISTRY.collect():
        labels = getattr(_declared(family.name), "_labelnames", ())
        total = "_total" if family.type == "counter" else ""
        yield f"`{family.name}{total}`", family.type, ", ".join(labels), cell(family.documentation)
    yield f"`{metrics.Objects.NAME}`", "gauge", ", ".join(metrics.Objects.LABELS), metrics.Objects.HELP


def _declared(name: str) -> Any:
    """Find a metric by its name among those that the module declares: what is collected has labels only once used."""
    return next((m for m in vars(metrics).values() if getattr(m, "_name", "") == name), None)


def _servers() -> list[tuple[str, str, str]]:
    """Read the series of a server from its source: each is made by one call with a constant name."""
    tree = ast.parse((Path(__file__).resolve().parents[3] / SERVER).read_text(encoding="utf-8"))
    found: dict[str, tuple[str, str]] = {}
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        said = _constants(function)
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
            made = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if made in ("_series", "_gauge") and (name := _text(call.args[0], {})):
                found[name] = ("gauge" if made == "_gauge" else "counter", _text(call.args[1], said))
    return [(name, kind, cell(says)) for name, (kind, says) in sorted(found.items())]


def _constants(function: ast.FunctionDef) -> dict[str, str]:
    """The texts that a function gives names to."""
    assigned = [n for n in ast.walk(function) if isinstance(n, ast.Assign)]
    return {t.id: _text(n.value, {}) for n in assigned for t in n.targets if isinstance(t, ast.Name)}


def _text(node: ast.expr, known: Mapping[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


OUTPUTS: dict[str, Callable[[], str]] = {
    "docs/reference/reasons.md": reasons,
    "docs/reference/phases.md": phases,
    "docs/reference/conditions.md": conditions,
    "docs/reference/settings.md": variables,
    "docs/reference/metrics.md": series,
}
