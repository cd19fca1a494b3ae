"""The modalities, by the name that a task's `format` has."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from gencontract.task import Column
from gentrainers.data.formats.base import Format

FORMATS = {"images": "Images", "text": "Text", "music": "Music", "tabular": "Tabular"}


def make(name: str, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> Format[Any]:
    """Build a format; its module is imported only now. Raises JobError(BAD_CONFIG) for wrong options."""
    module = import_module(f"{__name__}.{name}")
    kind: type[Format[Any]] = getattr(module, FORMATS[name])
    return kind(options, columns, key)
