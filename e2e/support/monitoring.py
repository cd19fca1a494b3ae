"""A real Prometheus for tests: on a free loopback port, in a folder of its own, ended by its own process.

`serves` makes a page of metrics to be scraped, `rule_test` runs promtool's unit tests. The programs are found on PATH,
else where e2e/setup.sh unpacks them.
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

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genops/prometheus/usr/bin"
STARTS = 60  # seconds on a busy machine


def program(name: str) -> str:
    """Find prometheus or promtool."""
    found = shutil.which(name) or str(CACHE / name)
    assert Path(found).exists(), f"{name} is missing: run `make setup`"
    return found


def free_port() -> int:
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
        """Ask for all series of an expression. Raises AssertionError with what Prometheus says."""
        parameters = {"query": promql} | ({} if at is None else {"time": f"{at:.3f}"})
        request = urllib.request.Request(
            f"{self.address}/api/v1/query", urllib.parse.urlencode(parameters).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                data = json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{promql}: {error.read().decode()}") from None
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else list(data["result"])

    def value(self, promql: str, at: float | None = None) -> float:
        """Ask for one number."""
        found = self.query(promql, at)
        assert len(found) == 1, (promql, found)
        return float(found[0]["value"][1])

    def until(self, promql: str, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until an expression gives a series."""
        deadline = time.monotonic() + seconds
        while not (found := self.query(promql)):
            assert time.monotonic() < deadline, f"no series in {seconds:g} s: {promql}"
            time.sleep(0.2)
        return found

    def pause(self) -> None:
        """Let it hang, as a machine that is swapping does."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
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
        assert monitor.process.poll() is None, f"prometheus ended by {monitor.process.returncode}:\n{log[-3000:]}"
        assert time.monotonic() < deadline, f"prometheus was not ready in {STARTS} s:\n{log[-3000:]}"
        try:
            with urllib.request.urlopen(f"{monitor.address}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)


def scraping(name: str, *targets: str, **labels: str) -> dict[str, Any]:
    """Write one job of scrape_configs: HOST:PORT of pages at /metrics, and labels as a PodMonitor would add them."""
    return {"job_name": name, "static_configs": [{"targets": list(targets), "labels": labels}]}


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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def rule_test(folder: Path, test: Mapping[str, Any], rules: str) -> str:
    """Run a unit test of promtool. Returns what it found wrong; nothing where the test holds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(rules)
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], **test}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, f"promtool could not run the test:\n{said}"
    return "" if done.returncode == 0 else said
