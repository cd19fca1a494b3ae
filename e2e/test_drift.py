"""Drift as a real Prometheus measures it: the generated PromQL against numpy, and what the operator makes of it."""

import asyncio
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from binned import DISTANCES, binned, counted
from monitoring import Monitor, program, prometheus
from worlds import resource

from genops.core import promql
from genops.core.model import Answer, Seen
from genops.core.promql import View
from genops.core.reasons import Reason
from genops.shell.prometheus import Prometheus
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment import drift
from genops.stages.deployment.drift import Finding

LENGTH = 600  # seconds of a window
WINDOWS = 3
STEP = 15  # seconds between two scrapes
EACH = 1000  # samples in a window
TRAINED = 2000
DATA = "GenDataset/digits"


@dataclass(frozen=True)
class Past:
    """Traffic that was: counts by window, the oldest first, of a number and of classes, and their reference."""

    shifts: tuple[float, ...]
    seed: int = 0

    def numbers(self) -> tuple[list[float], Any, list[Any]]:
        rng = np.random.default_rng(self.seed)
        edges, known = binned(rng.normal(size=TRAINED))
        return edges, known, [counted(edges, rng.normal(shift, 1, EACH)) for shift in self.shifts]

    def classes(self) -> tuple[Any, list[Any]]:
        """Eight classes, one of which was never seen in training, and one that is never asked for."""
        rng = np.random.default_rng(self.seed + 1)
        trained = np.array([0, *[1 / 7] * 7])
        live = [np.array([0.02 + shift / 3, 0, *[(0.98 - shift / 3) / 6] * 6]) for shift in self.shifts]
        return rng.multinomial(TRAINED, trained), [rng.multinomial(EACH, p) for p in live]


def page(past: Past, newest: int, version: str) -> Iterator[str]:
    """Write a past as samples of OpenMetrics: counters that rise evenly within each window, and then stay till now."""
    whose = f'namespace="team",model="front",genops_dev_version="{version}",pod="front-1"'
    times = list(range(newest - len(past.shifts) * LENGTH, int(time.time()) + 1, STEP))
    edges, known, numbers = past.numbers()
    trained, classes = past.classes()
    names = [*(f"{e:.9g}" for e in edges), "+Inf"]
    output, labels = f'{whose},of="output",feature="brightness"', f'{whose},of="input",feature="label"'
    yield from _counters("genops_observed_bin_total", output, "bin", names, numbers, times)
    yield from _counters("genops_observed_bucket", output, "le", names, [np.cumsum(n) for n in numbers], times)
    yield from _counters("genops_observed_bin_total", labels, "bin", [str(n) for n in range(8)], classes, times)
    for own in (output, labels):
        yield from _counters("genops_observed_count", own, "", [""], [np.array([EACH])] * len(numbers), times)
        yield from _gauges("genops_reference_samples", own, "", {"": TRAINED}, times)
    yield from _gauges("genops_reference_bin", output, "bin", dict(zip(names, known, strict=True)), times)
    shares = np.cumsum(known) / known.sum()
    yield from _gauges("genops_reference_bucket", output, "le", dict(zip(names, shares, strict=True)), times)
    yield from _gauges("genops_reference_bin", labels, "bin", {str(n): v for n, v in enumerate(trained)}, times)


def _label(own: str, label: str, value: str) -> str:
    return f'{own},{label}="{value}"' if label else own


def _counters(
    name: str, own: str, label: str, values: list[str], windows: list[Any], times: list[int]
) -> Iterator[str]:
    starts = np.cumsum([np.zeros_like(windows[0]), *windows], axis=0)
    for i, value in enumerate(values):
        rises = np.interp(times, times[0] + np.arange(len(starts)) * LENGTH, 5 + starts[:, i])
        for at, count in zip(times, rises, strict=True):
            yield f"{name}{{{_label(own, label, value)}}} {count} {at}"


def _gauges(name: str, own: str, label: str, values: Mapping[str, Any], times: list[int]) -> Iterator[str]:
    for value, n in values.items():
        for at in times:
            yield f"{name}{{{_label(own, label, value)}}} {n} {at}"


STEADY, SHIFTED, LATE = Past((0, 0, 0)), Past((0, 1 / 3, 1 / 3), 1), Past((0, 0, 1 / 3), 2)
ALWAYS = Past((1 / 3,) * WINDOWS, 3)
VERSIONS = {"steady": STEADY, "shifted": SHIFTED, "late": LATE, "always": ALWAYS}


@dataclass(frozen=True)
class Recorded:
    """A Prometheus with a past."""

    monitor: Monitor
    newest: int  # when the newest window ended

    @property
    def now(self) -> datetime:
        """A moment at which that is the newest window."""
        return datetime.fromtimestamp(self.newest + drift.SETTLE_SECONDS, UTC)

    def answered(self, version: str, **watch: Any) -> tuple[Any, dict[str, Answer]]:
        """Ask what the operator asks, by its own client."""
        obj = watching(**watch)
        questions = drift.asks(obj, version, self.now)

        async def ask() -> dict[str, Answer]:
            oracle = Prometheus(self.monitor.address)
            try:
                return dict(await oracle.ask(questions, datetime.now(UTC)))
            finally:
                await oracle.close()

        return obj, asyncio.run(ask())

    def found(self, version: str, **watch: Any) -> Finding:
        obj, answers = self.answered(version, **watch)
        return drift.read(obj, Seen(answers=answers), version, DATA, self.now).findings[0]


def watching(**watch: Any) -> Any:
    usual = {"name": "watch", "of": "output", "windowSeconds": LENGTH, "consecutive": 2, "minSamples": 500}
    spec = {"model": {"trainingJobRef": {"name": "digits"}}, "drift": [usual | watch]}
    return resource(STAGE, "front", spec)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("recorded")
    newest = int(time.time() - 2 * drift.SETTLE_SECONDS) // LENGTH * LENGTH
    lines = sorted((line for v, past in VERSIONS.items() for line in page(past, newest, v)), key=_family)
    (folder / "past").write_text("".join(f"{line}\n" for line in lines) + "# EOF\n")
    made = subprocess.run(
        [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", folder / "past", folder / "data"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with prometheus(folder) as monitor:
        yield Recorded(monitor, newest)


def _family(line: str) -> str:
    return line.split("{")[0]


def view(recorded: Recorded, version: str, back: int = 0, **labels: str) -> View:
    where = promql.selector(namespace="team", model="front", genops_dev_version=version, **labels)
    return View(where, LENGTH, recorded.newest - back * LENGTH)


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.parametrize("test", ["psi", "js", "ks"])
def test_the_text_computes_what_the_formula_says_of_a_number(recorded: Recorded, version: str, test: str) -> None:
    _, known, windows = VERSIONS[version].numbers()
    for back, counts in enumerate(reversed(windows)):
        text = promql.TESTS[test](view(recorded, version, back, of="output"))
        assert recorded.monitor.value(text) == pytest.approx(DISTANCES[test](counts, known), rel=1e-9)


@pytest.mark.parametrize("version", list(VERSIONS))
@pytest.mark.parametrize("test", ["psi", "js"])
def test_the_text_computes_what_the_formula_says_of_classes(recorded: Recorded, version: str, test: str) -> None:
    """Among them one that was never trained on, and one that is never asked for."""
    known, windows = VERSIONS[version].classes()
    for back, counts in enumerate(reversed(windows)):
        text = promql.TESTS[test](view(recorded, version, back, of="input"))
        assert recorded.monitor.value(text) == pytest.approx(DISTANCES[test](counts, known), rel=1e-9)


def test_samples_bins_and_age_are_told(recorded: Recorded) -> None:
    here = view(recorded, "steady", of="output")
    monitor = recorded.monitor
    assert monitor.value(promql.samples(here)) == pytest.approx(EACH)
    assert monitor.value(promql.reference_samples(here)) == TRAINED
    assert monitor.value(promql.reference_bins(here)) == len(STEADY.numbers()[1])
    assert 0 <= monitor.value(promql.age(here)) < drift.STALE_SECONDS


RULES: dict[str, dict[str, Any]] = {
    "psi": {"test": "psi", "threshold": 0.05},
    "js": {"test": "js", "threshold": 0.01},
    "ks": {"test": "ks", "alpha": 0.01},
}


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize(
    ("version", "drifts", "reason"),
    [
        ("steady", False, Reason.NO_DRIFT),
        ("shifted", True, Reason.DRIFTED),
        ("late", False, Reason.NO_DRIFT),
        ("nobody", None, Reason.NO_METRICS),
    ],
)
def test_the_operator_finds_a_drift_by_what_prometheus_says(
    recorded: Recorded, rule: str, version: str, drifts: bool | None, reason: Reason
) -> None:
    found = recorded.found(version, **RULES[rule])
    assert (found.drifts, found.reason) == (drifts, reason), found.message


@pytest.mark.parametrize(
    ("watch", "reason"),
    [
        ({"consecutive": WINDOWS + 1, **RULES["psi"]}, Reason.NO_METRICS),
        ({"minSamples": EACH * 2, **RULES["psi"]}, Reason.TOO_FEW_SAMPLES),
        ({"of": "prompt", **RULES["psi"]}, Reason.NO_METRICS),
        ({"of": "input", **RULES["ks"]}, Reason.NO_REFERENCE),
    ],
)
def test_what_prometheus_does_not_tell_of_is_unknown(recorded: Recorded, watch: dict[str, Any], reason: Reason) -> None:
    found = recorded.found("always", **watch)
    assert (found.drifts, found.reason) == (None, reason), found.message
