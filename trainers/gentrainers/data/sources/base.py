"""What a source hands over, and what all sources that bring files share."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.report import Progress
from gencontract.task import Source
from gentrainers import artifact
from gentrainers.data import archive
from gentrainers.data.sample import Blob, Sample
from gentrainers.errors import JobError
from gentrainers.pod import Pod


@dataclass(frozen=True)
class Fetched:
    """Raw data at hand: `blobs` on local disk, or `samples` (values) or `records` (rows) that a source yields."""

    revision: str
    license: str | None = None
    blobs: tuple[Blob, ...] = ()
    samples: Callable[[], Iterator[Sample]] | None = None
    records: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]] | None = None
    about: dict[str, Any] = field(default_factory=dict)  # goes into the body's `source`
    body: dict[str, Any] = field(default_factory=dict)  # what a built-in set says of its own data
    draws: bool = False  # samples are independent draws, so that equal ones are no duplicates


def need(source: Source, field_name: str) -> Any:
    """Return a field that this kind of source needs. Raises JobError(BAD_CONFIG) where it is empty."""
    value = getattr(source, field_name)
    if not value:
        raise JobError(Code.BAD_CONFIG, f"source.{field_name} is empty, and source.kind {source.kind} needs it")
    return value


def secret_key(source: Source, key: str, required: bool = True) -> str:
    """Read one key of the source's Secret; empty where it need not be there. No message ever holds a value."""
    folder = Path(source.secret or "")
    try:
        return (folder / key).read_text().strip()
    except FileNotFoundError:
        if not required:
            return ""
        has = ", ".join(sorted(p.name for p in folder.glob("[!.]*"))) or "none"
        what = f"source.secretRef: the Secret {folder.name} has no key {key}"
        raise JobError(Code.BAD_CONFIG, f"{what}, which source.kind {source.kind} needs; its keys: {has}") from None


def gather(root: Path, scratch: Path, pod: Pod) -> tuple[Blob, ...]:
    """List all files below a folder (or the one file) in order of their names, archives unpacked below `scratch`.

    Hidden files are left out. A link is followed only where it stays inside. Raises JobError for a link that leaves,
    and for what cannot be read.
    """
    files = [root] if root.is_file() else sorted(_walk(root))
    base = root.parent if root.is_file() else root
    found: list[Blob] = []
    for number, path in enumerate(files):
        name = path.relative_to(base).as_posix()
        _check(path, base, name)
        if archive.is_archive(name):
            found += _unpacked(path, name, scratch / f"archive-{number}", pod)
        else:
            found.append(Blob(name, path))
    return tuple(sorted(found, key=lambda b: b.name))


def _walk(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise JobError(Code.FORBIDDEN, f"{error.filename} cannot be read: {error.strerror}; check its owner and mode")

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(folder, f) for f in files if not f.startswith("."))


def _check(path: Path, base: Path, name: str) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(base.resolve()):
        raise JobError(Code.FORBIDDEN, f"{name} is a link that leaves the source; put the file itself there")
    if not path.is_file():
        raise JobError(Code.BAD_DATA, f"{name} is not a plain file")
    if not os.access(path, os.R_OK):
        raise JobError(Code.FORBIDDEN, f"{name} cannot be read; check its owner and mode")


def _unpacked(path: Path, name: str, into: Path, pod: Pod) -> list[Blob]:
    def tick() -> None:
        pod.give_way()
        pod.progress(Progress(stage="unpacking"))

    archive.unpack(path, into, name, tick=tick)
    stem = name[: -max((len(s) for s in archive.SUFFIXES if name.lower().endswith(s)), default=0)]
    inside = [p for p in sorted(into.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    return [Blob(f"{stem}/{p.relative_to(into).as_posix()}", p) for p in inside]


def content_revision(blobs: tuple[Blob, ...]) -> str:
    """Name files by their content alone: the digest of their sorted digests, whatever they are called."""
    digests = sorted({artifact.sha256_file(b.path) for b in blobs})
    return "sha256:" + hashlib.sha256("\n".join(digests).encode()).hexdigest()


def license_of(source: Source, own: str | None = None) -> str | None:
    """Return the licence that the owner stated, or the source's own."""
    return source.license or own
