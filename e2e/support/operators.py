"""The operator as a process of its own, for tests: started, killed, stopped, and read.

One operator looks after the test's namespace alone, with a lease there, so that tests run side by side.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

START_SECONDS = 60.0


class Operator:
    """`genops run` against one kubeconfig and one namespace."""

    def __init__(self, kubeconfig: str, namespace: str, folder: Path, **env: str) -> None:
        self.kubeconfig, self.namespace, self.folder, self.env = kubeconfig, namespace, folder, env
        self._process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    @property
    def log(self) -> Path:
        """The log of all runs."""
        return self.folder / "operator.log"

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, "the operator does not run"
        return self._process.pid

    def start(self, ready: bool = True) -> "Operator":
        """Start it, and wait until it says that it is ready."""
        self._runs += 1
        env = {
            **os.environ,
            "KUBECONFIG": self.kubeconfig,
            "GENOPS_NAMESPACES": self.namespace,
            "GENOPS_LEASE_NAMESPACE": self.namespace if self.namespace else "default",
            "GENOPS_HEALTH_PORT": "0",
            "GENOPS_IDENTITY": f"run-{self._runs}",
            **self.env,
        }
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self._process = subprocess.Popen([sys.executable, "-m", "genops", "run"], env=env, stdout=out, stderr=out)
        if ready:
            until(lambda: self._port(offset), START_SECONDS, lambda: f"a health port in:\n{self.tail()}")
            self._offset = offset
            until(lambda: self._get("/readyz") == "ok\n", START_SECONDS, lambda: f"/readyz to be ok:\n{self.tail()}")
        return self

    def kill(self) -> None:
        """End it by SIGKILL, as a node that dies would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it by SIGTERM and return its exit code."""
        return self._end(signal.SIGTERM)

    @property
    def address(self) -> str:
        """HOST:PORT of its health and metrics."""
        return f"127.0.0.1:{self._port(self._offset)}"

    def metrics(self) -> dict[str, float]:
        """Read every sample of /metrics."""
        lines = (self._get("/metrics") or "").splitlines()
        return {m[1]: float(m[2]) for line in lines if (m := re.match(r"([a-z_]+(?:\{.*\})?) (\S+)$", line))}

    def tail(self, lines: int = 30) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def __enter__(self) -> "Operator":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.stop()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the operator does not run"
        self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        self._process = None
        return code

    def _port(self, offset: int) -> int | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"The operator ended with {self._process.returncode}:\n{self.tail()}")
        found = re.findall(rb"Health and metrics on http://127\.0\.0\.1:(\d+)", self.log.read_bytes()[offset:])
        return int(found[-1]) if found else None

    def _get(self, path: str) -> str | None:
        port = self._port(getattr(self, "_offset", 0))
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return str(reply.read().decode())
        except OSError:
            return None


def until(condition: Callable[[], T], seconds: float, what: Callable[[], str] | str, every: float = 0.1) -> T:
    """Wait until `condition` returns something true; fails with what was waited for."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:.0f} s for {what if isinstance(what, str) else what()}")
        time.sleep(every)
    return result


def quick_dataset(name: str, namespace: str, seconds: float = 0.0, code: int = 0, **spec: Any) -> dict[str, Any]:
    """A GenDataset whose own container ends at once with a proper report, so that many fit into one test."""
    report = {
        "verb": "prepare",
        "code": code,
        "message": "made for a test",
        "samples": 3,
        "artifact": {"uri": f"/genops/store/genops-store/{name}", "digest": "sha256:" + "0" * 64},
    }
    script = (
        "import json, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); "
        f"time.sleep({seconds}); "
        f"open('/dev/termination-log', 'w').write(json.dumps({report!r})); raise SystemExit({code})"
    )
    return {
        "apiVersion": "genops.dev/v1alpha1",
        "kind": "GenDataset",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": {"builtin": {"name": "digits"}},
            "format": "images",
            "prepare": {"image": "genops-trainers:latest", "command": ["python", "-S", "-c", script]},
            "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
            **spec,
        },
    }
