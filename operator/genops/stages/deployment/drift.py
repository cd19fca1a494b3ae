"""Decide whether the traffic of the served version has drifted from its training data. Pure: answers in, a finding out.

Windows are of equal length and lie at multiples of it since 1970, so that each is judged once, the same by every look
and after every restart, and nothing is remembered. A window drifts when the distance passes the watch's threshold and
is larger than chance alone makes it with that many samples; a watch drifts when so many windows in a row do. What is
missing, old or too little is unknown, and never "fine".
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import NormalDist

from genops.core import promql
from genops.core.conditions import Condition, timestamp
from genops.core.model import Answer, Manifest, Resource, Seen
from genops.core.promql import View
from genops.core.reasons import Reason
from genops.core.reporting import number
from genops.stages.deployment import embedding, windows
from genops.stages.deployment.embedding import Measuring
from genops.stages.deployment.servers import VERSION_LABEL
from genops.stages.deployment.spec import Drift, Spec
from genops.stages.deployment.windows import Window

SETTLE_SECONDS = 10  # until the last scrape of a window is stored
STALE_SECONDS = 120  # age from which the newest number does not tell of now
AGAIN_SECONDS = 30.0  # until one that is unknown is asked for again
LEAST = 1e-12  # of an alpha that arithmetic can still tell from 0
CHANCE = 0.01  # how often a window without a drift may pass for one, where the watch gives no alpha


@dataclass(frozen=True)
class Finding:
    """How one watch stands: `drifts` is None where that is unknown, for `reason`."""

    watch: Drift
    drifts: bool | None
    reason: str
    message: str
    windows: tuple[Window, ...] = ()  # the newest first
    measuring: Measuring | None = None  # where Jobs measure its windows

    @property
    def in_a_row(self) -> int:
        """How many of the newest windows drift, without a gap."""
        steady = [n for n, w in enumerate(self.windows) if not w.drifts]
        return steady[0] if steady else len(self.windows)


@dataclass(frozen=True)
class Watching:
    """All watches of an object, the Jobs that measure for them, and when to look again."""

    findings: tuple[Finding, ...] = ()
    wake_after: float | None = None

    @property
    def jobs(self) -> tuple[Manifest, ...]:
        """The Jobs that should exist."""
        return tuple(f.measuring.job for f in self.findings if f.measuring and f.measuring.job)


def asks(obj: Resource[Spec], version: str, now: datetime) -> dict[str, str]:
    """Write what is to be asked of Prometheus about the version that answers."""
    return {name: text for watch in obj.spec.drift if version for name, text in _asks(obj, watch, version, now).items()}


def read(obj: Resource[Spec], seen: Seen, version: str, data: str, now: datetime) -> Watching:
    """Judge every watch by what was answered. `data` says what the engine's reference was made of."""
    if not obj.spec.drift:
        return Watching()
    findings = tuple(_finding(obj, watch, seen, version, data, now) for watch in obj.spec.drift)
    return Watching(findings, _wake_after(obj, findings, now) if version and not obj.spec.suspend else None)


def condition(findings: Sequence[Finding]) -> Condition:
    """Say how the worst watch stands: one that drifts, else one that is unknown, else all."""
    drifting = [f for f in findings if f.drifts]
    unknown = [f for f in findings if f.drifts is None]
    worst = drifting or unknown or findings
    text = "; ".join(f"{f.watch.name}: {f.message}" for f in worst)
    return Condition("Drifted", "True" if drifting else "Unknown" if unknown else "False", worst[0].reason, text[:4096])


def status(findings: Iterable[Finding], known: Manifest) -> list[Manifest]:
    """Write each watch as it stands in status. A drift that goes on keeps its beginning; what was measured stays."""
    before = {str(entry.get("name")): entry for entry in known.get("drift") or ()}
    return [_entry(finding, before.get(finding.watch.name, {})) for finding in findings]


def _entry(finding: Finding, before: Manifest) -> Manifest:
    newest = finding.windows[0] if finding.windows else Window(0)
    began = finding.windows[-1].end - finding.watch.window_seconds if finding.drifts else 0
    entry: Manifest = {
        "name": finding.watch.name,
        "value": None if newest.value is None else number(newest.value, 4),
        "threshold": None if newest.limit is None else number(newest.limit, 4),
        "windows": finding.in_a_row,
        "since": (before.get("since") or timestamp(datetime.fromtimestamp(began, UTC))) if finding.drifts else None,
        "message": finding.message,
        **(finding.measuring.recorded if finding.measuring else {n: before.get(n) for n in ("key", "measured")}),
    }
    return {key: value for key, value in entry.items() if value is not None}


# What is asked.


def ends(watch: Drift, now: datetime) -> list[int]:
    """List when the windows ended that Prometheus is asked about, the newest first."""
    return windows.ends(watch, now, SETTLE_SECONDS)


def _asks(obj: Resource[Spec], watch: Drift, version: str, now: datetime) -> dict[str, str]:
    if watch.test not in promql.TESTS:
        return {}
    where = selector(obj, watch, version)
    moments = ends(watch, now)
    newest = View(where, watch.window_seconds, moments[0])
    known = {
        "age": promql.least(promql.age(newest)),
        "reference": promql.least(promql.reference_samples(newest)),
        "bins": promql.worst(promql.reference_bins(newest)),
        "features": f"count({promql.TESTS[watch.test](newest)})",
    }
    for end in moments:
        view = View(where, watch.window_seconds, end)
        known[f"samples@{end}"] = promql.least(promql.samples(view))
        known[f"value@{end}"] = promql.worst(promql.TESTS[watch.test](view))
    return {_question(watch, name): text for name, text in known.items()}


def selector(obj: Resource[Spec], watch: Drift, version: str) -> str:
    """Select the series of one watch: of this object, of the version that answers."""
    side = {"feature": watch.feature or ""} if watch.of == "feature" else {"of": watch.of}
    whose = {"namespace": obj.namespace, "model": obj.name, VERSION_LABEL: version}
    return promql.selector(**whose, **side)


def _question(watch: Drift, name: str) -> str:
    return f"drift/{watch.name}/{name}"


# What is made of the answers.


def _finding(obj: Resource[Spec], watch: Drift, seen: Seen, version: str, data: str, now: datetime) -> Finding:
    if obj.spec.suspend:
        return Finding(watch, None, Reason.SUSPENDED, "Set spec.suspend to false to go on")
    if not version:
        return Finding(watch, None, Reason.NOT_ROUTED, "No server answers, so there is no traffic to watch")
    return _measured(obj, watch, seen, version, now) if watch.test == embedding.TEST else _told(watch, seen, data, now)


def _measured(obj: Resource[Spec], watch: Drift, seen: Seen, version: str, now: datetime) -> Finding:
    """Judge by what Jobs measured of the records."""
    found = embedding.measure(obj, watch, seen, version, now)
    if isinstance(found, tuple):
        return Finding(watch, None, *found)
    if not found.windows:
        return Finding(watch, None, Reason.TOO_FEW_SAMPLES, "No window has ended yet", measuring=found)
    return replace(_judged(watch, found.windows), measuring=found)


def _told(watch: Drift, seen: Seen, data: str, now: datetime) -> Finding:
    """Judge by what Prometheus says."""
    if watch.reference_ref and data != f"GenDataset/{watch.reference_ref.name}":
        carried = f"The engine carries the reference of {data or 'no data'}"
        return Finding(watch, None, Reason.NO_REFERENCE, f"{carried}; set optimize.datasetRef to the data to compare")
    answers = {name: seen.answer(_question(watch, name)) for name in ("age", "reference", "bins", "features")}
    lost = _lost(watch, answers)
    if lost:
        return Finding(watch, None, *lost)
    return _judged(watch, tuple(_window(watch, seen, answers, end) for end in ends(watch, now)))


def _lost(watch: Drift, answers: Mapping[str, Answer]) -> tuple[str, str] | None:
    """Say what is missing of that which all windows need."""
    age, reference = answers["age"], answers["reference"]
    if age.value is None:
        return _nothing(age, f"{age.message}: see whether Prometheus scrapes the server pods, and keeps their labels")
    if age.value > STALE_SECONDS:
        return Reason.STALE, f"The newest number is older than {STALE_SECONDS} s; see whether the servers are scraped"
    if reference.value is None or reference.value <= 0:
        text = "The engine carries no distribution of its training data for it; set optimize.datasetRef"
        return (Reason.NO_REFERENCE, text) if reference.reason in ("", Reason.NO_METRICS) else _nothing(reference)
    if watch.test == "ks" and answers["features"].reason == Reason.NO_METRICS:
        return Reason.NO_REFERENCE, "Test ks compares numbers, and these are classes; use psi or js"
    wrong = next((answers[n] for n in ("bins", "features") if answers[n].value is None), None)
    return _nothing(wrong) if wrong else None


def _nothing(answer: Answer, message: str = "") -> tuple[str, str]:
    return answer.reason, message if message and answer.reason == Reason.NO_METRICS else answer.message


def _window(watch: Drift, seen: Seen, answers: Mapping[str, Answer], end: int) -> Window:
    samples, value = (seen.answer(_question(watch, f"{name}@{end}")) for name in ("samples", "value"))
    at = f"In the window to {timestamp(datetime.fromtimestamp(end, UTC))}"
    if samples.value is None:
        return Window(end, None, reason=samples.reason, message=f"{at}: {samples.message}")
    if samples.value < watch.min_samples:
        text = f"{at} {samples.value:.0f} samples, minSamples is {watch.min_samples}"
        return Window(end, None, reason=Reason.TOO_FEW_SAMPLES, message=text)
    if value.value is None:
        return Window(end, None, reason=value.reason, message=f"{at}: {value.message}")
    known = (answers[name].value or 0.0 for name in ("reference", "bins", "features"))
    limit = limit_of(watch, samples.value, *known)
    text = f"{at} {watch.test} is {value.value:.3g}, the limit is {limit:.3g} with {samples.value:.0f} samples"
    return Window(end, value.value > limit, value.value, limit, message=text)


def _judged(watch: Drift, found: tuple[Window, ...]) -> Finding:
    """Judge by the newest window that tells: one that does not drift, or is unknown, ends the row."""
    first = next((w for w in found if not w.drifts), None)
    if first is None and len(found) == watch.consecutive:
        return Finding(watch, True, Reason.DRIFTED, found[0].message, found)
    if first is None:
        text = f"{found[0].message}; {len(found)} of {watch.consecutive} windows have ended"
        return Finding(watch, None, Reason.TOO_FEW_SAMPLES, text, found)
    if first.drifts is None:
        return Finding(watch, None, first.reason, first.message, found)
    return Finding(watch, False, Reason.NO_DRIFT, found[0].message, found)


def limit_of(watch: Drift, samples: float, reference: float, bins: float, features: float) -> float:
    """Compute the distance above which a window drifts: the threshold, and no less than what chance makes.

    Without a drift, and for large samples, the square of Kolmogorov and Smirnov's statistic times the effective number
    of samples stays below ln(2 / alpha) / 2; psi and 8 ln(2) js times that number are chi-squared with bins - 1 degrees
    of freedom. The largest of several features is judged by Bonferroni's share of alpha.
    """
    alpha = max((watch.alpha or CHANCE) / max(features, 1.0), LEAST)
    effective = samples * reference / (samples + reference)
    if watch.test == "ks":
        chance = math.sqrt(math.log(2 / alpha) / 2 / effective)
    else:
        scale = 1.0 if watch.test == "psi" else 8 * math.log(2)
        chance = chi_squared(1 - alpha, max(bins - 1, 1)) / effective / scale
    return max(watch.threshold or 0.0, chance)


def chi_squared(share: float, freedom: float) -> float:
    """Approximate a quantile of the chi-squared distribution (Wilson and Hilferty 1931).

    >>> round(chi_squared(0.95, 19), 1)
    30.1
    """
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(share) * math.sqrt(part)) ** 3)


def _wake_after(obj: Resource[Spec], findings: Iterable[Finding], now: datetime) -> float | None:
    """Look again when the next window is complete, and sooner where Prometheus did not tell."""
    moment = now.timestamp()
    told = [f for f in findings if f.watch.test in promql.TESTS]
    times = [ends(f.watch, now)[0] + f.watch.window_seconds + SETTLE_SECONDS - moment for f in told]
    times += [AGAIN_SECONDS for f in told if f.drifts is None and not f.windows]
    times += [embedding.wake_after(obj, f.watch, f.measuring, now) for f in findings if f.measuring]
    return max(1.0, min(times)) if times else None
