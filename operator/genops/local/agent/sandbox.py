"""One sandboxed process by bubblewrap: how it is started, signalled and waited for. Knows nothing of pods."""

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from genops.local.agent.rootfs import Point, RealHost, arguments


@dataclass(frozen=True)
class Launch:
    """Everything that decides one sandboxed process."""

    argv: Sequence[str]
    env: Mapping[str, str]
    points: Sequence[Point]
    uid: int
    gid: int
    hostname: str
    workdir: str = "/"
    cgroups: Sequence[str] = ()  # cgroup.procs files to enter first


@dataclass(frozen=True)
class Exit:
    """How a sandboxed process ended. `started` is false if the command never ran."""

    code: int
    started: bool


class Process:
    """A running sandbox. Its process is number 1 of its own process namespace, so nothing of it outlives it."""

    def __init__(self, outer: asyncio.subprocess.Process, status: asyncio.StreamReader) -> None:
        self.outer = outer
        self._status = status
        self._inner: int | None = None  # a pidfd, so that a recycled number is never signalled
        self._doomed = False
        self._exit: asyncio.Task[Exit] = asyncio.ensure_future(self._watch())

    async def wait(self) -> Exit:
        """Wait for the end. May be called by many and again."""
        return await asyncio.shield(self._exit)

    @property
    def done(self) -> bool:
        """Say whether the process has ended."""
        return self._exit.done()

    def signal(self, number: int) -> None:
        """Send a signal to the command itself."""
        if self._inner is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._inner, number)

    def kill(self) -> None:
        """End it at once, or as soon as it exists: bubblewrap killed while it sets up could leave its command alone."""
        self._doomed = True
        self.signal(signal.SIGKILL)

    async def _watch(self) -> Exit:
        reports: dict[str, int] = {}
        async for line in self._status:
            reports.update(json.loads(line))
            if self._inner is None and "child-pid" in reports:
                self._inner = _pidfd(reports["child-pid"])
                self.kill() if self._doomed else None
        code = await self.outer.wait()
        if self._inner is not None:
            os.close(self._inner)
            self._inner = None
        return Exit(reports.get("exit-code", 128 if code in (0, 1) else _shell_code(code)), "exit-code" in reports)


async def start(launch: Launch, bwrap: str) -> Process:
    """Start a sandboxed process with its output on pipes."""
    arguments_fd = _memory_file("\0".join(options(launch)).encode())
    status_read, status_write = os.pipe()
    try:
        outer = await asyncio.create_subprocess_exec(
            *_entering(launch.cgroups), bwrap, "--args", str(arguments_fd), "--json-status-fd", str(status_write),
            "--", *launch.argv,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            pass_fds=(arguments_fd, status_write), start_new_session=True, env={},
        )  # fmt: skip
    except BaseException:
        os.close(status_read)
        raise
    finally:
        os.close(arguments_fd)
        os.close(status_write)
    return Process(outer, await _reader(status_read))


def options(launch: Launch) -> list[str]:
    """Return bubblewrap's options. They travel by a file descriptor: secrets in them never show in a process list."""
    namespaces = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    identity = ["--uid", str(launch.uid), "--gid", str(launch.gid), "--hostname", launch.hostname]
    variables = [part for name, value in launch.env.items() for part in ("--setenv", name, value)]
    guards = ["--die-with-parent", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"]
    tree = arguments(launch.points, RealHost())
    return [*namespaces, *identity, *guards, *variables, *tree, "--chdir", launch.workdir]


async def run_to_end(launch: Launch, bwrap: str, timeout: float) -> tuple[int, str]:
    """Run a short command, such as a probe, and return its exit code and the start of its output."""
    process = await start(launch, bwrap)
    assert process.outer.stdout is not None
    assert process.outer.stderr is not None
    reads = asyncio.gather(_some(process.outer.stdout), _some(process.outer.stderr))
    try:
        ended = await asyncio.wait_for(process.wait(), timeout)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, f"timed out after {timeout:g} s"
    except asyncio.CancelledError:
        process.kill()
        raise
    finally:
        outputs = await reads
    return ended.code, b"".join(outputs).decode(errors="replace")


async def _some(stream: asyncio.StreamReader, limit: int = 10240) -> bytes:
    """Read a stream to its end and keep its beginning."""
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[:limit]
    return kept


def _entering(files: Iterable[str]) -> list[str]:
    """Return a shell prefix that puts itself into cgroups before it becomes bubblewrap."""
    moves = "".join(f"echo $$ > {shlex.quote(file)} && " for file in files)
    return ["/bin/sh", "-c", f'{moves}exec "$0" "$@"'] if moves else []


def _memory_file(content: bytes) -> int:
    handle = os.memfd_create("bwrap-arguments", 0)
    with open(handle, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


async def _reader(handle: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(handle, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code
