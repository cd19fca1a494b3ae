"""Container logs: written line by line with a time and a stream, read back as `kubectl logs` asks for them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

LONGEST = 16 * 1024  # a longer line is stored in parts, as container runtimes do
TAIL = 64 * 1024  # how far from its end a log is looked at for a termination message
_PARTIAL, _FULL = b"P", b"F"


@dataclass(frozen=True)
class Query:
    """What a reader asks for."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None


def parse_query(query: Mapping[str, str], now: datetime) -> Query:
    """Read the parameters of the kubelet's log page."""
    seconds, moment = query.get("sinceSeconds"), query.get("sinceTime")
    since = now - timedelta(seconds=float(seconds)) if seconds else None
    if moment:
        since = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    tail, limit = query.get("tailLines"), query.get("limitBytes")
    return Query(
        follow=query.get("follow") in ("true", "1"),
        timestamps=query.get("timestamps") in ("true", "1"),
        tail=int(tail) if tail else None,
        since=since,
        limit_bytes=int(limit) if limit else None,
    )


async def pump(stream: asyncio.StreamReader, name: str, file: BinaryIO) -> None:
    """Copy a stream into a log until it ends."""
    rest = b""
    while chunk := await stream.read(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        file.write(b"".join(entry for line in lines for entry in entries(line, name)))
        if len(rest) > LONGEST:
            file.write(_entry(rest, name, _PARTIAL))
            rest = b""
        file.flush()
    if rest:
        file.write(_entry(rest, name, _FULL))
        file.flush()


def entries(line: bytes, name: str) -> Iterator[bytes]:
    """Return the entries that store one line."""
    parts = [line[at : at + LONGEST] for at in range(0, len(line), LONGEST)] or [b""]
    for part in parts[:-1]:
        yield _entry(part, name, _PARTIAL)
    yield _entry(parts[-1], name, _FULL)


def _entry(text: bytes, name: str, tag: bytes) -> bytes:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    return b"%s %s %s %s\n" % (moment.encode(), name.encode(), tag, text)


def shown(entry: bytes, timestamps: bool) -> bytes:
    """Return an entry as a reader sees it."""
    moment, _, tag, text = entry.rstrip(b"\n").split(b" ", 3)
    ending = b"" if tag == _PARTIAL else b"\n"
    return (moment + b" " if timestamps else b"") + text + ending


def written_after(entry: bytes, since: datetime | None) -> bool:
    """Say whether an entry is not older than a moment."""
    if since is None:
        return True
    return datetime.fromisoformat(entry[:26].decode() + "+00:00") >= since


def selected(lines: Iterable[bytes], query: Query) -> Iterable[bytes]:
    """Return the stored entries that a reader asks for."""
    recent = (line for line in lines if written_after(line, query.since))
    return recent if query.tail is None else deque(recent, maxlen=query.tail)


async def read(path: Path, query: Query, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield a log, and go on as it grows if the reader follows it, until the container has ended."""
    left = query.limit_bytes
    async for entry in _stored(path, query, ended):
        text = shown(entry, query.timestamps)[:left]
        yield text
        left = None if left is None else left - len(text)
        if left == 0:
            return


async def _stored(path: Path, query: Query, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        for entry in selected(file.readlines(), query):
            yield entry
        while query.follow:
            over = ended()  # asked before reading: what was written before the end is never missed
            lines = file.readlines()
            for line in lines:
                yield line
            if over and not lines:
                return
            await asyncio.sleep(0.1)


def last_text(path: Path, most_bytes: int, most_lines: int) -> str:
    """Return the end of a log as a termination message shows it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = [line for line in file.readlines()[-most_lines:] if line.count(b" ") >= 3]
    except OSError:
        return ""
    return b"".join(shown(line, timestamps=False) for line in lines)[-most_bytes:].decode(errors="replace")
