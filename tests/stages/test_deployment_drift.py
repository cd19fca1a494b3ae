"""Drift: what is found in tables of answers, and how often it is right over simulated traffic."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from binned import DISTANCES, binned, counted
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import resource

from genops.core.model import Answer, Seen
from genops.core.reasons import Reason
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment import drift
from genops.stages.deployment.drift import Finding, asks, ends, read

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
WATCH: dict[str, Any] = {"name": "inputs", "of": "input", "test": "psi", "threshold": 0.2}
CAPTURE = {"sampleRate": 1.0, "store": {"uri": "pvc://a/b"}}  # which mmd needs
END = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp())
DATA = "GenDataset/digits"


@dataclass(frozen=True)
class Told:
    """A watch and what Prometheus says of it; by window, the newest first: (value, samples)."""

    watch: dict[str, Any] = field(default_factory=dict)
    windows: tuple[tuple[Any, Any], ...] = ((0.01, 1000), (0.01, 1000))
    age: Any = 10.0
    reference: Any = 5000.0
    bins: Any = 10.0
    features: Any = 1.0

    @property
    def obj(self) -> Any:
        spec = {"model": {"trainingJobRef": {"name": "digits"}}, "drift": [WATCH | self.watch], "capture": CAPTURE}
        return resource(STAGE, "front", spec)

    @property
    def seen(self) -> Seen:
        said = {n: getattr(self, n) for n in ("age", "reference", "bins", "features")}
        length = self.obj.spec.drift[0].window_seconds
        for n, (value, samples) in enumerate(self.windows):
            at = int(NOW.timestamp() - 10) // length * length - n * length
            said |= {f"value@{at}": value, f"samples@{at}": samples}
        answers = {f"drift/inputs/{n}": v if isinstance(v, Answer) else Answer(v) for n, v in said.items()}
        return Seen(answers=answers)

    def found(self, version: str = "v1", now: datetime = NOW) -> Finding:
        return read(self.obj, self.seen, version, DATA, now).findings[0]


def lost(reason: Reason) -> Answer:
    return Answer(None, reason, f"said {reason}")


FAR = (0.9, 1000)
NEAR = (0.01, 1000)


@pytest.mark.parametrize(
    ("told", "drifts", "reason"),
    [
        (Told(), False, Reason.NO_DRIFT),
        (Told(windows=(FAR, FAR)), True, Reason.DRIFTED),
        (Told(windows=(FAR, NEAR)), False, Reason.NO_DRIFT),
        (Told(windows=(NEAR, FAR)), False, Reason.NO_DRIFT),
        (Told({"consecutive": 1}, windows=(FAR,)), True, Reason.DRIFTED),
        (Told({"consecutive": 3}, windows=(FAR, FAR, NEAR)), False, Reason.NO_DRIFT),
        (Told(windows=((0.2, 1000), FAR)), False, Reason.NO_DRIFT),
        (Told({"test": "ks", "threshold": None, "alpha": 0.01}, ((0.5, 1000), (0.5, 1000))), True, Reason.DRIFTED),
        # As far as the threshold says, and no further than chance makes it with so few samples.
        (Told({"minSamples": 10}, windows=((0.9, 20), (0.9, 20))), False, Reason.NO_DRIFT),
        # Too little.
        (Told(windows=((0.9, 99), FAR)), None, Reason.TOO_FEW_SAMPLES),
        (Told(windows=(FAR, (0.9, 0))), None, Reason.TOO_FEW_SAMPLES),
        (Told(windows=(NEAR, (0.9, 0))), False, Reason.NO_DRIFT),
        # Missing, old, or no number.
        (Told(age=lost(Reason.NO_METRICS)), None, Reason.NO_METRICS),
        (Told(age=lost(Reason.PROMETHEUS_UNREACHABLE)), None, Reason.PROMETHEUS_UNREACHABLE),
        (Told(age=121.0), None, Reason.STALE),
        (Told(reference=lost(Reason.NO_METRICS)), None, Reason.NO_REFERENCE),
        (Told(reference=0.0), None, Reason.NO_REFERENCE),
        (Told(reference=lost(Reason.STALE)), None, Reason.STALE),
        (Told(bins=lost(Reason.NOT_A_NUMBER)), None, Reason.NOT_A_NUMBER),
        (Told(features=lost(Reason.QUERY_REFUSED)), None, Reason.QUERY_REFUSED),
        (Told({"test": "ks"}, features=lost(Reason.NO_METRICS)), None, Reason.NO_REFERENCE),
        (Told(windows=((lost(Reason.NOT_A_NUMBER), 1000), FAR)), None, Reason.NOT_A_NUMBER),
        (Told(windows=((0.9, lost(Reason.NO_METRICS)), FAR)), None, Reason.NO_METRICS),
        (Told(windows=(FAR, (lost(Reason.PROMETHEUS_UNREACHABLE), 1000))), None, Reason.PROMETHEUS_UNREACHABLE),
        (Told(windows=(FAR,)), None, Reason.NO_PROMETHEUS),
        # Not to be compared.
        (Told({"referenceRef": {"name": "other"}}), None, Reason.NO_REFERENCE),
        (Told({"referenceRef": {"name": "digits"}}), False, Reason.NO_DRIFT),
        (Told({"test": "mmd"}), None, Reason.NO_REFERENCE),
    ],
)
def test_what_is_found(told: Told, drifts: bool | None, reason: Reason) -> None:
    found = told.found()
    assert (found.drifts, found.reason) == (drifts, reason)
    assert found.message


def test_without_a_version_that_answers_nothing_is_asked_or_known() -> None:
    assert asks(Told().obj, "", NOW) == {}
    assert Told().found(version="").reason == Reason.NOT_ROUTED


def test_a_suspended_object_is_not_watched() -> None:
    spec = {"model": {"trainingJobRef": {"name": "digits"}}, "drift": [WATCH], "suspend": True}
    found = read(resource(STAGE, "front", spec), Told(windows=(FAR, FAR)).seen, "v1", DATA, NOW)
    assert (found.findings[0].drifts, found.findings[0].reason, found.wake_after) == (None, Reason.SUSPENDED, None)


def test_every_question_is_about_the_version_that_answers_and_nobody_else() -> None:
    asked = asks(Told({"of": "feature", "feature": "brightness"}).obj, "v1", NOW)
    whose = '{namespace="team",model="front",genops_dev_version="v1",feature="brightness"}'
    assert len(asked) == 8
    assert all(query.count(whose) == query.count("{") > 0 for query in asked.values())


def test_all_that_is_read_was_asked() -> None:
    for test in ("psi", "js", "ks"):
        told = Told({"test": test, "consecutive": 3}, windows=(FAR, FAR, FAR))
        assert set(asks(told.obj, "v1", NOW)) == set(told.seen.answers)


def test_the_worst_watch_decides_and_the_others_are_not_hidden_by_it() -> None:
    found = [replace(Told(windows=w).found(), watch=Told({"name": n}).obj.spec.drift[0]) for n, w in (
        ("calm", (NEAR, NEAR)), ("few", ((0.9, 1), FAR)), ("far", (FAR, FAR)),
    )]  # fmt: skip
    for findings, status, reason in (
        (found[:1], "False", Reason.NO_DRIFT),
        (found[:2], "Unknown", Reason.TOO_FEW_SAMPLES),
        (found, "True", Reason.DRIFTED),
    ):
        said = drift.condition(findings)
        assert (said.status, said.reason) == (status, reason)
    assert [e.get("since") for e in drift.status(found, {})] == [None, None, "2026-01-01T10:00:00Z"]


def test_a_drift_that_goes_on_keeps_its_beginning_and_one_that_ends_has_none() -> None:
    known = {"drift": [{"name": "inputs", "since": "2026-01-01T03:00:00Z"}]}
    far = drift.status([Told(windows=(FAR, FAR)).found()], known)[0]
    assert (far["since"], far["windows"], far["value"]) == ("2026-01-01T03:00:00Z", 2, "0.9")
    near = drift.status([Told().found()], known)[0]
    assert ("since" in near, near["windows"]) == (False, 0)


def test_looks_within_a_window_see_the_same_and_the_next_look_is_when_it_ends() -> None:
    told = Told(windows=(FAR, FAR))
    for minutes in (1, 29, 59):
        now = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(minutes=minutes)
        assert asks(told.obj, "v1", now) == asks(told.obj, "v1", NOW)
        assert drift.status([told.found(now=now)], {}) == drift.status([told.found()], {})
    assert read(told.obj, told.seen, "v1", DATA, NOW).wake_after == 30 * 60 + 10
    late = Told(age=lost(Reason.PROMETHEUS_UNREACHABLE))
    assert read(late.obj, late.seen, "v1", DATA, NOW).wake_after == 30


def test_a_window_counts_once_its_last_scrape_is_in() -> None:
    watch = Told().obj.spec.drift[0]
    on_the_hour = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert ends(watch, on_the_hour + timedelta(seconds=9)) == [END - 3600, END - 7200]
    assert ends(watch, on_the_hour + timedelta(seconds=10)) == [END, END - 3600]


ANY = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([lost(r) for r in Reason]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["psi", "js", "ks"]), st.lists(st.tuples(ANY, ANY), min_size=2, max_size=2), ANY, ANY, ANY, ANY)
def test_whatever_is_answered_nothing_is_raised_and_no_number_missing_is_ever_fine(
    test: str, windows: list[Any], age: Any, reference: Any, bins: Any, features: Any
) -> None:
    told = Told({"test": test}, tuple(windows), age, reference, bins, features)
    found = told.found()
    numbers = [age, reference, bins, features, *windows[0]]
    if any(isinstance(n, Answer) for n in numbers):
        assert found.drifts is None
    assert drift.condition([found]).status == {True: "True", False: "False", None: "Unknown"}[found.drifts]
    assert drift.status([found], {"drift": None})


# How often it is right. Windows of 1,000 samples, a reference of 2,000, and two windows in a row.

RUNS = 200
RULES: dict[str, dict[str, Any]] = {
    "psi": {"threshold": 0.05},
    "js": {"threshold": 0.01},
    "ks": {"threshold": None, "alpha": 0.05},
}


def simulated(test: str, shift: float, seed: int, consecutive: int = 2, **rule: Any) -> bool | None:
    """Draw a reference and windows of normal numbers, the newest moved by `shift` standard deviations, and judge."""
    rng = np.random.default_rng(seed)
    edges, known = binned(rng.normal(size=2000))
    windows = tuple(
        (DISTANCES[test](counted(edges, rng.normal(shift, 1, 1000)), known), 1000) for _ in range(consecutive)
    )
    watch = {"test": test, "consecutive": consecutive, **(rule or RULES[test])}
    return Told(watch, windows, reference=2000.0, bins=float(len(known))).found().drifts


@pytest.mark.parametrize("test", ["psi", "js", "ks"])
def test_a_shift_of_a_third_of_a_deviation_is_found_within_two_windows(test: str) -> None:
    found = [simulated(test, 1 / 3, seed) for seed in range(RUNS)]
    assert found.count(True) == RUNS


@pytest.mark.parametrize("test", ["psi", "js", "ks"])
def test_without_a_shift_false_alarms_stay_below_alpha(test: str) -> None:
    found = [simulated(test, 0.0, seed) for seed in range(RUNS)]
    assert found.count(True) <= drift.CHANCE * RUNS
    assert found.count(None) == 0


@pytest.mark.parametrize(("test", "alpha"), [("psi", drift.CHANCE), ("js", drift.CHANCE), ("ks", 0.05)])
def test_a_single_window_is_right_as_often_as_it_says_even_where_the_threshold_asks_for_less(
    test: str, alpha: float
) -> None:
    """By chance alone: the threshold is next to nothing."""
    rule = {"threshold": None, "alpha": alpha} if test == "ks" else {"threshold": 1e-9}
    alarms = [simulated(test, 0.0, seed, consecutive=1, **rule) for seed in range(1000)].count(True)
    assert alarms <= alpha * 1000 + 2.6 * (alpha * (1 - alpha) * 1000) ** 0.5
    assert test == "ks" or alarms > 0, "the limit is not so high that nothing passes it"
