"""What the statuses of our objects say, as metrics: read from the store when asked, so that none can drift from them.

A table says which field becomes which series. Labels are the object's namespace and name, and a name within its status.
Must not know what a number means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from genops.core.kinds import (
    GEN_DATASET,
    GEN_DEPLOYMENT,
    GEN_EVALUATION,
    GEN_MODEL,
    GEN_TRAINING_JOB,
    OURS,
    Kind,
)
from genops.core.model import Manifest

OBJECT = ("namespace", "name")


@dataclass(frozen=True)
class Field:
    """One field of a kind's status as a series; `each` is a list whose entries are told apart by their name."""

    series: str
    about: str
    kind: Kind
    path: str
    each: str = ""
    label: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels."""
        return (*OBJECT, self.label) if self.label else OBJECT

    def rows(self, status: Manifest) -> Iterator[tuple[tuple[str, ...], float]]:
        """List what a status says: (labels beside the object's, number)."""
        if not self.each:
            yield from _row((), _at(status, self.path))
            return
        for entry in _at(status, self.each) or ():
            yield from _row((str(entry.get("name") or entry.get(self.label)),), _at(entry, self.path))


FIELDS = (
    Field("genops_dataset_samples", "Samples of a dataset", GEN_DATASET, "samples"),
    Field("genops_dataset_bytes", "Bytes of a dataset", GEN_DATASET, "bytes"),
    Field("genops_training_percent", "Share of a run that is done", GEN_TRAINING_JOB, "progress.percent"),
    Field("genops_training_steps", "Steps done", GEN_TRAINING_JOB, "progress.step"),
    Field("genops_training_speed", "Samples per second", GEN_TRAINING_JOB, "progress.samplesPerSecond"),
    Field("genops_training_eta_seconds", "Seconds left", GEN_TRAINING_JOB, "progress.etaSeconds"),
    Field("genops_training_attempts", "Attempts started", GEN_TRAINING_JOB, "attempts"),
    Field("genops_training_metric", "Newest metrics", GEN_TRAINING_JOB, "value", "progress.metrics", "metric"),
    Field("genops_training_cpu_seconds", "Processor seconds used", GEN_TRAINING_JOB, "usage.cpuSeconds"),
    Field("genops_training_gpu_seconds", "GPU seconds used", GEN_TRAINING_JOB, "usage.gpuSeconds"),
    Field("genops_evaluation_score", "Value of the primary metric", GEN_EVALUATION, "score"),
    Field("genops_evaluation_metric", "Metrics measured", GEN_EVALUATION, "value", "metrics", "metric"),
    Field("genops_evaluation_low", "Lower end of the interval", GEN_EVALUATION, "low", "metrics", "metric"),
    Field("genops_evaluation_high", "Upper end of the interval", GEN_EVALUATION, "high", "metrics", "metric"),
    Field("genops_deployment_replicas", "Server pods", GEN_DEPLOYMENT, "replicas"),
    Field("genops_deployment_ready_replicas", "Server pods that answer", GEN_DEPLOYMENT, "readyReplicas"),
    Field("genops_deployment_canary_weight", "Per cent for the new version", GEN_DEPLOYMENT, "canary.weight"),
    Field("genops_engine_p95_ms", "95th percentile of an engine", GEN_DEPLOYMENT, "p95Ms", "engines", "target"),
    Field("genops_drift_value", "Newest statistic of a watch", GEN_DEPLOYMENT, "value", "drift", "watch"),
    Field("genops_drift_limit", "Value above which a watch drifts", GEN_DEPLOYMENT, "threshold", "drift", "watch"),
    Field("genops_model_run", "Number of the run that is served", GEN_MODEL, "current.run"),
    Field("genops_model_cpu_seconds", "Processor seconds within the budget's window", GEN_MODEL, "usage.cpuSeconds"),
    Field("genops_model_gpu_seconds", "GPU seconds within the budget's window", GEN_MODEL, "usage.gpuSeconds"),
)
CONDITION = ("genops_condition", "1 for each condition, by what it says")


class Statuses(Collector):
    """Tells of every status that the store holds."""

    def __init__(self, objects: Callable[[Kind], Iterable[Manifest]]) -> None:
        self._objects = objects

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name the series; nothing is read for it."""
        return [GaugeMetricFamily(f.series, f.about) for f in FIELDS] + [GaugeMetricFamily(*CONDITION)]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read them now."""
        seen = {kind: [(_named(m), m.get("status") or {}) for m in self._objects(kind)] for kind in OURS}
        for field in FIELDS:
            family = GaugeMetricFamily(field.series, field.about, labels=field.labels)
            for named, status in seen[field.kind]:
                for labels, value in field.rows(status):
                    family.add_metric([*named, *labels], value)
            yield family
        conditions = GaugeMetricFamily(*CONDITION, labels=("kind", *OBJECT, "type", "status", "reason"))
        for kind, rows in seen.items():
            for named, status in rows:
                for c in status.get("conditions") or ():
                    said = (str(c.get(key, "")) for key in ("type", "status", "reason"))
                    conditions.add_metric([kind.kind, *named, *said], 1)
        yield conditions


def _named(manifest: Manifest) -> tuple[str, str]:
    meta = manifest["metadata"]
    return str(meta["namespace"]), str(meta["name"])


def _at(node: Any, path: str) -> Any:
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _row(labels: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], float]]:
    """Numbers stand in a status as numbers, or as text with a pattern; what is absent has no series."""
    try:
        yield labels, float(value)
    except (TypeError, ValueError):
        return
