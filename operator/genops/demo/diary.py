"""A diary of a GenModel: its drift, its canary and its quality over time, and the picture made of it.

Reads objects as people do; decides nothing.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genops.demo.watching import DemoError, Kubectl

EVERY_SECONDS = 1.0
TONES = ("#2f6fb0", "#c2571a", "#4a8f3c")


@dataclass
class Diary:
    """Entries of one model, written by a thread from `with` to its end. Times are seconds since it was opened."""

    kubectl: Kubectl
    model: str
    drift: list[tuple[float, float]] = field(default_factory=list)
    weight: list[tuple[float, float]] = field(default_factory=list)
    quality: list[tuple[float, float, str]] = field(default_factory=list)  # and the run's number
    events: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Diary":
        self._writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._writer.join()

    @property
    def now(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self.began

    def note(self, event: str) -> None:
        """Write down that something happened."""
        self.events.append((self.now, event))

    def _run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            try:
                self._look()
            except DemoError:
                continue  # an object that is not there yet, or a busy server: the next look comes

    def _look(self) -> None:
        status = self.kubectl("get", "gendeployment", self.model).get("status") or {}
        for watch in status.get("drift", ()):
            if "value" in watch:
                self.drift.append((self.now, float(watch["value"])))
        self.weight.append((self.now, float((status.get("canary") or {}).get("weight") or 0)))
        known = {run for _, _, run in self.quality}
        for evaluation in self.kubectl("get", "genevaluation")["items"]:
            run = str(evaluation["metadata"]["labels"].get("genops.dev/run", ""))
            for metric in (evaluation.get("status") or {}).get("metrics", ()):
                if metric["name"] == "fid" and "value" in metric and run not in known:
                    self.quality.append((self.now, float(metric["value"]), run))


def draw(diary: Diary, path: Path, limit: float) -> None:
    """Draw drift, the canary's share and quality over time, with what happened. `limit` is the drift's threshold."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise DemoError("The picture needs matplotlib: pip install 'genops[trainers]'") from None
    figure = Figure(figsize=(10, 6.4), dpi=90, layout="constrained")
    drift, weight, quality = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    _line(drift, diary.drift, TONES[0])
    drift.axhline(limit, color="grey", linestyle="--", linewidth=1)
    drift.set_ylabel("drift (PSI)")
    _line(weight, diary.weight, TONES[1], steps=True)
    weight.set(ylabel="canary, %", ylim=(-4, 104))
    for when, value, run in diary.quality:
        quality.plot([when], [value], "o", color=TONES[2])
        quality.annotate(
            f"run {run}: {value:.2f}", (when, value), xytext=(6, 4), textcoords="offset points", fontsize=8
        )
    quality.set(ylabel="Fréchet distance", xlabel="seconds", ylim=(0, None))
    for number, (when, event) in enumerate(diary.events):
        for axes in (drift, weight, quality):
            axes.axvline(when, color="black", linewidth=0.5, alpha=0.4)
        height = 0.97 - 0.1 * (number % 5)
        drift.annotate(event, (when, height), xycoords=("data", "axes fraction"), xytext=(3, 0),
                       textcoords="offset points", fontsize=8, va="top")  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _line(axes: Any, points: list[tuple[float, float]], tone: str, steps: bool = False) -> None:
    times, values = [p[0] for p in points], [p[1] for p in points]
    axes.plot(times, values, color=tone, drawstyle="steps-post" if steps else "default")
