"""A real Prometheus as a child process, for the demo and tests: on a free loopback port, in a folder of its own.

The programs are found on PATH, else where e2e/setup.sh unpacks them. `serves` makes a page of metrics or of targets.
Knows nothing of what is measured.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from genops.local.errors import LocalError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genops/prometheus/usr/bin"
STARTS = 60  # seconds on a busy machine


def program(name: str) -> str:
    """Find prometheus or promtool."""
    found = shutil.which(name) or str(CACHE / name)
    if not Path(found).exists():
        raise LocalError(f"{name} is missing, on PATH and in {CACHE}; run: make setup")
    return found


def free_port() -> int:
    """Find a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Monitor:
    """A running Prometheus."""

    process: subprocess.Popen[bytes]
    address: str
    folder: Path

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """Ask for all series of an expression. Raises LocalError with what Prometheus says."""
        parameters = {"query": promql} | ({} if at is None else {"time": f"{at:.3f}"})
        request = urllib.request.Request(
            f"{self.address}/api/v1/query", urllib.parse.urlencode(parameters).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # on loopback  # nosec B310
                data = json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise LocalError(f"{promql}: {error.read().decode()}") from None
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else list(data["result"])

    def value(self, promql: str, at: float | None = None) -> float:
        """Ask for one number."""
        found = self.query(promql, at)
        if len(found) != 1:
            raise LocalError(f"{promql}: {len(found)} series where one number was expected: {found}")
        return float(found[0]["value"][1])

    def until(self, promql: str, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until an expression gives a series."""
        deadline = time.monotonic() + seconds
        while not (found := self.query(promql)):
            if time.monotonic() > deadline:
                raise LocalError(f"no series in {seconds:g} s: {promql}")
            time.sleep(0.2)
        return found

    def pause(self) -> None:
        """Let it hang, as a machine that is swapping does."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def prometheus(
    folder: Path, *jobs: Mapping[str, Any], every: str = "1s", rules: str = "", port: int = 0
) -> Iterator[Monitor]:
    """Start a Prometheus that scrapes `jobs`, entries of scrape_configs, and evaluates rules."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if rules:
        (folder / "rules.yaml").write_text(rules)
        files = [str(folder / "rules.yaml")]
    timing = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"global": timing, "rule_files": files, "scrape_configs": [dict(j) for j in jobs]})
    )
    port = port or free_port()
    arguments = [
        f"--config.file={folder / 'config.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=100y",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus"), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    monitor = Monitor(process, f"http://127.0.0.1:{port}", folder)
    try:
        _wait_ready(monitor)
        yield monitor
    finally:
        monitor.go_on()
        process.terminate()
        process.wait(30)


def _wait_ready(monitor: Monitor) -> None:
    deadline = time.monotonic() + STARTS
    while True:
        log = (monitor.folder / "log").read_text(errors="replace")
        if monitor.process.poll() is not None:
            raise LocalError(f"prometheus ended by {monitor.process.returncode}:\n{log[-3000:]}")
        if time.monotonic() > deadline:
            raise LocalError(f"prometheus was not ready in {STARTS} s:\n{log[-3000:]}")
        try:
            with urllib.request.urlopen(f"{monitor.address}/-/ready", timeout=5):  # on loopback  # nosec B310
                return
        except OSError:
            time.sleep(0.05)


@contextmanager
def serves(page: Callable[[], str], kind: str = "text/plain; version=0.0.4") -> Iterator[str]:
    """Serve a page of metrics, or of another kind; gives HOST:PORT."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Pages(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a client that went away before it had its answer."""

    server = Pages(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
