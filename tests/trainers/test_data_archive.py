"""Hostile archives: nothing may land outside, nothing may be followed, memory and disk stay bounded."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gencontract.codes import Code
from gentrainers.data import archive
from gentrainers.errors import JobError

LIMITS = archive.Limits(files=100, bytes=4 << 20, file_bytes=2 << 20, ratio=50, depth=8, name=200)
LINKED = stat.S_IFLNK | 0o777


def zipped(*members: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, kind: int = zipfile.ZIP_STORED) -> bytes:
    """Make a zip archive; names go in as they are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as z:
        for name, data in members:
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr, info.compress_type = name, mode << 16, kind
            z.writestr(info, data)
    return out.getvalue()


def tarred(*members: tarfile.TarInfo | tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Make a tar archive of plain members or of headers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as t:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                t.addfile(member, io.BytesIO(b"\0" * member.size))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                t.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def header(name: str, kind: bytes, link: str = "", size: int = 0) -> tarfile.TarInfo:
    """Make a tar header of some type."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def negative_size() -> bytes:
    """A header whose size is negative in base 256: a reader that trusts it goes round in circles."""
    raw = bytearray(tarred(("a", b"")))
    raw[124:136] = b"\xff" * 4 + struct.pack(">q", -512)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


def pax_header(size: int) -> bytes:
    """A pax header that claims to be huge."""
    raw = bytearray(tarred(header("pax", tarfile.XHDTYPE)))[:512]
    raw[124:136] = b"%011o\0" % size
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw) + b"\0" * 1024


def with_comment_bytes(data: bytes) -> bytes:
    """Say in the end record that the listing is far larger than it is."""
    at = data.rindex(b"PK\x05\x06")
    return data[: at + 12] + struct.pack("<I", 0xFFFFFFF0) + data[at + 16 :]


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """Give the local header another name than the listing has."""
    return data.replace(old, new, 1)


BOMB = b"\0" * (8 << 20)
FIFO, DEVICE, BLOCK = tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE
HOSTILE: list[tuple[str, str, Callable[[], bytes]]] = [
    ("zip: climbs out", "a.zip", lambda: zipped(("../escape", b"x"))),
    ("zip: climbs out deep inside", "a.zip", lambda: zipped(("a/b/../../../escape", b"x"))),
    ("zip: absolute", "a.zip", lambda: zipped(("/tmp/genops-escape", b"x"))),
    ("zip: drive letter", "a.zip", lambda: zipped(("C:/escape", b"x"))),
    ("zip: backslashes", "a.zip", lambda: zipped(("..\\escape", b"x"))),
    ("zip: UNC path", "a.zip", lambda: zipped(("\\\\host\\share", b"x"))),
    ("zip: NUL in a name", "a.zip", lambda: zipped(("good\0/../escape", b"x"))),
    ("zip: line end in a name", "a.zip", lambda: zipped(("a\nb", b"x"))),
    ("zip: empty name", "a.zip", lambda: zipped(("", b"x"))),
    ("zip: dot inside", "a.zip", lambda: zipped(("a/./b", b"x"))),
    ("zip: double slash", "a.zip", lambda: zipped(("a//b", b"x"))),
    ("zip: two dots alone", "a.zip", lambda: zipped(("..", b"x"))),
    ("zip: symbolic link", "a.zip", lambda: zipped(("link", b"/etc/passwd"), mode=LINKED)),
    ("zip: fifo", "a.zip", lambda: zipped(("pipe", b""), mode=stat.S_IFIFO | 0o644)),
    ("zip: device", "a.zip", lambda: zipped(("null", b""), mode=stat.S_IFCHR | 0o666)),
    ("zip: the same name twice", "a.zip", lambda: zipped(("a", b"x"), ("a", b"y"))),
    ("zip: the same name in other case", "a.zip", lambda: zipped(("Straße", b"x"), ("STRASSE", b"y"))),
    ("zip: a file below a file", "a.zip", lambda: zipped(("a", b"x"), ("a/b", b"y"))),
    ("zip: a file where a folder is", "a.zip", lambda: zipped(("a/b", b"x"), ("a", b"y"))),
    ("zip: bomb", "a.zip", lambda: zipped(("bomb", BOMB), kind=zipfile.ZIP_DEFLATED)),
    ("zip: bomb by bzip2", "a.zip", lambda: zipped(("bomb", BOMB), kind=zipfile.ZIP_BZIP2)),
    ("zip: many small bombs", "a.zip", lambda: zipped(*((f"b{i}", BOMB[:200_000]) for i in range(30)), kind=8)),
    ("zip: too many files", "a.zip", lambda: zipped(*((f"f{i}", b"") for i in range(101)))),
    ("zip: too deep", "a.zip", lambda: zipped(("/".join("abcdefghij"), b"x"))),
    ("zip: name too long", "a.zip", lambda: zipped(("n" * 260, b"x"))),
    ("zip: listing claims gigabytes", "a.zip", lambda: with_comment_bytes(zipped(("a", b"x")))),
    ("zip: two names for one member", "a.zip", lambda: renamed(zipped(("good", b"x")), b"good", b"evil")),
    ("zip: cut off", "a.zip", lambda: zipped(("a", b"x" * 5000))[:-300]),
    ("zip: wrong checksum", "a.zip", lambda: renamed(zipped(("a", b"right-bytes")), b"right-bytes", b"wrong-bytes")),
    ("tar: climbs out", "a.tar", lambda: tarred(("../escape", b"x"))),
    ("tar: absolute", "a.tar", lambda: tarred(("/tmp/genops-escape", b"x"))),
    ("tar: symbolic link", "a.tar", lambda: tarred(header("l", tarfile.SYMTYPE, "/etc/passwd"))),
    ("tar: link to the folder above", "a.tar", lambda: tarred(header("l", tarfile.SYMTYPE, ".."), ("l/escape", b"x"))),
    ("tar: hard link", "a.tar", lambda: tarred(header("l", tarfile.LNKTYPE, "/etc/passwd"))),
    ("tar: hard link inside", "a.tar", lambda: tarred(("a", b"x"), header("l", tarfile.LNKTYPE, "a"))),
    ("tar: fifo", "a.tar", lambda: tarred(header("p", FIFO))),
    ("tar: character device", "a.tar", lambda: tarred(header("d", DEVICE))),
    ("tar: block device", "a.tar", lambda: tarred(header("d", BLOCK))),
    ("tar: the same name twice", "a.tar", lambda: tarred(("a", b"x"), ("a", b"y"))),
    ("tar: the same name by a dot", "a.tar", lambda: tarred(("a", b"x"), ("./a", b"y"))),
    ("tar: a file below a file", "a.tar", lambda: tarred(("a", b"x"), ("a/b", b"y"))),
    ("tar: negative size", "a.tar", negative_size),
    ("tar: pax header of 8 GiB", "a.tar", lambda: pax_header((8 << 30) - 1)),
    ("tar: too many files", "a.tar", lambda: tarred(*((f"f{i}", b"") for i in range(101)))),
    ("tar: cut off", "a.tar", lambda: tarred(("a", b"x" * 5000))[:2000]),
    ("tar.gz: bomb", "a.tar.gz", lambda: gzip.compress(tarred(("bomb", BOMB)))),
    ("tar.bz2: bomb", "a.tar.bz2", lambda: bz2.compress(tarred(("bomb", BOMB)))),
    ("tar.xz: bomb", "a.tar.xz", lambda: lzma.compress(tarred(("bomb", BOMB)))),
    ("tar.gz: cut off", "a.tgz", lambda: gzip.compress(tarred(("a", os.urandom(9000))))[:-2000]),
    ("tar.gz: not gzip", "a.tgz", lambda: b"\x1f\x8b" + b"junk" * 50),
    ("not an archive", "a.zip", lambda: b"hello" * 100),
    ("empty", "a.tar", lambda: b""),
]


@pytest.mark.parametrize(("name", "make"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_a_hostile_archive_is_refused_and_leaves_nothing_outside(
    name: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    source = tmp_path / "in" / name
    source.parent.mkdir()
    source.write_bytes(make())
    target = tmp_path / "deep" / "er" / "out"
    with pytest.raises(JobError) as caught:
        archive.unpack(source, target, name, LIMITS)
    assert caught.value.code is Code.BAD_DATA
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and p != source and not p.is_relative_to(target)]
    assert not outside
    assert not Path("/tmp/genops-escape").exists()
    assert all(not p.is_symlink() and (p.is_file() or p.is_dir()) for p in target.rglob("*"))
    assert sum(p.stat().st_size for p in target.rglob("*") if p.is_file()) <= LIMITS.bytes


def test_there_are_enough_hostile_archives() -> None:
    assert len(HOSTILE) >= 30


HONEST: list[tuple[str, Callable[[], bytes]]] = [
    ("a.zip", lambda: zipped(("cats/", b""), ("cats/1.txt", b"one"), ("dogs/ü.txt", b"two"), kind=8)),
    ("a.tar", lambda: tarred(header("./", tarfile.DIRTYPE), ("./cats/1.txt", b"one"), ("dogs/ü.txt", b"two"))),
    ("a.tar.gz", lambda: gzip.compress(tarred(("cats/1.txt", b"one"), ("dogs/ü.txt", b"two")))),
    ("a.tar.xz", lambda: lzma.compress(tarred(("cats/1.txt", b"one"), ("dogs/ü.txt", b"two")))),
    ("a.tbz2", lambda: bz2.compress(tarred(("cats/1.txt", b"one"), ("dogs/ü.txt", b"two"), form=tarfile.GNU_FORMAT))),
]


@pytest.mark.parametrize(("name", "make"), HONEST, ids=[h[0] for h in HONEST])
def test_an_honest_archive_is_unpacked(name: str, make: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(make())
    archive.unpack(tmp_path / name, tmp_path / "out", name, LIMITS)
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.txt")}
    assert found == {"cats/1.txt": b"one", "dogs/ü.txt": b"two"}
