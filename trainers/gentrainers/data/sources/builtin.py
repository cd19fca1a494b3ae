"""The sets that come with ordinary packages or are made here, by `source.name`."""

import difflib
from importlib import import_module
from pathlib import Path
from typing import cast

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data.sources.base import Fetched, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod

# name: (module in `builtin`, format)
SETS = {
    "digits": ("digits", "images"),
    "sprites": ("sprites", "images"),
    "markov": ("markov", "text"),
    "shakespeare": ("literature", "text"),
    "opticks": ("literature", "text"),
    "chorales": ("chorales", "music"),
    "arpeggios": ("arpeggios", "music"),
}


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Make or load a set. Raises JobError(BAD_CONFIG) that lists the sets for a name that is none."""
    name: str = need(task.source, "name")
    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise JobError(
            Code.BAD_CONFIG, f"source.name {name!r} is not a built-in set; there are {', '.join(SETS)}{hint}"
        )
    module, kind = SETS[name]
    if task.format != kind:
        raise JobError(Code.BAD_CONFIG, f"format is {task.format}, the built-in set {name} is of format {kind}")
    found = cast(Fetched, import_module(f"gentrainers.data.builtin.{module}").fetch(task, scratch, pod))
    about = {"kind": "builtin", "name": name, **found.about}
    return Fetched(
        found.revision,
        license_of(task.source, found.license),
        blobs=found.blobs,
        samples=found.samples,
        about=about,
        body=found.body,
        draws=found.draws,
    )
