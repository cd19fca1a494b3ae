"""An s3:// prefix through fsspec.

Credentials are those of the Secret that the source names; without one, what the pod's environment has, as a service
account's, which every S3 client finds by itself.
"""

from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.report import Progress
from gencontract.task import PrepareTask, Source
from gentrainers.artifact import remote_trouble
from gentrainers.data.archive import name_trouble
from gentrainers.data.net import MAX_BYTES
from gentrainers.data.sources.base import Fetched, content_revision, gather, license_of, need, secret_key
from gentrainers.errors import JobError
from gentrainers.pod import Pod


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Copy all objects below the prefix."""
    uri: str = need(task.source, "uri")
    if not uri.startswith("s3://"):
        raise JobError(Code.BAD_CONFIG, f"source.uri {uri!r} is not an s3:// address")
    import fsspec  # with s3fs behind it, only where it is asked for

    endpoint = {"endpoint_url": task.source.endpoint} if task.source.endpoint else {}
    return copy(fsspec.filesystem("s3", **endpoint, **_credentials(task.source)), uri, task, scratch, pod)


def _credentials(source: Source) -> dict[str, str]:
    if not source.secret:
        return {}
    token = secret_key(source, "AWS_SESSION_TOKEN", required=False)
    pair = {"key": secret_key(source, "AWS_ACCESS_KEY_ID"), "secret": secret_key(source, "AWS_SECRET_ACCESS_KEY")}
    return {**pair, "token": token} if token else pair


def copy(filesystem: Any, uri: str, task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Copy a prefix of any fsspec file system to local disk. Raises JobError by what the store answers."""
    folder = scratch / "store"
    try:
        _copy(filesystem, uri, folder, pod)
    except JobError:
        raise
    except Exception as error:
        trouble = remote_trouble(error, uri)
        if trouble is None:
            raise
        raise JobError(trouble.code, f"source.s3.uri {trouble}{_of_secret(task.source, trouble)}") from None
    blobs = gather(folder, scratch, pod)
    return Fetched(content_revision(blobs), license_of(task.source), blobs, about={"kind": "s3"})


def _of_secret(source: Source, trouble: JobError) -> str:
    if trouble.code is not Code.FORBIDDEN:
        return ""
    return f" of the Secret {Path(source.secret).name}" if source.secret else ", or name a Secret in source.secretRef"


def _copy(filesystem: Any, uri: str, folder: Path, pod: Pod) -> None:
    root = str(filesystem._strip_protocol(uri)).rstrip("/")
    found = {k: v for k, v in filesystem.find(root, detail=True).items() if v.get("type") != "directory"}
    if not found:
        raise FileNotFoundError(uri)
    if sum(int(v.get("size") or 0) for v in found.values()) > MAX_BYTES:
        raise JobError(Code.BAD_DATA, f"source.uri {uri} holds more than {MAX_BYTES >> 30} GiB")
    for number, key in enumerate(sorted(found)):
        pod.give_way()
        pod.progress(Progress(stage="downloading", step=number, total=len(found)))
        name = key[len(root) :].lstrip("/") or key.rpartition("/")[2]
        if reason := name_trouble(name):
            raise JobError(Code.BAD_DATA, f"source.uri {uri}: the object {name!r} {reason}")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(key, str(target))
