"""Unpack zip and tar archives from anywhere without harm.

Nothing is unpacked by the libraries' own extract calls. Every member is judged first: only plain files and folders,
only names that stay inside, each name once (also on file systems that ignore case), within limits of count, size, ratio
and depth that are enforced on the bytes that really come out. Archives inside archives stay as they are. Must not know
what is in the files.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from gencontract.codes import Code
from gentrainers.errors import JobError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CHUNK = 1 << 20
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError, OverflowError, KeyError, IndexError, MemoryError),
)
READ_AT_MOST = 8 << 20  # by one call: no header of an honest tar archive is near it
DIRECTORY = 256 << 20  # bytes of a zip archive's own listing


@dataclass(frozen=True)
class Limits:
    """What one archive may come to."""

    files: int = 1_000_000
    bytes: int = 64 << 30
    file_bytes: int = 16 << 30
    ratio: int = 200  # unpacked over packed, beyond the first MiB
    depth: int = 32
    name: int = 1024


LIMITS = Limits()
ONE_SCORE = Limits(files=100, bytes=256 << 20)


@dataclass(frozen=True)
class Member:
    """One entry as both kinds of archive describe it. `trouble` says why its type is refused."""

    name: str
    folder: bool
    trouble: str = ""


def is_archive(name: str) -> bool:
    """Say whether a file name is one of an archive."""
    return name.lower().endswith(SUFFIXES)


def unpack(path: Path, into: Path, name: str, limits: Limits = LIMITS, tick: Callable[[], None] = lambda: None) -> None:
    """Unpack an archive into a new folder. Raises JobError(BAD_DATA) that names archive, member and reason.

    `tick` is called for each member; it may raise to stop.
    """
    into.mkdir(parents=True)
    meter = Meter(name, path.stat().st_size, limits)
    with _legible(name):
        for member, data in _members(path, name):
            tick()
            _put(into / meter.admit(member), member, meter.counted(member, data))


def _put(target: Path, member: Member, chunks: Iterator[bytes]) -> None:
    if member.folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for chunk in chunks:
            out.write(chunk)


def measure(path: Path, name: str, limits: Limits = ONE_SCORE) -> int:
    """Read an archive through under the same rules without keeping anything. Returns its unpacked bytes."""
    meter = Meter(name, path.stat().st_size, limits)
    with _legible(name):
        for member, data in _members(path, name):
            meter.admit(member)
            for _ in meter.counted(member, data):
                pass
    return meter.total


class Meter:
    """The rules, and how much has been used of each limit."""

    def __init__(self, archive: str, packed: int, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.total = 0
        self._most = min(limits.bytes, max(packed * limits.ratio, 1 << 20))
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._count = 0

    def admit(self, member: Member) -> PurePosixPath:
        """Return where a member may go. Raises JobError where it may not."""
        self._count += 1
        if self._count > self.limits.files:
            raise self.refuse(member.name, f"the archive has more than {self.limits.files} members")
        if reason := member.trouble or name_trouble(member.name, self.limits):
            raise self.refuse(member.name, reason)
        path = PurePosixPath(member.name)
        folded = [_folded(p) for p in (path, *path.parents)][:-1]
        self._no_clash(member, folded)
        return path

    def _no_clash(self, member: Member, folded: list[str]) -> None:
        """Refuse a second file of one name, and a file where a folder is, or the other way round."""
        if not folded:  # the archive's own top folder
            return
        own, above = folded[0], folded[1:]
        if own in self._files or (not member.folder and own in self._folders):
            raise self.refuse(member.name, "stands twice in the archive")
        if taken := self._files.intersection(above):
            raise self.refuse(member.name, f"lies below the file {sorted(taken)[0]!r}")
        self._folders.update(above)
        (self._folders if member.folder else self._files).add(own)

    def counted(self, member: Member, data: IO[bytes] | None) -> Iterator[bytes]:
        """Yield a member's bytes while the limits hold."""
        size = 0
        while data and (chunk := data.read(CHUNK)):
            size += len(chunk)
            self.total += len(chunk)
            if size > self.limits.file_bytes or self.total > self._most:
                raise self.refuse(member.name, f"unpacks to more than {min(self.limits.file_bytes, self._most)} bytes")
            yield chunk

    def refuse(self, member: str, reason: str) -> JobError:
        """Make the error for one member."""
        shown = member.encode("unicode_escape").decode()[:120]
        return JobError(Code.BAD_DATA, f"{self.archive}: member '{shown}' {reason}; the archive was not used")


def name_trouble(name: str, limits: Limits = LIMITS) -> str:
    """Say why a member's name is refused, or "".

    >>> name_trouble("a/../../b")
    "climbs out by '..'"
    >>> name_trouble("a/b.png")
    ''
    """
    parts = name.rstrip("/").split("/")
    if not name or name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "is absolute or empty"
    if "\\" in name:
        return "has a backslash"
    if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in name):
        return "has a control character or is not UTF-8"
    if ".." in parts:
        return "climbs out by '..'"
    if "" in parts or "." in parts[1:]:
        return "has an empty or '.' part"
    if len(parts) > limits.depth or len(name.encode()) > limits.name or any(len(p.encode()) > 255 for p in parts):
        return f"is deeper than {limits.depth} folders or too long"
    return ""


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFKC", str(path)).casefold()


@contextmanager
def _legible(name: str) -> Iterator[None]:
    """Turn damage of any kind into one JobError. An error of our own disk stays what it is."""
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        problem = f"{type(error).__name__}: {error}"[:200]
        raise JobError(Code.BAD_DATA, f"{name}: is not a zip or tar archive that can be read ({problem})") from None


def _members(path: Path, name: str) -> Iterator[tuple[Member, IO[bytes] | None]]:
    return _zip(path) if zipfile.is_zipfile(path) and not _is_tar_name(name) else _tar(path)


def _is_tar_name(name: str) -> bool:
    return any(name.lower().endswith(s) for s in SUFFIXES[1:])


def _zip(path: Path) -> Iterator[tuple[Member, IO[bytes] | None]]:
    if _listing_bytes(path) > DIRECTORY:
        raise ValueError(f"its listing is larger than {DIRECTORY >> 20} MiB")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            member = Member(info.orig_filename, info.is_dir(), _zip_trouble(info))
            yield from _with(member, None if member.trouble or member.folder else archive.open(info))


def _listing_bytes(path: Path) -> int:
    """Return the size of the central directory that zipfile would read into memory: the larger of what is claimed."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 22))
        tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        claimed = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
        locator = tail[max(end - 20, 0) : max(end, 0)]
        if not locator.startswith(b"PK\x06\x07"):
            return claimed
        file.seek(min(int.from_bytes(locator[8:16], "little"), 1 << 62))
        large = int.from_bytes(file.read(48)[40:48], "little")
        return large if claimed == 0xFFFF_FFFF else max(claimed, large)


def _zip_trouble(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or device"
    return "is encrypted" if info.flag_bits & 0x1 else ""


def _tar(path: Path) -> Iterator[tuple[Member, IO[bytes] | None]]:
    with _plain(path) as stream, tarfile.open(fileobj=Careful(stream), mode="r:", errorlevel=1) as archive:  # type: ignore[call-overload]
        last = -1
        while (info := archive.next()) is not None:
            archive.members = []  # or a million headers stay in memory
            if info.size < 0 or info.offset <= last:
                raise ValueError("a member has a negative size")
            last = info.offset
            plain = info.isreg() and not info.issparse()
            trouble = "" if plain or info.isdir() else "is a link, device or sparse file"
            member = Member(info.name, info.isdir(), trouble)
            yield from _with(member, archive.extractfile(info) if plain else None)


def _plain(path: Path) -> IO[bytes]:
    """Open a tar archive without its compression, known by its first bytes."""
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.open(path))
    if head.startswith(b"BZh"):
        return cast(IO[bytes], bz2.open(path))
    return cast(IO[bytes], lzma.open(path)) if head.startswith(b"\xfd7zXZ") else path.open("rb")


class Careful:
    """A stream that refuses to be read in one huge piece: a tar header may ask for any size."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Read at most READ_AT_MOST bytes."""
        if not 0 <= size <= READ_AT_MOST:
            raise ValueError(f"a header asks for {size} bytes")
        return self._stream.read(size)


def _with(
    member: Member, data: AbstractContextManager[IO[bytes]] | IO[bytes] | None
) -> Iterator[tuple[Member, IO[bytes] | None]]:
    if data is None:
        yield member, None
        return
    with data as opened:
        yield member, opened
