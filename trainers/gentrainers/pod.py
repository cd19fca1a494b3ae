"""The seam between a job and the world that runs it: signals in; heartbeats, the report and the exit code out.

The only module that knows it may run in a pod. A job sees a `Pod` and nothing of signals, terminals, environment or
termination logs. This module must not know what any job does, and it does not import torch.
"""

import errno
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TextIO

from gencontract.codes import Code
from gencontract.layout import ENV_TERMINATION_LOG, HEARTBEAT_SECONDS, TERMINATION_LOG
from gencontract.report import Progress, Report, Usage
from gencontract.wire import encode_progress, encode_report
from gentrainers.errors import JobError


class Job(Protocol):
    """One verb: do the task, answer with a report, or raise JobError."""

    def __call__(self, task: Any, pod: "Pod") -> Report: ...


class Screen(Protocol):
    """Where heartbeats are shown."""

    def show(self, progress: Progress) -> None: ...
    def close(self) -> None: ...


@dataclass
class Pod:
    """What a job may ask of the process it runs in."""

    screen: Screen
    clock: Callable[[], float] = time.monotonic
    rank: int = 0
    every: float = HEARTBEAT_SECONDS
    _stopping: bool = False
    _last: float = field(default=float("-inf"))
    _stage: str = ""
    stalled: Callable[[], None] = lambda: None
    _watched: bool = False
    _deadline: float = 0.0

    @property
    def stopping(self) -> bool:
        """Say whether the job was asked to stop: save what is not saved, and return a report with code PREEMPTED."""
        return self._stopping

    def stop(self) -> None:
        """Ask the job to stop at its next safe point."""
        self._stopping = True

    def give_way(self) -> None:
        """Leave by JobError(PREEMPTED) when asked to stop; for jobs that have nothing to save."""
        if self._stopping:
            raise JobError(Code.PREEMPTED, "Asked to stop before the end; nothing was left behind, run it again")

    def wait(self, seconds: float) -> bool:
        """Sleep, but not past a request to stop. Returns `stopping`."""
        until = self.clock() + seconds
        while not self._stopping and self.clock() < until:
            time.sleep(min(0.1, max(until - self.clock(), 0)))
        return self._stopping

    def alive(self, patience: float) -> None:
        """Say that work goes on. Unless it is said again within `patience` seconds, the process ends as STALLED."""
        self._deadline = self.clock() + patience
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        while (left := self._deadline - self.clock()) > 0:
            time.sleep(min(left, 1))
        if self._watched:
            self.stalled()

    def rest(self) -> None:
        """Stop watching: what comes next has no steps."""
        self._watched, self._deadline = False, float("-inf")

    @property
    def due(self) -> bool:
        """Say whether a heartbeat given now would be sent; lets a job skip the work of making one."""
        return self.rank == 0 and self.clock() - self._last >= self.every

    def progress(self, progress: Progress) -> None:
        """Send a heartbeat: at most one every HEARTBEAT_SECONDS, but each new stage and each end (step == total)."""
        ended = 0 < progress.total <= progress.step
        if self.rank != 0 or not (self.due or ended or progress.stage != self._stage):
            return
        self._last, self._stage = self.clock(), progress.stage
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        self.screen.show(progress.model_copy(update={"updated_at": stamp}))


@dataclass
class Lines:
    """Heartbeats as marked JSON lines, for logs that a program reads."""

    out: TextIO

    def show(self, progress: Progress) -> None:
        print(encode_progress(_finite(progress)), file=self.out, flush=True)

    def close(self) -> None:
        self.out.flush()


class Bar:
    """Heartbeats as a progress bar, for people at a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = RichProgress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self._task = self._bar.add_task("starting", total=None, note="")
        self._bar.start()

    def show(self, progress: Progress) -> None:
        note = "  ".join(f"{name} {value:.4g}" for name, value in sorted(progress.metrics.items()))
        total = progress.total or None
        self._bar.update(self._task, description=progress.stage, completed=progress.step, total=total, note=note)

    def close(self) -> None:
        self._bar.stop()


def rank_in(environ: Mapping[str, str]) -> int:
    """Say which of several processes this is: torchrun's RANK, or the index that an indexed Job gives its pod."""
    size = whole_number(environ, "WORLD_SIZE", 1)
    if size == 1:
        return 0
    rank = whole_number(environ, "RANK", whole_number(environ, "JOB_COMPLETION_INDEX", 0))
    if rank >= size:
        raise JobError(Code.BAD_CONFIG, f"environment: rank {rank} is not below WORLD_SIZE = {size}")
    return rank


def whole_number(environ: Mapping[str, str], name: str, otherwise: int) -> int:
    """Read a whole number of at least 0 from the environment. Raises JobError(BAD_CONFIG) that names the variable."""
    said = environ.get(name) or str(otherwise)
    if not (said.isascii() and said.isdigit()):
        raise JobError(Code.BAD_CONFIG, f"environment: {name} = {said!r} is not a whole number")
    return int(said)


def run(task: Any, job: Job) -> int:
    """Run one job in this process: heartbeats while it works, one report at its end. Returns the exit code."""
    terminal = sys.stdout.isatty()
    pod = Pod(Bar() if terminal else Lines(sys.stdout), rank=rank_in(os.environ), every=_every(terminal))
    _stop_on_signals(pod)
    pod.stalled = lambda: _give_up(task.verb, pod.rank, terminal)
    started = time.monotonic()
    report = _answer(task, job, pod)
    pod.screen.close()
    _tell(report.model_copy(update={"usage": usage(time.monotonic() - started)}), pod.rank, terminal)
    return int(report.code)


def refuse(verb: str, code: Code, message: str) -> int:
    """Answer a task that could not even be started."""
    _tell(Report(verb=verb, code=code, message=message), 0, sys.stdout.isatty())
    return int(code)


def usage(wall_seconds: float) -> Usage:
    """Account for what this process and its children used. GPU seconds are the seconds a GPU was held."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    torch = sys.modules.get("torch")
    held = wall_seconds if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else 0.0
    cpu = sum(u.ru_utime + u.ru_stime for u in spent)
    return Usage(cpu_seconds=round(cpu, 3), gpu_seconds=round(held, 3), peak_memory_bytes=_peak_bytes())


def outcome(error: BaseException) -> tuple[Code, str]:
    """Say by which code a job ends that raised `error`, and what to tell people."""
    if isinstance(error, JobError):
        return error.code, str(error)
    if _out_of_memory(error):
        return Code.OUT_OF_MEMORY, f"Out of memory ({_first_line(error)}); give less per batch or more memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Code.STORE_FULL, f"No room to write ({_first_line(error)}); free some or make the store larger"
    return Code.CRASHED, f"{type(error).__name__}: {_first_line(error)}; the log has the trace"


def _give_up(verb: str, rank: int, terminal: bool) -> None:
    """End a process whose work hangs: nothing else would, since it hangs outside of Python."""
    message = "No step was finished for too long: a process, disk or device that others wait for hangs; see the log"
    _tell(Report(verb=verb, code=Code.STALLED, message=message), rank, terminal)
    faulthandler.dump_traceback()
    os._exit(Code.STALLED)


def _answer(task: Any, job: Job, pod: Pod) -> Report:
    try:
        return job(task, pod)
    except Exception as error:
        code, message = outcome(error)
        if code == Code.CRASHED:
            traceback.print_exc()
        return Report(verb=task.verb, code=code, message=message)


def _tell(report: Report, rank: int, terminal: bool) -> None:
    """Write the report where the kubelet looks for it, and show it. Ranks above 0 speak only about failures."""
    if rank and report.code in (Code.DONE, Code.PREEMPTED):
        return
    text = encode_report(report)
    path = _termination_log()
    if path:
        path.write_text(text)
    print(_for_people(report) if terminal else text, flush=True)


def _termination_log() -> Path | None:
    named = os.environ.get(ENV_TERMINATION_LOG)
    if named:
        return Path(named)
    return Path(TERMINATION_LOG) if Path(TERMINATION_LOG).exists() else None


def _for_people(report: Report) -> str:
    where = f" {report.artifact.uri} ({report.artifact.digest})" if report.artifact else ""
    return f"{report.verb}: {report.code.name} {report.message}{where}"


def _stop_on_signals(pod: Pod) -> None:
    def ask(_signal: int, _frame: FrameType | None) -> None:
        pod.stop()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def _every(terminal: bool) -> float:
    return 0.2 if terminal else HEARTBEAT_SECONDS


def _finite(progress: Progress) -> Progress:
    """Drop what JSON cannot say: the reader of a log must never meet NaN."""
    kept = {name: value for name, value in progress.metrics.items() if abs(value) < float("inf")}
    return progress.model_copy(update={"metrics": kept})


def _out_of_memory(error: BaseException) -> bool:
    # torch.OutOfMemoryError by name, so that torch is not imported here; its CPU allocator raises a RuntimeError.
    named = any(c.__name__ in ("OutOfMemoryError", "MemoryError") for c in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:400]


def _peak_bytes() -> int:
    """Return this process' highest resident size. Linux's ru_maxrss starts at the parent's, so ask /proc first."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
