"""The one way a job says that it cannot go on.

A JobError carries the exit code that decides about retries, and a message for people: what is wrong, where, which
input, and what to do. Anything else that is raised counts as a crash.
"""

from gencontract.codes import Code


class JobError(Exception):
    """A job ended for a reason that is known. `code` is its exit code, `str(error)` the message for people."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
