"""Labels, captions, licences and keys of files: from `metadata.csv` or `metadata.jsonl` beside them, or by folder.

The file has a column `file` (a path as the source has it) and any of `label`, `caption`, `license`, and the split key.
Must not know formats.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from gencontract.codes import Code
from gentrainers.data import rows
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.errors import JobError

NAMES = ("metadata.csv", "metadata.jsonl")
FILE = "file"


class Metadata:
    """What is said of each file, by its name."""

    def __init__(self, about: Mapping[str, Mapping[str, str]], by_folder: bool, key: str | None) -> None:
        self._about, self._by_folder, self._key = about, by_folder, key

    def apply(self, sample: Sample, blob: Blob) -> None:
        """Put what is said of a file onto a sample of it; a sample's own words come first."""
        said = self._about.get(blob.name, {})
        sample.label = sample.label or said.get("label") or (self._folder(blob) if not self._about else None)
        sample.caption = sample.caption or said.get("caption")
        sample.license = sample.license or said.get("license")
        if sample.key is None and self._key:
            sample.key = said.get(self._key)

    def _folder(self, blob: Blob) -> str | None:
        folder = PurePosixPath(blob.name).parent.name
        return folder if self._by_folder and folder else None


def read(blobs: Sequence[Blob], by_folder: bool, key: str | None) -> Metadata:
    """Read the metadata files among the blobs. Raises JobError for a line without a file, or of a file not there."""
    present = {b.name for b in blobs}
    about: dict[str, Mapping[str, str]] = {}
    for blob in blobs:
        if PurePosixPath(blob.name).name in NAMES:
            about |= _read(blob, present)
    return Metadata(about, by_folder, key)


def is_metadata(blob: Blob) -> bool:
    """Say whether a file is not data but says something of it."""
    return PurePosixPath(blob.name).name in NAMES


def _read(blob: Blob, present: set[str]) -> dict[str, dict[str, str]]:
    folder = PurePosixPath(blob.name).parent
    found: dict[str, dict[str, str]] = {}
    for where, row in rows.read(blob):
        if isinstance(row, Reject):
            raise JobError(Code.BAD_DATA, str(row))
        if not row.get(FILE):
            raise JobError(Code.BAD_DATA, f"{where}: the column {FILE!r} is missing or empty")
        name = (folder / str(row[FILE])).as_posix()
        if name not in present:
            raise JobError(Code.MISSING_INPUT, f"{where}: the file {row[FILE]!r} is not there")
        found[name] = {k: str(v) for k, v in row.items() if k != FILE and v not in (None, "")}
    return found
