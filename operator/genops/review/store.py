"""Read the deck and its samples where the report lies. Every byte is checked against the digest in the evaluation.

Knows files and digests. It must not know people, pages or what is compared.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gencontract.deck import DECK, Deck, Media
from gencontract.layout import MANIFEST
from genops.review.errors import ReviewError

LARGEST = 64 << 20  # bytes of one file
Read = Callable[[str], bytes]  # a file of the report, by its name


class Report:
    """The report of one evaluation."""

    def __init__(self, uri: str, digest: str, read: Read) -> None:
        self._uri, self._read = uri, read
        manifest = self._checked(MANIFEST, digest)
        try:
            listed = json.loads(manifest)["files"]
            self._digests = {str(f["path"]): str(f["sha256"]) for f in listed}
            self.deck = Deck.model_validate_json(self._file(DECK))
        except (ValueError, KeyError, TypeError) as error:
            raise ReviewError(f"{uri} holds no deck that can be read: {error}") from None

    def sample(self, number: int, side: str, rater: str, media: Media) -> bytes:
        """Read what stands at A or B of a card for a person."""
        card = self.deck.cards[number]
        first = (side == "a") is self.deck.first_is_a(rater, number)
        return self._file(f"{card.first if first else card.second}.{media}")

    def _file(self, name: str) -> bytes:
        if name not in self._digests:
            raise ReviewError(f"{self._uri} holds no {name}; evaluate again with spec.human", 404)
        return self._checked(name, self._digests[name])

    def _checked(self, name: str, digest: str) -> bytes:
        try:
            data = self._read(name)
        except OSError as error:
            raise ReviewError(f"{self._uri}/{name} cannot be read: {error.strerror or error}") from None
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != digest:
            raise ReviewError(f"{self._uri}/{name} has digest {found}, recorded was {digest}; evaluate again")
        return data


def from_folder(folder: Path) -> Read:
    """Read from a folder of this machine, and nothing outside of it."""

    def read(name: str) -> bytes:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ReviewError(f"{name!r} lies outside of the report")
        if path.stat().st_size > LARGEST:
            raise ReviewError(f"{path} is larger than {LARGEST} bytes")
        return path.read_bytes()

    return read


def from_url(uri: str) -> Read:
    """Read from a store that fsspec opens, as s3://..."""
    try:
        import fsspec
    except ModuleNotFoundError:
        raise ReviewError(f"{uri} needs fsspec and its driver: pip install s3fs, gcsfs or adlfs") from None
    filesystem, root = fsspec.core.url_to_fs(uri)

    def read(name: str) -> bytes:
        data: Any = filesystem.cat_file(f"{root.rstrip('/')}/{name}")
        return bytes(data)

    return read
