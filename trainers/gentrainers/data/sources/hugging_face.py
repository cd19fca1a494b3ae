"""A dataset of the Hugging Face hub through the hub's own library, which is imported only where it is asked for."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data.sources.base import Fetched, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Stream the rows of one split at one revision."""
    name: str = need(task.source, "name")
    if not NAME.fullmatch(name):
        raise JobError(Code.BAD_CONFIG, f"source.name {name!r} is not owner/repository")
    try:
        import datasets
    except ModuleNotFoundError:
        hint = "this image has no package `datasets`; install it, or download the files and use source.kind path"
        raise JobError(Code.UNSUPPORTED, f"source.kind huggingFace: {hint}") from None
    return take(datasets.load_dataset, task, name, _commit(name, task.source.revision or "main"))


def _commit(name: str, revision: str) -> str:
    """Return the commit that a branch or tag stands for now, so that what is recorded does not move."""
    hub: Any = import_module("huggingface_hub")  # what `datasets` itself stands on
    try:
        return str(hub.HfApi().dataset_info(name, revision=revision).sha or revision)
    except Exception as error:
        raise JobError(Code.SOURCE_UNAVAILABLE, f"source.name {name} at {revision}: {_first(error)}") from None


def take(load: Any, task: PrepareTask, name: str, revision: str) -> Fetched:
    """Open a dataset by the library's load function and describe it. Its code is never run: no remote scripts."""
    split = task.source.split or "train"
    try:
        found = load(name, split=split, revision=revision, streaming=True, trust_remote_code=False)
    except (FileNotFoundError, ValueError) as error:
        raise JobError(Code.MISSING_INPUT, f"source.name {name} ({split}, {revision}): {_first(error)}") from None
    except (OSError, ConnectionError) as error:
        raise JobError(Code.SOURCE_UNAVAILABLE, f"source.name {name}: {_first(error)}") from None
    info = getattr(found, "info", None)
    own = getattr(info, "license", None) or None
    about = {"kind": "huggingFace", "name": name, "split": split}
    license_ = license_of(task.source, own)
    return Fetched(revision, license_, records=lambda: rows(found, name), about=about)


def rows(found: Iterable[Mapping[str, Any]], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Number the rows, and write classes by name."""
    labels = getattr((getattr(found, "features", None) or {}).get("label"), "names", None)
    for number, row in enumerate(found):
        if labels and isinstance(row.get("label"), int) and row["label"] >= 0:
            row = {**row, "label": labels[row["label"]]}
        yield f"{name} row {number}", row


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
