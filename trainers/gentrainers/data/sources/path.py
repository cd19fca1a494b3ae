"""A folder or file on local disk, which in a pod is a mounted claim."""

from pathlib import Path

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.artifact import is_remote, local_path
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
    if not is_remote(task.output) and local_path(task.output).resolve().is_relative_to(root.resolve()):
        raise JobError(Code.BAD_CONFIG, "output lies inside source.path: the next run would read it; put it elsewhere")
    blobs = gather(root, scratch, pod)
    return Fetched(content_revision(blobs), license_of(task.source), blobs, about={"kind": "path"})
