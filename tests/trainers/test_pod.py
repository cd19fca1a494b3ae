"""The seam between job and pod: what errors become, what heartbeats are sent, and what is left to read at the end."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from trainer_worlds import Silent

from gencontract.codes import Code
from gencontract.report import Progress, Report
from gencontract.task import ServeTask, TaskFile
from gencontract.wire import decode_report, encode_task, last_progress
from gentrainers import __main__ as entry
from gentrainers import pod
from gentrainers.errors import JobError
from gentrainers.jobs import VERBS, job

TASK = ServeTask.model_validate({"repository": {"uri": "/nowhere"}})


def ran(work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Report]:
    """Run a job in this process; return its exit code and what the kubelet would read."""
    log = tmp_path / "termination-log"
    monkeypatch.setenv("GENOPS_TERMINATION_LOG", str(log))
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = pod.run(TASK, work)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    report = decode_report(log.read_text())
    assert report
    return code, report


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


ENDS = {
    "a known reason": (JobError(Code.BAD_DATA, "x.png is corrupt"), Code.BAD_DATA, "x.png is corrupt"),
    "a full disk": (OSError(28, "No space left on device"), Code.STORE_FULL, "No room to write"),
    "a file-size limit": (OSError(27, "File too large"), Code.STORE_FULL, "No room to write"),
    "a full GPU": (OutOfMemoryError("CUDA out of memory"), Code.OUT_OF_MEMORY, "give less per batch"),
    "a full CPU": (RuntimeError("DefaultCPUAllocator: can't allocate memory: x"), Code.OUT_OF_MEMORY, "Out of memory"),
    "anything else": (KeyError("colour"), Code.CRASHED, "KeyError: 'colour'; the log has the trace"),
}


@pytest.mark.parametrize("case", ENDS.values(), ids=ENDS)
def test_an_error_ends_by_its_code_with_a_message_and_no_trace(
    case: tuple[Exception, Code, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, code, says = case

    def work(task: Any, pod: Any) -> Report:
        raise error

    exit_code, report = ran(work, tmp_path, monkeypatch)
    assert (exit_code, report.code) == (code, code)
    assert says in report.message
    assert "Traceback" not in report.message


def test_a_report_accounts_for_what_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, report = ran(lambda task, pod: Report(verb="serve", code=Code.DONE), tmp_path, monkeypatch)
    assert report.usage.cpu_seconds > 0
    assert report.usage.peak_memory_bytes > 1 << 20


def test_sigterm_is_a_request_that_the_job_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(task: Any, pod: pod.Pod) -> Report:
        assert not pod.stopping
        os.kill(os.getpid(), signal.SIGTERM)
        assert pod.wait(60)
        pod.give_way()
        raise AssertionError("give_way raises")

    exit_code, report = ran(work, tmp_path, monkeypatch)
    assert (exit_code, report.code) == (143, Code.PREEMPTED)


def test_heartbeats_are_spaced_but_a_new_stage_and_the_end_are_told_at_once() -> None:
    now, screen = [0.0], Silent()
    it = pod.Pod(screen, clock=lambda: now[0], every=5)
    for second in range(12):
        now[0] = float(second)
        it.progress(Progress(stage="training", step=second, total=100))
    it.progress(Progress(stage="writing", step=12, total=100))
    it.progress(Progress(stage="writing", step=100, total=100))
    assert [(p.stage, p.step) for p in screen.shown] == [
        ("training", 0),
        ("training", 5),
        ("training", 10),
        ("writing", 12),
        ("writing", 100),
    ]


def test_a_heartbeat_in_a_log_is_found_again_even_where_a_number_is_not_finite() -> None:
    out = io.StringIO()
    pod.Lines(out).show(Progress(stage="training", step=3, metrics={"loss": float("nan"), "lr": 0.1}))
    found = last_progress(f"noise\n{out.getvalue()}more noise\n")
    assert found
    assert (found.step, found.metrics) == (3, {"lr": 0.1})


def test_only_the_first_of_several_processes_sends_heartbeats() -> None:
    screen = Silent()
    pod.Pod(screen, rank=1, every=0).progress(Progress(stage="training"))
    assert screen.shown == []


RANKS = {
    "alone": ({"RANK": "3"}, 0),
    "torchrun": ({"RANK": "3", "WORLD_SIZE": "4"}, 3),
    "indexed Job": ({"JOB_COMPLETION_INDEX": "2", "WORLD_SIZE": "4"}, 2),
}


@pytest.mark.parametrize("case", RANKS.values(), ids=RANKS)
def test_a_process_knows_which_of_several_it_is(case: tuple[dict[str, str], int]) -> None:
    environ, rank = case
    assert pod.rank_in(environ) == rank


def test_every_verb_of_the_contract_has_a_job_and_no_other_has() -> None:
    for verb in VERBS:
        assert callable(job(verb))
    with pytest.raises(JobError, match="verb 'paint' is not known; known are prepare, sweep, train"):
        job("paint")


def test_a_task_that_cannot_be_read_is_refused_by_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENOPS_TERMINATION_LOG", str(tmp_path / "log"))
    assert entry.main(["--task", str(tmp_path / "none.json")]) == Code.MISSING_INPUT
    bad = tmp_path / "bad.json"
    bad.write_text('{"task": {"verb": "train", "family": "flowers"}}')
    assert entry.main(["--task", str(bad)]) == Code.BAD_CONFIG
    said = json.loads(capsys.readouterr().out.splitlines()[-1])["message"]
    assert "task.train.family: Input should be" in said
    assert 'got "flowers"' in said


def test_a_job_that_hangs_is_ended_as_stalled(tmp_path: Path) -> None:
    code = """
import time
from gentrainers import pod

def work(task, it):
    it.alive(0.2)
    time.sleep(60)

class Task:
    verb = "train"

pod.run(Task, work)
"""
    environ = {**os.environ, "GENOPS_TERMINATION_LOG": str(tmp_path / "log")}
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    report = decode_report((tmp_path / "log").read_text())
    assert (ended.returncode, report.code if report else None) == (Code.STALLED, Code.STALLED)
    assert "most recent call first" in ended.stderr


def test_a_job_that_rests_is_not_watched() -> None:
    ended: list[bool] = []
    it = pod.Pod(Silent(), stalled=lambda: ended.append(True))
    it.alive(0.3)
    it.rest()
    time.sleep(1.5)
    assert not ended


def test_the_seam_itself_does_not_import_torch(tmp_path: Path) -> None:
    """A verb that needs no torch must not pay for it."""
    code = "import sys, gentrainers.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "version" in json.loads(encode_task(TaskFile(task=TASK)))
