"""A folder or file on local disk, which in a pod is a mounted claim."""

from pathlib import Path

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data.sources.base import Fetched, content_revision, gather, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """List what is there."""
    root = Path(need(task.source, "path").removeprefix("file://"))
    try:
        present = root.exists()
    except PermissionError as error:
        raise JobError(Code.FORBIDDEN, f"source.path {root} cannot be opened: {error.strerror}") from None
    if not present:
        raise JobError(Code.MISSING_INPUT, f"source.path {root} does not exist; check the path and the mounted claim")
    blobs = gather(root, scratch)
    return Fetched(content_revision(blobs), license_of(task.source), blobs, about={"kind": "path"})
