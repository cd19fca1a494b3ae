"""Find Triton, start it with nothing open that serving does not need, and stop it gently.

Works with the binary of NVIDIA's image and with the one in the wheel nvidia-pytriton; flags that a version lacks are
left out, by what its own --help says. Knows processes and files; what is served is the caller's business.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gencontract.codes import Code
from gentrainers.errors import JobError

IMAGE = Path("/opt/tritonserver")
ADMIN_HTTP = "model-repository,shared-memory,model-config,trace,logging"
STUB_SECONDS = 300  # a Python back end imports its runtime in this time; torch on a busy CPU takes half a minute
EXIT_SECONDS = 30  # that Triton gives requests in flight when it is asked to stop
KEPT_LINES = 60


@dataclass(frozen=True)
class Triton:
    """An installed server. `backends` are folders by back end name; `stub` is the wheel's Python interpreter."""

    binary: Path
    version: str
    flags: frozenset[str]
    backends: Mapping[str, Path]
    stub: Path | None = None
    libraries: Path | None = None


@dataclass(frozen=True)
class Listen:
    """Where a server listens."""

    address: str
    http: int
    grpc: int
    metrics: int


def find() -> Triton:
    """Find a server: in PATH, in NVIDIA's image, or in the wheel. Raises JobError(UNSUPPORTED) where there is none."""
    wheel = Path(sysconfig.get_paths()["purelib"]) / "pytriton" / "tritonserver"
    found = [p for p in (shutil.which("tritonserver"), IMAGE / "bin/tritonserver", wheel / "bin/tritonserver") if p]
    binary = next((Path(p) for p in found if Path(p).is_file()), None)
    if binary is None:
        looked = ", ".join(["PATH", str(IMAGE), str(wheel)])
        raise JobError(Code.UNSUPPORTED, f"no tritonserver in {looked}; use NVIDIA's image or install extra `server`")
    return _in_wheel(binary, wheel) if binary.is_relative_to(wheel) else _in_image(binary)


def _in_wheel(binary: Path, wheel: Path) -> Triton:
    libraries = wheel.parent.parent / "nvidia_pytriton.libs"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = wheel / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        raise JobError(Code.UNSUPPORTED, f"Triton of this wheel has no Python {python} ({stub} is missing)")
    flags, version = _asked(binary, libraries)
    return Triton(binary, version, flags, _folders(wheel / "backends"), stub, libraries)


def _in_image(binary: Path) -> Triton:
    flags, version = _asked(binary, None)
    return Triton(binary, version, flags, _folders(binary.resolve().parent.parent / "backends"))


def _folders(backends: Path) -> dict[str, Path]:
    return {p.name: p for p in sorted(backends.glob("*")) if p.is_dir()}


def _asked(binary: Path, libraries: Path | None) -> tuple[frozenset[str], str]:
    """Ask a binary which flags it has, and which version it is of."""
    environment = _environment(libraries)
    help_ = subprocess.run([binary, "--help"], env=environment, capture_output=True, text=True, check=False, timeout=60)
    flags = frozenset(re.findall(r"^\s*(--[a-z0-9-]+)", help_.stdout + help_.stderr, re.MULTILINE))
    named = os.environ.get("TRITON_SERVER_VERSION", "")
    if not flags:
        raise JobError(Code.UNSUPPORTED, f"{binary} does not start: {(help_.stderr or help_.stdout).strip()[:300]}")
    return flags, named


def _environment(libraries: Path | None) -> dict[str, str]:
    """Make the server's environment: its own libraries, this interpreter first in PATH, no byte code written.

    The Python stub passes over PYTHONPATH: it takes the packages of the first `python3` in PATH.
    """
    out = {k: v for k, v in os.environ.items() if not k.startswith("GENOPS_")}
    out["PYTHONDONTWRITEBYTECODE"] = "1"
    out["PATH"] = _first(str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    if libraries:
        out["LD_LIBRARY_PATH"] = _first(str(libraries), os.environ.get("LD_LIBRARY_PATH", ""))
    return out


def _first(folder: str, path: str) -> str:
    return f"{folder}:{path}".rstrip(":")


def backend_folder(triton: Triton, scratch: Path) -> Path:
    """Return the folder for --backend-directory. The wheel keeps the Python stub elsewhere than Triton looks."""
    if not triton.stub:
        return next(iter(triton.backends.values()), triton.binary).parent
    folder = scratch / "backends"
    for name, source in triton.backends.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            (folder / name / file.name).symlink_to(file)
    (folder / "python" / triton.stub.name).symlink_to(triton.stub)
    return folder


def command(triton: Triton, repository: Path, backends: Path, listen: Listen) -> list[str]:
    """Write the command line: one repository, loaded once; control APIs closed by a key that nobody is told."""
    key = secrets.token_hex(16)
    wanted = {
        "--model-repository": str(repository),
        "--backend-directory": str(backends),
        "--backend-config": f"python,stub-timeout-seconds={STUB_SECONDS}",
        "--model-control-mode": "none",
        "--disable-auto-complete-config": None,
        "--strict-readiness": "true",
        "--exit-on-error": "true",
        "--exit-timeout-secs": str(EXIT_SECONDS),
        "--http-address": listen.address,
        "--http-port": str(listen.http),
        "--grpc-address": listen.address,
        "--grpc-port": str(listen.grpc),
        "--metrics-address": listen.address,
        "--metrics-port": str(listen.metrics),
        "--metrics-config": "summary_latencies=true",
        "--allow-client-shm": "false",
        "--allow-sagemaker": "false",
        "--allow-vertex-ai": "false",
        "--http-restricted-api": f"{ADMIN_HTTP}:genops-admin={key}",
        "--grpc-restricted-protocol": f"{ADMIN_HTTP}:genops-admin={key}",
    }
    known = [(flag, value) for flag, value in wanted.items() if flag in triton.flags]
    return [str(triton.binary), *(flag if value is None else f"{flag}={value}" for flag, value in known)]


@dataclass
class Server:
    """A running server. Its log goes on to ours; the last lines are kept to say why it ended."""

    process: subprocess.Popen[str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def why(self) -> str:
        """Return the lines that say why it ended: its errors, or its last words."""
        errors = [line for line in self.lines if re.match(r"E\d{4} .*(model|backend)|error:", line)]
        return " | ".join(line.strip() for line in (errors or list(self.lines))[-3:])[:1200]

    def stop(self, seconds: float = EXIT_SECONDS + 10) -> int:
        """Ask it to finish what is in flight and end; kill it when it does not."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


def start(
    triton: Triton,
    repository: Path,
    listen: Listen,
    scratch: Path,
    more: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Server:
    """Start a server in a process group of its own, with `more` in its environment."""
    line = command(triton, repository, backend_folder(triton, scratch), listen)
    process = subprocess.Popen(
        line,
        env=_environment(triton.libraries) | dict(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    server = Server(process)
    assert process.stdout is not None
    threading.Thread(target=_relay, args=(process.stdout, server.lines, say), daemon=True).start()
    return server


def _relay(stream: IO[str], kept: deque[str], say: Callable[[str], None]) -> None:
    for line in stream:
        kept.append(line)
        say(line.rstrip("\n"))
