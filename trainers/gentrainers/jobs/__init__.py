"""The verbs: one module per verb, each with `run(task, pod) -> Report`, imported only when it is asked for.

Adding a verb is adding a file here and a task to gencontract.
"""

from importlib import import_module
from typing import cast

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.pod import Job

VERBS = ("prepare", "sweep", "train", "evaluate", "tally", "optimize", "serve", "drift")


def job(verb: str) -> Job:
    """Return the job for a verb. Raises JobError(UNSUPPORTED) where this image has none."""
    if verb not in VERBS:
        raise JobError(Code.UNSUPPORTED, f"verb {verb!r} is not known; known are {', '.join(VERBS)}")
    try:
        module = import_module(f"{__name__}.{verb}")
    except ModuleNotFoundError as error:
        raise JobError(Code.UNSUPPORTED, f"{verb}: this image has no module {error.name!r}") from error
    return cast(Job, module.run)
