"""A served engine for tests and benchmarks: `python -m gentrainers` in the server's own environment, on this machine.

Each gets a loopback address of its own, so that any number run side by side, and is stopped by its own process.
"""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from gencontract.report import Artifact, Report
from gencontract.task import Input, Run, ServeTask, TaskFile
from gencontract.wire import decode_report, encode_task

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".genops/venv-server/bin/python"
STARTS = 120  # seconds on a busy machine
_addresses = count()


def an_address() -> str:
    """Return a loopback address that no other process takes: from the process id and a counter."""
    number = os.getpid() % (1 << 16)
    return f"127.{1 + number // 256 % 254}.{number % 256}.{1 + next(_addresses) % 254}"


@dataclass
class Served:
    """A server pod as a process."""

    process: subprocess.Popen[bytes]
    address: str
    folder: Path
    task: ServeTask
    report: Report | None = field(default=None)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """GET from Triton's HTTP port, or another."""
        return _fetched(f"http://{self.address}:{port or self.task.http_port}{path}", None)

    def post(self, path: str, body: Any) -> tuple[int, str]:
        """POST JSON to Triton's HTTP port."""
        return _fetched(f"http://{self.address}:{self.task.http_port}{path}", json.dumps(body).encode())

    def infer(self, **inputs: list[int]) -> tuple[int, dict[str, Any]]:
        """Ask for samples by JSON, as curl would: one list of numbers per input."""
        tensors = [
            {"name": name, "shape": [len(values), 1], "datatype": "INT64", "data": values}
            for name, values in inputs.items()
        ]
        status, text = self.post("/v2/models/generator/infer", {"inputs": tensors})
        return status, json.loads(text)

    def ready(self) -> bool:
        return self.get("/readyz", self.task.ready_port)[0] == 200

    def wait_ready(self) -> "Served":
        """Wait until the pod says that it is ready. Raises AssertionError with its log when it ends before."""
        until = time.monotonic() + STARTS
        while not self.ready():
            assert self.process.poll() is None, f"ended by {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < until, f"not ready in {STARTS} s:\n{self.log[-3000:]}"
            time.sleep(0.1)
        return self

    def wait_end(self, seconds: float = STARTS) -> int:
        """Wait for the end, read the report, and return the exit code."""
        code = self.process.wait(seconds)
        path = self.folder / "report"
        self.report = decode_report(path.read_text()) if path.exists() else None
        return code

    def stop(self) -> int:
        """Ask it to stop, as the kubelet does, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end()


def _fetched(url: str, data: bytes | None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@contextmanager
def serving(
    repository: Artifact, folder: Path, environment: Mapping[str, str] | None = None, **fields: Any
) -> Iterator[Served]:
    """Start a server pod on an engine; whatever is left of it at the end is stopped."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make server-env`"
    folder.mkdir(parents=True, exist_ok=True)
    address = an_address()
    given = {"drain_seconds": 0.5, "address": address} | fields
    task = ServeTask(repository=Input(uri=repository.uri, digest=repository.digest), **given)
    (folder / "task.json").write_text(encode_task(TaskFile(run=Run(), task=task)))
    own = {"GENOPS_TERMINATION_LOG": str(folder / "report"), "OMP_NUM_THREADS": "1"}
    outside = {k: v for k, v in os.environ.items() if k != "POD_IP"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "gentrainers", "--task", folder / "task.json"],
            env=outside | own | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    served = Served(process, address, folder, task)
    try:
        yield served
    finally:
        if process.poll() is None:
            served.stop()
