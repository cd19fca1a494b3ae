"""How many samples are new since the last run began: of a dataset that grows, or of traffic that is recorded. Pure.

Of a GenDataset that is there, the newest samples are those that its status counts beyond what the last run was trained
on. Of captured traffic, Prometheus says how many a deployment has recorded since. What nobody knows starts nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from genops.core import promql
from genops.core.conditions import is_true
from genops.core.kinds import GEN_DATASET
from genops.core.model import Key, Manifest, Resource, Seen
from genops.stages.model.spec import Spec

QUESTION = "newData"


@dataclass(frozen=True)
class News:
    """How many samples are new, or why nobody knows."""

    samples: float | None = None
    why_not: str = ""


def wanted(obj: Resource[Spec]) -> int:
    """Return how many new samples ask for a run; 0 where none do."""
    policy = obj.spec.retrain
    return (policy.min_new_samples or 0) if policy and "NewData" in policy.causes else 0


def asks(obj: Resource[Spec], now: datetime) -> dict[str, str]:
    """Ask Prometheus how many samples were recorded since the last run began."""
    recorder, began = _recorder(obj), _began(obj)
    if not wanted(obj) or not recorder or began is None:
        return {}
    seconds = max(1, int((now - began).total_seconds()))
    return {QUESTION: promql.recorded(obj.namespace, recorder, seconds)}


def read(obj: Resource[Spec], seen: Seen, before: Mapping[int, Manifest]) -> News:
    """Say how many samples are new."""
    if not wanted(obj) or not before:
        return News()
    if _recorder(obj):
        answer = seen.answer(QUESTION)
        return News(answer.value, answer.message)
    ref = obj.spec.dataset.ref
    found = seen.references.get(Key(GEN_DATASET, obj.namespace, ref.name), {}) if ref else {}
    status, trained_on = found.get("status") or {}, before[max(before)].get("samples")
    if not is_true(status, "Ready") or status.get("samples") is None or trained_on is None:
        return News(None, "the dataset does not say how many samples it has")
    return News(float(status["samples"]) - float(trained_on))


def _recorder(obj: Resource[Spec]) -> str:
    """Name the deployment whose records are the data."""
    template = obj.spec.dataset.template
    capture = template.spec.source.capture if template else None
    return capture.deployment_ref.name if capture else ""


def _began(obj: Resource[Spec]) -> datetime | None:
    starts = [r["startedAt"] for r in obj.status.get("runs", ()) if r.get("startedAt")]
    return datetime.fromisoformat(max(starts).replace("Z", "+00:00")) if starts else None
