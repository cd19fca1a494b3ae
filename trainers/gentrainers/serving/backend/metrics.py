"""What a served model tells Prometheus through Triton's custom metrics: counts and shapes of distributions, no payload.

Labels are bounded: model, version, a fixed set of outcomes and features, and bins, of which a feature has at most
features.CLASSES + 1. Where the engine carries a reference (the same features of its training data), it is a series of
its own with the same bins, so that a query can compare the two.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import capture
from .features import Feature, Numeric, measure, watched

Array = NDArray[Any]
FLUSH_SECONDS = 1.0
OUTCOMES = ("answered", "wrong", "failed")


class Metrics:
    """The series of one model and version.

    Telling Triton a number is a message to another process, as dear as a small generation. So numbers are added up here
    and told once in FLUSH_SECONDS; a histogram is therefore kept as the counters that it is made of.
    """

    def __init__(self, api: Any, model: str, version: str, spec: Mapping[str, Any]) -> None:
        self._api, self._spec = api, spec
        self._own = {"model": model, "version": version}
        self._families: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._sums: dict[Any, float] = {}  # by series: what was not told yet
        self._requests = {o: self._series("genops_requests_total", "Requests by outcome", outcome=o) for o in OUTCOMES}
        self._samples = self._series("genops_samples_total", "Samples generated")
        self._captured = {
            o: self._series("genops_captured_total", "Samples to record, by outcome", outcome=o)
            for o in capture.OUTCOMES
        }
        known = watched(spec)
        self._observed = {(of, name): self._observable(of, name, feature) for (of, name), feature in known.items()}
        self._reference = [
            gauge for (of, name), feature in known.items() for gauge in self._referred(of, name, feature)
        ]
        self._ended = threading.Event()
        threading.Thread(target=self._tell_on, daemon=True).start()

    def answered(self, samples: Array, given: Mapping[str, Array | None]) -> None:
        """Count a request that was answered, and look at what it asked for and got."""
        found = measure(self._spec, samples, given)
        with self._lock:
            self._add(self._requests["answered"], 1)
            self._add(self._samples, len(samples))
            for key, (rows, values) in found.items():
                self._observe(self._observed[key], rows, values)

    def refused(self, outcome: str) -> None:
        """Count a request that got an error."""
        with self._lock:
            self._add(self._requests[outcome], 1)

    def captured(self, outcome: str, samples: int) -> None:
        """Count samples that were to be recorded."""
        with self._lock:
            self._add(self._captured[outcome], samples)

    def tell(self) -> None:
        """Tell Triton what was added up since the last time."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for series, value in sums.items():
            series.increment(value)

    def close(self) -> None:
        """Tell the rest."""
        self._ended.set()
        self.tell()

    def _tell_on(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            self.tell()

    def _add(self, series: Any, value: float) -> None:
        if value:
            self._sums[series] = self._sums.get(series, 0.0) + value

    def _observe(self, observed: "Observed", rows: int, values: Array) -> None:
        counts = observed.feature.count(values)
        self._add(observed.count, rows)
        for series, n in zip(observed.bins, counts, strict=True):
            self._add(series, float(n))
        if observed.sum is not None:
            self._add(observed.sum, float(values.sum()))
            for series, n in zip(observed.buckets, np.cumsum(counts), strict=True):
                self._add(series, float(n))

    def _series(self, name: str, description: str, kind: str = "COUNTER", **labels: str) -> Any:
        """Make a series. It is gone when nobody holds its family."""
        kinds = self._api.MetricFamily
        if name not in self._families:
            self._families[name] = kinds(name=name, description=description, kind=getattr(kinds, kind))
        return self._families[name].Metric(labels=self._own | labels)

    def _observable(self, of: str, name: str, feature: Feature) -> "Observed":
        own = {"of": of, "feature": name}
        bins = [
            self._series("genops_observed_bin_total", "Values observed, by bin", bin=label, **own)
            for label in feature.bins
        ]
        count = self._series("genops_observed_count", "Samples observed", **own)
        if not isinstance(feature, Numeric):
            return Observed(feature, bins, count)
        about = "Values observed, up to le"
        buckets = [self._series("genops_observed_bucket", about, le=label, **own) for label in feature.bins]
        return Observed(feature, bins, count, buckets, self._series("genops_observed_sum", "Sum of the values", **own))

    def _referred(self, of: str, name: str, feature: Feature) -> list[Any]:
        """Set the gauges of a feature's reference; they live as long as they are held."""
        if not feature.samples:
            return []
        own = {"of": of, "feature": name}
        gauges = [(self._gauge("genops_reference_samples", "Training samples", **own), feature.samples)]
        for label, n in zip(feature.bins, feature.counts, strict=True):
            gauges.append((self._gauge("genops_reference_bin", "Values of the training data", bin=label, **own), n))
        if isinstance(feature, Numeric):
            shares = np.cumsum(feature.counts) / sum(feature.counts)
            about = "Share of the training data up to le"
            for label, share in zip(feature.bins, shares, strict=True):
                gauges.append((self._gauge("genops_reference_bucket", about, le=label, **own), share))
        for gauge, value in gauges:
            gauge.set(float(value))
        return [gauge for gauge, _ in gauges]

    def _gauge(self, name: str, description: str, **labels: str) -> Any:
        return self._series(name, description, "GAUGE", **labels)


@dataclass(frozen=True)
class Observed:
    """The counters of one feature: its bins, and where it is a number the buckets of a histogram besides."""

    feature: Feature
    bins: list[Any]
    count: Any
    buckets: list[Any] | tuple[()] = ()
    sum: Any = None
