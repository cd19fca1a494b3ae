"""What a served model tells Prometheus through Triton's custom metrics: counts and shapes of distributions, no payload.

Labels are bounded: model, version, a fixed set of features and outcomes, and at most LABELS classes. Where the engine
carries a reference (the same features of its training data), it is a series of its own, with the same buckets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LABELS = 64
OUTCOMES = ("answered", "wrong", "failed")
# Upper bounds of buckets where no reference says better ones.
BUCKETS = {
    "brightness": [12.75 * i for i in range(1, 20)],  # mean of the bytes
    "contrast": [6.375 * i for i in range(1, 20)],  # their standard deviation
    "entropy": [i / 2.5 for i in range(1, 20)],  # bits of their histogram
}


def features(samples: Array) -> dict[str, Array]:
    """Measure pictures [n, height, width, channels] of bytes: each feature is [n]. Other samples have none yet."""
    if samples.dtype != np.uint8:
        return {}
    flat = samples.reshape(len(samples), -1)
    return {
        "brightness": flat.mean(axis=1, dtype=np.float64),
        "contrast": flat.std(axis=1, dtype=np.float64),
        "entropy": np.array([_entropy(row) for row in flat]),
    }


def _entropy(row: Array) -> float:
    counts = np.bincount(row, minlength=256)
    shares = counts[counts > 0] / row.size
    return abs(float(-(shares * np.log2(shares)).sum()))


class Metrics:
    """The series of one model and version."""

    def __init__(self, api: Any, model: str, version: str, spec: Mapping[str, Any]) -> None:
        self._api = api
        self._own = {"model": model, "version": version}
        family = api.MetricFamily
        self._families = {
            "requests": self._family("genops_requests_total", "Requests by outcome", family.COUNTER),
            "samples": self._family("genops_samples_total", "Samples generated", family.COUNTER),
            "labels": self._family("genops_input_label_total", "Samples asked for by class", family.COUNTER),
            "features": self._family("genops_output", "Features of generated samples", family.HISTOGRAM),
            "reference": self._family("genops_reference", "Share of training samples up to le", family.GAUGE),
            "shares": self._family("genops_reference_label", "Share of training samples by class", family.GAUGE),
        }
        known: Mapping[str, Any] = spec.get("reference") or {}
        self._requests = {o: self._metric("requests", outcome=o) for o in OUTCOMES}
        self._samples = self._metric("samples")
        self._features = self._feature_series(known, spec["sample"]["format"])
        self._labels = self._label_series(spec)
        self._reference = [self._gauge("reference", share, feature=name, le=le) for name, le, share in _shares(known)]
        shares = enumerate(spec.get("shares", [])[:LABELS])
        self._reference += [self._gauge("shares", share, label=str(n)) for n, share in shares]

    def answered(self, samples: Array, given: Mapping[str, Array | None]) -> None:
        """Count a request that was answered, and look at what it got."""
        self._requests["answered"].increment(1)
        self._samples.increment(len(samples))
        for name, values in features(samples).items():
            for value in values:
                self._features[name].observe(float(value))
        labels = given.get("label")
        for label in [] if labels is None else labels.reshape(-1):
            self._labels[min(int(label), len(self._labels) - 1)].increment(1)

    def refused(self, outcome: str) -> None:
        """Count a request that got an error."""
        self._requests[outcome].increment(1)

    def _family(self, name: str, description: str, kind: int) -> Any:
        return self._api.MetricFamily(name=name, description=description, kind=kind)

    def _metric(self, family: str, **labels: str) -> Any:
        return self._families[family].Metric(labels=self._own | labels)

    def _histogram(self, feature: str, buckets: Sequence[float]) -> Any:
        return self._families["features"].Metric(labels=self._own | {"feature": feature}, buckets=list(buckets))

    def _feature_series(self, known: Mapping[str, Any], kind: str) -> dict[str, Any]:
        bounds = {name: known.get(name, {}).get("le", le) for name, le in BUCKETS.items()}
        return {name: self._histogram(name, le) for name, le in bounds.items() if kind == "images"}

    def _label_series(self, spec: Mapping[str, Any]) -> list[Any]:
        high = max((int(s["high"]) for s in spec["inputs"] if s["draw"] == "label"), default=0)
        names = [str(i) for i in range(min(high, LABELS))] + (["other"] if high > LABELS else [])
        return [self._metric("labels", label=name) for name in names]

    def _gauge(self, family: str, value: float, **labels: str) -> Any:
        metric = self._metric(family, **labels)
        metric.set(float(value))
        return metric


def _shares(known: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """List (feature, upper bound, share of the reference up to it)."""
    rows = []
    for name, one in sorted(known.items()):
        rows += [(name, f"{le:g}", float(s)) for le, s in zip(one["le"], one["share"], strict=True)]
    return rows
