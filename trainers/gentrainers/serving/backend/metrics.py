"""What a served model tells Prometheus through Triton's custom metrics: counts and shapes of distributions, no payload.

Labels are bounded: model, version, a fixed set of features and outcomes, and at most LABELS classes. Where the engine
carries a reference (the same features of its training data), it is a series of its own, with the same buckets.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LABELS = 64
FLUSH_SECONDS = 1.0
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
    """The series of one model and version.

    Telling Triton a number is a message to another process, as dear as a small generation. So numbers are added up here
    and told once in FLUSH_SECONDS; a histogram is therefore kept as the counters that it is made of.
    """

    def __init__(self, api: Any, model: str, version: str, spec: Mapping[str, Any]) -> None:
        self._api = api
        self._own = {"model": model, "version": version}
        self._families: list[Any] = []
        self._lock = threading.Lock()
        self._sums: dict[Any, float] = {}  # by series: what was not told yet
        known: Mapping[str, Any] = spec.get("reference") or {}
        requests = self._family("genops_requests_total", "Requests by outcome", "COUNTER")
        self._requests = {o: self._series(requests, outcome=o) for o in OUTCOMES}
        self._samples = self._series(self._family("genops_samples_total", "Samples generated", "COUNTER"))
        self._labels = self._label_series(spec)
        self._features = self._feature_series(known) if spec["sample"]["format"] == "images" else {}
        self._reference = self._reference_series(known, spec.get("shares", [])[:LABELS])
        self._ended = threading.Event()
        threading.Thread(target=self._tell_on, daemon=True).start()

    def answered(self, samples: Array, given: Mapping[str, Array | None]) -> None:
        """Count a request that was answered, and look at what it got."""
        found = features(samples) if self._features else {}
        labels = given.get("label")
        with self._lock:
            self._add(self._requests["answered"], 1)
            self._add(self._samples, len(samples))
            for name, values in found.items():
                self._observe(self._features[name], values)
            for label in [] if labels is None else labels.reshape(-1):
                self._add(self._labels[min(int(label), len(self._labels) - 1)], 1)

    def refused(self, outcome: str) -> None:
        """Count a request that got an error."""
        with self._lock:
            self._add(self._requests[outcome], 1)

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
        self._sums[series] = self._sums.get(series, 0.0) + value

    def _observe(self, histogram: "Histogram", values: Array) -> None:
        self._add(histogram.sum, float(values.sum()))
        self._add(histogram.count, len(values))
        up_to = (values[:, None] <= histogram.bounds).sum(axis=0)
        for series, count in zip(histogram.buckets, [*up_to, len(values)], strict=True):
            if count:
                self._add(series, float(count))

    def _family(self, name: str, description: str, kind: str) -> Any:
        """Make a family; its series are gone when nobody holds it."""
        kinds = self._api.MetricFamily
        self._families.append(kinds(name=name, description=description, kind=getattr(kinds, kind)))
        return self._families[-1]

    def _series(self, family: Any, **labels: str) -> Any:
        return family.Metric(labels=self._own | labels)

    def _feature_series(self, known: Mapping[str, Any]) -> dict[str, "Histogram"]:
        about = "Features of generated samples"
        parts = {part: self._family(f"genops_output_{part}", about, "COUNTER") for part in ("bucket", "sum", "count")}
        out = {}
        for name, usual in BUCKETS.items():
            bounds = known.get(name, {}).get("le", usual)
            names = [*(f"{le:g}" for le in bounds), "+Inf"]
            buckets = [self._series(parts["bucket"], feature=name, le=le) for le in names]
            sum_, count = (self._series(parts[part], feature=name) for part in ("sum", "count"))
            out[name] = Histogram(np.array(bounds, dtype=np.float64), buckets, sum_, count)
        return out

    def _label_series(self, spec: Mapping[str, Any]) -> list[Any]:
        high = max((int(s["high"]) for s in spec["inputs"] if s["draw"] == "label"), default=0)
        names = [str(i) for i in range(min(high, LABELS))] + (["other"] if high > LABELS else [])
        family = self._family("genops_input_label_total", "Samples asked for by class", "COUNTER") if names else None
        return [self._series(family, label=name) for name in names]

    def _reference_series(self, known: Mapping[str, Any], shares: Sequence[float]) -> list[Any]:
        """Set the gauges of the reference; they live as long as they are held."""
        features_ = self._family("genops_reference", "Share of training samples up to le", "GAUGE")
        labels = self._family("genops_reference_label", "Share of training samples by class", "GAUGE")
        gauges = [(self._series(features_, feature=name, le=le), share) for name, le, share in _shares(known)]
        gauges += [(self._series(labels, label=str(n)), share) for n, share in enumerate(shares)]
        for gauge, share in gauges:
            gauge.set(float(share))
        return [gauge for gauge, _ in gauges]


@dataclass(frozen=True)
class Histogram:
    """The counters of one histogram: `buckets` has one more than `bounds`, for all values."""

    bounds: Array
    buckets: list[Any]
    sum: Any
    count: Any


def _shares(known: Mapping[str, Any]) -> list[tuple[str, str, float]]:
    """List (feature, upper bound, share of the reference up to it)."""
    rows = []
    for name, one in sorted(known.items()):
        rows += [(name, f"{le:g}", float(s)) for le, s in zip(one["le"], one["share"], strict=True)]
    return rows
