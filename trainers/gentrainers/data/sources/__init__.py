"""The kinds of place that raw data comes from, by the name that a task's `source.kind` has.

A source brings files to local disk (or yields samples, where it makes them) and says which revision that was. It must
not know formats. A new kind is one file here with `fetch(source, scratch, pod) -> Fetched`.
"""

from importlib import import_module
from pathlib import Path
from typing import cast

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data.sources.base import Fetched
from gentrainers.errors import JobError
from gentrainers.pod import Pod

KINDS = {
    "builtin": "builtin",
    "path": "path",
    "http": "http",
    "s3": "s3",
    "git": "git",
    "huggingFace": "hugging_face",
    "capture": "capture",
}


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Bring the raw data here. Raises JobError where there is none, or it may not be had."""
    kind = task.source.kind
    if kind not in KINDS:
        message = f"source.kind {kind!r} is not supported; use {', '.join(KINDS)}, or mount the image and use path"
        raise JobError(Code.UNSUPPORTED, message)
    if task.source.secret and kind != "s3":
        message = f"source.secretRef is read with s3 alone, not with {kind}; leave it out, or name keys in template.env"
        raise JobError(Code.UNSUPPORTED, message)
    module = import_module(f"{__name__}.{KINDS[kind]}")
    return cast(Fetched, module.fetch(task, scratch, pod))
