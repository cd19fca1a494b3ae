"""Writes projected files the way a kubelet does: all of them change at once, by swapping one symbolic link."""

import base64
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genops.local.agent.facts import Json

DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class File:
    """One projected file."""

    content: bytes
    mode: int = DEFAULT_MODE


class MissingKey(Exception):
    """An item names a key that its source does not have."""


Files = Mapping[str, File]


def decoded(obj: Json) -> dict[str, bytes]:
    """Return the data of a ConfigMap or Secret as bytes."""
    plain = obj.get("data") or {}
    if obj.get("kind") == "Secret":
        return {name: base64.b64decode(value) for name, value in plain.items()}
    binary = {name: base64.b64decode(value) for name, value in (obj.get("binaryData") or {}).items()}
    return {**{name: value.encode() for name, value in plain.items()}, **binary}


def chosen(
    data: Mapping[str, bytes], items: Iterable[Json] | None, mode: int, optional: bool = False
) -> dict[str, File]:
    """Return the files for a source's items, or for all of its keys. Raises MissingKey."""
    if not items:
        return {name: File(content, mode) for name, content in data.items()}
    result = {}
    for item in items:
        if item["key"] in data:
            result[item["path"]] = File(data[item["key"]], item.get("mode") or mode)
        elif not optional:
            raise MissingKey(f"references non-existent config key: {item['key']}")
    return result


def write(folder: Path, files: Files) -> bool:
    """Make the folder hold exactly these files, in one step. Says whether anything changed."""
    folder.mkdir(parents=True, exist_ok=True)
    old = _target(folder / "..data")
    if old is not None and _same(old, files):
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    fresh.chmod(0o755)
    for name, file in files.items():
        _write_file(fresh, name, file)
    _swap(folder, fresh.name)
    _link_names(folder, {name.split("/")[0] for name in files})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _write_file(base: Path, name: str, file: File) -> None:
    path = (base / name).resolve()
    if not path.is_relative_to(base.resolve()):
        raise MissingKey(f"path {name} leaves its volume")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(file.mode)


def _swap(folder: Path, name: str) -> None:
    half = folder / "..data_tmp"
    half.unlink(missing_ok=True)
    half.symlink_to(name)
    half.rename(folder / "..data")


def _link_names(folder: Path, names: set[str]) -> None:
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def _target(link: Path) -> Path | None:
    return link.resolve() if link.is_symlink() else None


def _same(folder: Path, files: Files) -> bool:
    present = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    return set(present) == set(files) and all(_equal(present[name], file) for name, file in files.items())


def _equal(path: Path, file: File) -> bool:
    return path.read_bytes() == file.content and os.stat(path).st_mode & 0o7777 == file.mode
