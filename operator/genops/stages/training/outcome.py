"""What came of the runs: one run, or all trials of a search, read into one outcome. Pure, and without phases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gencontract.codes import Code
from gencontract.report import Report, Usage
from genops.core.conditions import is_true
from genops.core.jobs import Failure, age
from genops.core.model import Manifest, Resource
from genops.core.reasons import Reason
from genops.core.reporting import artifact_status, checkpoint_status, number, progress_status, usage_status
from genops.stages.training.runs import Run
from genops.stages.training.search import Dial, Tried, best, count
from genops.stages.training.spec import Search, Spec

# A status is written for progress at most this often, in seconds.
PACE_SECONDS = 5
# A search whose first trials all fail is given up.
HOPELESS = 3
KEPT = (
    "attempts",
    "startTime",
    "completionTime",
    "progress",
    "metrics",
    "checkpoint",
    "output",
    "search",
    "usage",
)
ENDS = ("Succeeded", "Failed")
NO_REPORT = "The pod ended well and left no report; its image must answer as gencontract asks"


@dataclass(frozen=True)
class Outcome:
    """How far it is, as the status says it, and whether that is the end."""

    status: Manifest = field(default_factory=dict)
    succeeded: bool = False
    failed: bool = False
    failure: Failure | None = None  # the last one; it stays after the run has recovered
    tried: tuple[Tried, ...] = ()  # trials that have ended
    told: str = ""  # how far a search is, for people


def settled(obj: Resource[Spec]) -> frozenset[int]:
    """Number the runs whose outcome stands in the status: their Jobs and pods tell nothing new."""
    trials = (obj.status.get("search") or {}).get("trials", ())
    return frozenset(t["number"] for t in trials if t.get("phase") in ENDS)


def conclude(obj: Resource[Spec], runs: Sequence[Run], recorded: bool, now: str) -> Outcome:
    """Read what came of the runs. A pod that ended because its run was suspended is no failure."""
    kept, before = {k: obj.status[k] for k in KEPT if k in obj.status}, Failure.read(obj.status.get("lastFailure"))
    if recorded:
        ended = is_true(obj.status, "Complete")
        return Outcome(kept, succeeded=ended, failed=not ended, failure=before)
    outcome = _come(obj, kept, before, runs, now)
    stopped = obj.spec.suspend and outcome.failure is not None and outcome.failure.exit_code == Code.PREEMPTED
    return replace(outcome, failure=before) if stopped and not outcome.failed else outcome


def _come(obj: Resource[Spec], kept: Manifest, before: Failure | None, runs: Sequence[Run], now: str) -> Outcome:
    if obj.spec.search:
        return _of_search(obj.spec.search, kept, before, runs, now)
    return _of_run(kept, before, runs[0], now) if runs else Outcome(kept, failure=before)


# --- one run ---------------------------------------------------------------------------------------------------------


def _of_run(kept: Manifest, before: Failure | None, run: Run, now: str) -> Outcome:
    failure = _failure(run) or before
    status = {**kept, **_common(kept, run)}
    if not run.ended:
        return Outcome({**status, **_under_way(kept, run)}, failure=failure)
    status |= {"completionTime": run.ended_at or now, "usage": usage_status(run.usage)}
    if run.delivered:
        return Outcome({**status, **_delivery(run)}, succeeded=True, failure=failure)
    return Outcome({**status, **_under_way(kept, run)}, failed=True, failure=failure)


def _common(kept: Manifest, run: Run) -> Manifest:
    started = kept.get("startTime") or run.started_at
    attempts = max(kept.get("attempts", 0), run.attempts)
    return {"attempts": attempts, **({"startTime": started} if started else {})}


def _under_way(kept: Manifest, run: Run) -> Manifest:
    """How far it is. What was said less than PACE_SECONDS ago is not said anew."""
    progress = progress_status(run.job.progress)
    if progress is None or not _due(kept.get("progress"), progress):
        progress = kept.get("progress")
    saved = kept.get("checkpoint")
    if progress != kept.get("progress") or run.job.progress is None:
        saved = checkpoint_status(run.checkpoint) or saved
    return {k: v for k, v in (("progress", progress), ("checkpoint", saved)) if v}


def moment(text: str) -> datetime:
    """Read a moment of RFC 3339."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _due(before: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    if not before or "updatedAt" not in before or "updatedAt" not in new:
        return True
    return age(before["updatedAt"], moment(new["updatedAt"])) >= PACE_SECONDS


def _delivery(run: Run) -> Manifest:
    """What a run that ended with a model leaves."""
    said = run.job.report
    assert said is not None
    metrics = [{"name": m.name, "value": number(m.value)} for m in said.metrics if m.value is not None]
    delivery = {
        "output": artifact_status(said.artifact),
        "checkpoint": checkpoint_status(said.checkpoint),
        "metrics": metrics,
        "progress": _end(said, metrics),
    }
    return {k: v for k, v in delivery.items() if v}


def _end(said: Report, metrics: list[Manifest]) -> Manifest:
    steps = {"step": said.step, "totalSteps": said.step} if said.step else {}
    return {"stage": "trained", "percent": 100, **steps, "etaSeconds": 0, **({"metrics": metrics} if metrics else {})}


def _failure(run: Run) -> Failure | None:
    """What went wrong last with a run, if anything did."""
    if run.job.succeeded and not run.report_lost and not run.delivered:
        return Failure(Reason.NO_REPORT, NO_REPORT, time=run.ended_at)
    return run.job.failure


# --- all trials of a search ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trial:
    """One trial as the status keeps it, with its run where it has ended just now or not yet."""

    number: int
    parameters: Mapping[str, Dial]
    phase: str
    value: float | None = None
    run: Run | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    @property
    def tried(self) -> Tried:
        return Tried(self.number, self.parameters, self.value)

    def status(self) -> Manifest:
        value = {} if self.value is None else {"value": number(self.value)}
        return {"number": self.number, "phase": self.phase, "parameters": dict(self.parameters), **value}


def _of_search(spec: Search, kept: Manifest, before: Failure | None, runs: Sequence[Run], now: str) -> Outcome:
    known = {t.number: t for t in map(_recorded_trial, kept.get("search", {}).get("trials", ()))}
    trials = known | {r.number: _trial(spec, r) for r in runs if not (r.number in known and known[r.number].ended)}
    ended = [t for t in trials.values() if t.ended]
    fresh = [t for t in ended if t.run]
    tried = tuple(t.tried for t in sorted(ended, key=lambda t: t.number))
    winner = best(spec, tried)
    over = len(ended) == count(spec) or (winner is None and len(ended) >= HOPELESS)
    failure = _search_failure(spec, fresh, trials.values()) or before
    status = _search_status(spec, kept, trials, winner)
    if over:
        status["completionTime"] = max((t.run.ended_at for t in fresh if t.run), default="") or now
    if over and winner is None:
        failure = failure or Failure(Reason.NO_TRIAL, "No trial ended with a model")
    return Outcome(
        status, over and winner is not None, over and winner is None, failure, tried, _told(spec, ended, winner)
    )


def _recorded_trial(said: Mapping[str, Any]) -> _Trial:
    value = float(said["value"]) if "value" in said else None
    return _Trial(said["number"], said.get("parameters") or {}, said.get("phase", "Pending"), value)


def _trial(spec: Search, run: Run) -> _Trial:
    if not run.ended:
        return _Trial(run.number, run.parameters, "Running" if run.job.running else "Pending", run=run)
    value = _measured(spec, run)
    return _Trial(run.number, run.parameters, "Failed" if value is None else "Succeeded", value, run)


def _measured(spec: Search, run: Run) -> float | None:
    """The metric as the status will say it, so that a later look reads the same number."""
    metrics = run.job.report.metrics if run.delivered and run.job.report else []
    return next((float(number(m.value)) for m in metrics if m.name == spec.metric and m.value is not None), None)


def _search_failure(spec: Search, fresh: Sequence[_Trial], trials: Iterable[_Trial]) -> Failure | None:
    """What went wrong last with a trial, if anything did."""
    found = [_trial_failure(spec, t.run) for t in [*(t for t in trials if not t.ended), *fresh] if t.run]
    return next((f for f in reversed(found) if f), None)


def _trial_failure(spec: Search, run: Run) -> Failure | None:
    if run.delivered and run.job.report and _measured(spec, run) is None:
        known = ", ".join(sorted(m.name for m in run.job.report.metrics)) or "none"
        text = f"Trial {run.number} ended without search.metric {spec.metric}; the trainer reported: {known}"
        return Failure(Reason.NO_METRIC, text, time=run.ended_at)
    failure = _failure(run)
    return replace(failure, message=f"Trial {run.number}: {failure.message}") if failure else None


def _search_status(spec: Search, kept: Manifest, trials: Mapping[int, _Trial], winner: Tried | None) -> Manifest:
    ordered = [trials[n] for n in sorted(trials)]
    ended = [t for t in ordered if t.ended]
    fresh = [t.run for t in ended if t.run]
    live = [t.run for t in ordered if t.run and not t.ended]
    status: Manifest = {**kept, **_search_times(kept, [t.run for t in ordered if t.run])}
    status["search"] = {
        "finished": len(ended),
        "failed": len([t for t in ended if t.phase == "Failed"]),
        "trials": [t.status() for t in ordered],
        **({"best": trials[winner.number].status()} if winner else {}),
    }
    if fresh:
        status["usage"] = _added(kept.get("usage"), fresh)
    status |= _search_progress(spec, kept, len(ended), live)
    new_best = next((r for r in fresh if winner and r.number == winner.number), None)
    return {**status, **({k: v for k, v in _delivery(new_best).items() if k != "progress"} if new_best else {})}


def _search_times(kept: Manifest, runs: Sequence[Run]) -> Manifest:
    started = kept.get("startTime") or min((r.started_at for r in runs if r.started_at), default="")
    attempts = max([kept.get("attempts", 0), *(r.number + 1 for r in runs if r.attempts)])
    return {"attempts": attempts, **({"startTime": started} if started else {})}


def _search_progress(spec: Search, kept: Manifest, ended: int, live: Sequence[Run]) -> Manifest:
    """Say how far all trials are together."""
    total, before = count(spec), kept.get("progress") or {}
    heard = [p for r in live if (p := r.job.progress)]
    newest = max((p.updated_at for p in heard), default="")
    if ended == before.get("step") and not (newest and _due(before, {"updatedAt": newest})):
        return {}
    share = ended + sum(p.step / p.total for p in heard if p.total)
    said = {"stage": "searching", "percent": min(100, int(100 * share / total)), "step": ended, "totalSteps": total}
    return {"progress": said | ({"updatedAt": newest} if newest else {})}


def _added(before: Mapping[str, Any] | None, runs: Sequence[Run]) -> Manifest:
    """Add what trials used that have just ended."""
    used = before or {}
    return usage_status(
        Usage(
            cpu_seconds=float(used.get("cpuSeconds", 0)) + sum(r.usage.cpu_seconds for r in runs),
            gpu_seconds=float(used.get("gpuSeconds", 0)) + sum(r.usage.gpu_seconds for r in runs),
            peak_memory_bytes=max([used.get("peakMemoryBytes", 0), *(r.usage.peak_memory_bytes for r in runs)]),
        )
    )


def _told(spec: Search, ended: Sequence[_Trial], winner: Tried | None) -> str:
    score = f"; best so far is trial {winner.number}" if winner else ""
    value = f" with {spec.metric} {number(winner.value)}" if winner and winner.value is not None else ""
    return f"{len(ended)} of {count(spec)} trials have ended{score}{value}"
