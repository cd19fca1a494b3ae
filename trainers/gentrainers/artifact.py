"""Artifacts: folders that are handed from one step to the next, named by a digest.

An artifact is a folder with a `manifest.json` in canonical JSON that lists every other file with size and SHA-256; the
SHA-256 of the manifest itself is the artifact's digest. The manifest is written last, so that a folder without one is
not an artifact, whatever else lies in it. Locations are local paths or fsspec URLs (s3://..., memory://...).

This module knows files and digests. It must not know what is in them.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.layout import MANIFEST, SIGNATURE
from gencontract.wire import canonical
from gentrainers import signatures
from gentrainers.errors import JobError

CHUNK = 1 << 20
NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError"}


@dataclass(frozen=True)
class Opened:
    """An artifact on local disk whose files were checked. `body` is what its writer put in the manifest."""

    path: Path
    kind: str
    body: dict[str, Any]
    digest: str


def sha256_file(path: Path) -> str:
    """Hash a file as `sha256:<hex>`."""
    with path.open("rb") as f:
        return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Hash bytes as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@contextmanager
def writing(uri: str, kind: str, body: dict[str, Any]) -> Iterator[Path]:
    """Give a scratch folder; when the block ends well, seal it with a manifest and put it at `uri`.

    The block may change `body` until its end. A block that raises leaves nothing at `uri`. An artifact of that kind
    that stood at `uri` before is replaced only after the new folder is whole; anything else is never replaced.
    Raises JobError(STORE_FULL) when the disk is full, and as `check_place` does.
    """
    check_place(uri, kind)
    target = None if is_remote(uri) else local_path(uri)
    with store_errors(uri):
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent if target else None))
    try:
        with store_errors(uri):
            yield scratch
            seal(scratch, kind, body)
            signatures.sign(scratch, kind)
            if target:
                _replace(scratch, target)
            else:
                _upload(scratch, uri)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_place(uri: str, kind: str) -> None:
    """See that an artifact of a kind may be written to `uri`: nothing is there, or one of its kind.

    Raises JobError(BAD_CONFIG) for another artifact or a folder of other files, since a write takes their place.
    """
    names = listing(uri)
    if not names:
        return
    found = _kind_at(uri) if MANIFEST in names else f"folder with {names[0]} in it"
    if found != kind:
        raise JobError(Code.BAD_CONFIG, f"{uri} holds a {found}, which a {kind} would replace; name another place")


def _kind_at(uri: str) -> str:
    with store_errors(uri):
        try:
            return str(json.loads(_manifest_at(uri))["kind"])
        except (ValueError, KeyError, TypeError):
            return f"{MANIFEST} that cannot be read"


def _manifest_at(uri: str) -> bytes:
    if not is_remote(uri):
        return (local_path(uri) / MANIFEST).read_bytes()
    filesystem, root = _filesystem(uri)
    return bytes(filesystem.cat_file(f"{root}/{MANIFEST}"))


def seal(folder: Path, kind: str, body: dict[str, Any]) -> str:
    """Write the manifest of a folder, all files synced to disk first, and return the digest."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name in (MANIFEST, SIGNATURE):
            continue
        _fsync(path)
        files.append({"path": name, "bytes": path.stat().st_size, "sha256": sha256_file(path)})
    data = canonical({"kind": kind, "files": files, "body": body})
    temporary = folder / (MANIFEST + ".tmp")
    temporary.write_bytes(data)
    _fsync(temporary)
    temporary.rename(folder / MANIFEST)
    return sha256_bytes(data)


def digest_of(uri: str) -> str:
    """Return the digest of the artifact at `uri` without checking its files."""
    return sha256_bytes(_read_manifest(fetch(uri), uri))


def open_artifact(uri: str, kind: str, digest: str | None = None) -> Opened:
    """Open an artifact and check every file against its manifest, and the manifest against `digest`.

    Raises JobError: MISSING_INPUT where there is none, DIGEST_MISMATCH that names the file (also one that the manifest
    does not list: beside a model it would be code that nobody vouches for), BAD_DATA for another kind.
    """
    folder = fetch(uri)
    data = _read_manifest(folder, uri)
    found = sha256_bytes(data)
    if digest and found != digest:
        raise _mismatch(f"{uri}/{MANIFEST}", found, digest)
    try:
        manifest = json.loads(data)
        listed = [(str(f["path"]), str(f["sha256"])) for f in manifest["files"]]
        body, found_kind = dict(manifest["body"]), str(manifest["kind"])
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(Code.BAD_DATA, f"{uri}/{MANIFEST} is not a manifest ({error}); make it again") from None
    if found_kind != kind:
        raise JobError(Code.BAD_DATA, f"{uri} holds a {found_kind}, wanted is a {kind}")
    _no_strangers(folder, {name for name, _ in listed}, uri)
    for name, sha in listed:
        _check_file(folder, name, sha, uri)
    signatures.verify(folder, kind, uri)
    return Opened(folder, kind, body, found)


def _no_strangers(folder: Path, listed: set[str], uri: str) -> None:
    """Refuse what lies in an artifact and is not in its manifest: files, links to folders, anything."""
    for place, folders, files in os.walk(folder):
        links = [f for f in folders if Path(place, f).is_symlink()]
        found = {Path(place, name).relative_to(folder).as_posix() for name in (*files, *links)}
        if strange := sorted(found - listed - {MANIFEST, SIGNATURE}):
            detail = f"{uri}/{strange[0]} is not in the manifest, so nobody vouches for it"
            raise JobError(Code.DIGEST_MISMATCH, f"{detail}; remove it, or make the artifact again")


def _check_file(folder: Path, name: str, sha: str, uri: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise JobError(Code.BAD_DATA, f"{uri}/{MANIFEST} names {name!r}, which is outside the artifact")
    if not path.is_file():
        raise JobError(Code.MISSING_INPUT, f"{uri}/{name} is listed in the manifest and missing; make it again")
    found = sha256_file(path)
    if found != sha:
        raise _mismatch(f"{uri}/{name}", found, sha)


def _mismatch(what: str, found: str, recorded: str) -> JobError:
    return JobError(Code.DIGEST_MISMATCH, f"{what} has digest {found}, recorded was {recorded}; make it again")


def is_remote(uri: str) -> bool:
    """Say whether a location needs fsspec."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Turn a path or a file:// URL into a path."""
    return Path(uri.removeprefix("file://"))


def fetch(uri: str) -> Path:
    """Return a local folder that holds what is at `uri`; a remote one is cached by its manifest."""
    if not is_remote(uri):
        return local_path(uri)
    filesystem, root = _filesystem(uri)
    with store_errors(uri):
        if not filesystem.exists(f"{root}/{MANIFEST}"):
            raise JobError(Code.MISSING_INPUT, f"{uri} has no {MANIFEST}: nothing finished was written there")
        name = hashlib.sha256(uri.encode() + filesystem.cat_file(f"{root}/{MANIFEST}")).hexdigest()
        cache = Path(os.environ.get("XDG_CACHE_HOME", tempfile.gettempdir())) / "genops-artifacts" / name
        if not (cache / MANIFEST).exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".fetching-", dir=cache.parent))
            filesystem.get(root + "/", str(scratch) + "/", recursive=True)
            _replace(scratch, cache)
    return cache


def remove(uri: str) -> None:
    """Remove whatever is at `uri`; nothing there is fine."""
    if is_remote(uri):
        filesystem, root = _filesystem(uri)
        with store_errors(uri):
            if filesystem.exists(root):
                filesystem.rm(root, recursive=True)
        return
    shutil.rmtree(local_path(uri), ignore_errors=True)


def erase(uri: str) -> None:
    """Remove a folder with all that is below it, what makes it an artifact first. Nothing there is fine.

    Raises JobError, or OSError of our own disk, where something is left: unlike `remove`, which tidies up.
    """
    with store_errors(uri):
        if is_remote(uri):
            _erase_remote(uri)
            return
        folder = local_path(uri)
        for manifest in sorted(folder.rglob(MANIFEST)):
            manifest.unlink()
        if folder.exists():
            shutil.rmtree(folder)


def _erase_remote(uri: str) -> None:
    filesystem, root = _filesystem(uri)
    try:
        found = [str(name) for name in filesystem.find(root)]
    except FileNotFoundError:
        return  # the bucket has gone, and everything with it
    for name in (n for n in found if n.rpartition("/")[2] == MANIFEST):
        filesystem.rm_file(name)
    if found:
        filesystem.rm(root, recursive=True)


def listing(uri: str) -> list[str]:
    """Name what lies at a location; nothing where there is no such folder."""
    if is_remote(uri):
        filesystem, root = _filesystem(uri)
        with store_errors(uri):
            found = filesystem.ls(root, detail=False) if filesystem.exists(root) else []
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)
    folder = local_path(uri)
    with store_errors(uri):
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def _read_manifest(folder: Path, uri: str) -> bytes:
    try:
        return (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise JobError(Code.MISSING_INPUT, f"{uri} has no {MANIFEST}: nothing finished was written there") from None


def _replace(scratch: Path, target: Path) -> None:
    """Put a whole folder in the place of another: rename the old one away, the new one in, then remove the old."""
    old = target.with_name(f".old-{target.name}-{os.getpid()}")
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    target.chmod(0o755)
    _fsync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _upload(folder: Path, uri: str) -> None:
    """Upload all files, the manifest last; an old manifest goes first, so that a half-done upload is no artifact."""
    filesystem, root = _filesystem(uri)
    if filesystem.exists(f"{root}/{MANIFEST}"):
        filesystem.rm_file(f"{root}/{MANIFEST}")
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        filesystem.put_file(str(path), f"{root}/{path.relative_to(folder).as_posix()}")
    filesystem.put_file(str(folder / MANIFEST), f"{root}/{MANIFEST}")


def _filesystem(uri: str) -> tuple[Any, str]:
    import fsspec  # only remote stores need it

    with store_errors(uri):
        filesystem, root = fsspec.core.url_to_fs(uri)
    return filesystem, str(root).rstrip("/")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn a full, forbidden or absent store into the JobError that decides about a retry."""
    try:
        yield
    except JobError:
        raise
    except Exception as error:
        trouble = _disk_trouble(error, uri) or (remote_trouble(error, uri) if is_remote(uri) else None)
        if trouble is None:
            raise
        raise trouble from error


def _disk_trouble(error: Exception, uri: str) -> JobError | None:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JobError(Code.STORE_FULL, f"{uri} is on a store without room; free some or make it larger")
    if isinstance(error, PermissionError) and not is_remote(uri):
        return JobError(Code.FORBIDDEN, f"{uri} may not be opened: {error}; check its owner and mode")
    if isinstance(error, (NotADirectoryError, FileExistsError)) and not is_remote(uri):
        path = Path(error.filename or uri)
        file = next((p for p in (path, *path.parents) if p.is_file()), path)
        return JobError(Code.BAD_CONFIG, f"{file} is a file where a folder is needed; name another place")
    return None


def remote_trouble(error: Exception, uri: str) -> JobError | None:
    """Say what an error of a remote store means for a retry; None for an error that is not a store's.

    Stores are known by what fsspec makes of their answers, and botocore, which imports nothing of Python's own errors,
    by the names of its classes.
    """
    names, said = {c.__name__ for c in type(error).__mro__}, str(error).rstrip(".")
    if isinstance(error, OSError) and error.filename:
        return None  # our own disk
    if isinstance(error, PermissionError) or _http_status(error) in (401, 403) or names & NO_CREDENTIALS:
        keys = "check the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if uri.startswith("s3://") else "check them"
        return JobError(Code.FORBIDDEN, f"{uri} may not be opened with the pod's credentials: {said}; {keys}")
    if isinstance(error, FileNotFoundError):
        return JobError(Code.MISSING_INPUT, f"{uri} does not exist: {said}; make the bucket, or mend the address")
    if isinstance(error, OSError) or "BotoCoreError" in names:
        return JobError(Code.SOURCE_UNAVAILABLE, f"{uri} did not answer: {said}")
    return None


def _http_status(error: Exception) -> int:
    """The HTTP status behind an error for which fsspec has no name, as that of a store with error codes of its own."""
    reply = getattr(error.__cause__, "response", None) or {}
    return int(reply.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0) if isinstance(reply, dict) else 0
