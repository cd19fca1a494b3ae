"""Make the repository that a server is started on, out of a verified artifact and the back ends that the server has.

Where the server has the engine's own back end, the engine becomes a model of its own and the friendly model asks it;
else the artifact is served as it lies, by the Python back end. Nothing of the artifact is changed or copied.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gentrainers.artifact import Opened
from gentrainers.errors import JobError
from gentrainers.serving.backend.engine import SPEC
from gentrainers.serving.repository import native_name


@dataclass(frozen=True)
class Laid:
    """A repository to start a server on."""

    path: Path
    model: str
    version: str
    home: Path  # folder of the version, in the artifact
    spec: dict[str, Any]
    native: str | None  # the back end that runs the engine; None is the Python back end


def lay(opened: Opened, backends: Collection[str], scratch: Path) -> Laid:
    """Choose how the engine is run, and lay the repository out."""
    model, version = str(opened.body.get("model", "")), str(opened.body.get("version", ""))
    home = opened.path / model / version
    if not (home / SPEC).is_file():
        raise JobError(Code.BAD_DATA, f"{opened.path} has no {model}/{version}/{SPEC}; make it again by optimize")
    spec = json.loads((home / SPEC).read_text())
    native = (spec.get("native") or {}).get("backend")
    if native not in backends:
        return Laid(opened.path, model, version, home, spec, None)
    return Laid(_native(home, model, scratch / "repository"), model, version, home, spec, native)


def _native(home: Path, model: str, repository: Path) -> Path:
    for name, config in ((model, "front.pbtxt"), (native_name(model), "native.pbtxt")):
        (repository / name).mkdir(parents=True)
        (repository / name / "config.pbtxt").write_bytes((home.parent / config).read_bytes())
        (repository / name / home.name).symlink_to(home.resolve())
    return repository
