"""Child processes that outlive the command that started them, each known by its id and its start time.

A recycled process id has another start time, so no stranger is ever signalled. Knows nothing of Kubernetes.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """Which process was started under a name."""

    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/PID/stat
    boot: str


def start(name: str, command: Sequence[str], run: Path, logs: Path, environ: Mapping[str, str]) -> Record:
    """Start a process in a session of its own, log to a file, and remember it."""
    run.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=dict(environ)
        )
    record = Record(child.pid, _start_time(child.pid), _boot())
    (run / f"{name}.json").write_text(json.dumps(asdict(record)))
    child.returncode = 0  # the record owns the process now: no warning when this handle is collected
    return record


def recorded(name: str, run: Path) -> Record | None:
    """Return what was started under this name."""
    try:
        return Record(**json.loads((run / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def alive(record: Record | None) -> bool:
    """Say whether exactly this process still runs."""
    if record is None or record.boot != _boot():
        return False
    with suppress(ChildProcessError, OSError):
        os.waitpid(record.pid, os.WNOHANG)  # a child of ours would stay as a zombie
    return _start_time(record.pid) == record.started and _state(record.pid) != "Z"


def stop(names: Iterable[str], run: Path, grace: float) -> None:
    """Ask the named processes to end, wait, then end what is left; forget them all."""
    records = {name: recorded(name, run) for name in names}
    for record in records.values():
        _signal(record, signal.SIGTERM)
    wait_gone(records.values(), grace)
    for record in records.values():
        _signal(record, signal.SIGKILL)
    wait_gone(records.values(), 5)
    for name in records:
        (run / f"{name}.json").unlink(missing_ok=True)


def wait_gone(records: Iterable[Record | None], seconds: float) -> None:
    """Wait until none of the processes runs, or the time is up."""
    deadline = time.monotonic() + seconds
    left = list(records)
    while left and time.monotonic() < deadline:
        left = [record for record in left if alive(record)]
        time.sleep(0.02)


def _signal(record: Record | None, number: int) -> None:
    if record is not None and alive(record):
        with suppress(ProcessLookupError):
            os.kill(record.pid, number)


def _start_time(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[19]) if fields else -1


def _state(pid: int) -> str:
    fields = _stat(pid)
    return fields[0] if fields else "X"


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command name, which may hold spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
