"""Make the repository that a server is started on, out of a verified artifact and the back ends that the server has.

Where the server has the engine's own back end, the engine becomes a model of its own and the friendly model asks it;
else the Python back end runs it. Nothing of the artifact is changed, and of its files only the code is copied: Triton's
Python writes byte code beside what it imports, whatever its environment says, and an artifact with a file that nobody
vouches for is refused at the next start.
"""

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencontract.codes import Code
from gentrainers.artifact import Opened
from gentrainers.errors import JobError
from gentrainers.serving.backend.engine import SPEC
from gentrainers.serving.repository import native_name

CODE = ("model.py", "genops_backend")


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
    repository = scratch / "repository"
    if native not in backends:
        _friendly(home, repository / model, "config.pbtxt")
        return Laid(repository, model, version, home, spec, None)
    _friendly(home, repository / model, "front.pbtxt")
    _bare(home, repository / native_name(model))
    return Laid(repository, model, version, home, spec, native)


def _friendly(home: Path, folder: Path, config: str) -> None:
    """Lay out the model that Python runs: its code as a copy, all else as links."""
    version = folder / home.name
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_bytes((home.parent / config).read_bytes())
    for path in home.resolve().iterdir():
        if path.name not in CODE:
            (version / path.name).symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, version / path.name)
        else:
            shutil.copyfile(path, version / path.name)


def _bare(home: Path, folder: Path) -> None:
    """Lay out the engine for its own back end."""
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_bytes((home.parent / "native.pbtxt").read_bytes())
    (folder / home.name).symlink_to(home.resolve())
