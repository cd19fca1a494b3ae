"""The one table of exit codes: what a pod's end means, and whether it is worth another try.

The operator renders it into Job podFailurePolicy rules, the trainers exit by it, the reference page prints it.
Codes 64 to 78 are permanent (the same input would end the same way), in the spirit of sysexits.h.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Retry(Enum):
    """What the operator does about a pod that ended so."""

    NEVER = "never"  # the same input ends the same way: fail the run
    COUNTED = "counted"  # try again, against the retry limit
    FREE = "free"  # try again, not counted: nothing was wrong with the run


class Code(IntEnum):
    """How a pod of ours ends."""

    DONE = 0
    CRASHED = 1
    BAD_CONFIG = 64
    BAD_DATA = 65
    MISSING_INPUT = 66
    DIGEST_MISMATCH = 67
    NO_DEVICE = 68
    BAD_SIGNATURE = 69
    NON_FINITE = 70
    OUT_OF_MEMORY = 71
    CHECK_BLOCKED = 72
    WRONG_CHECKPOINT = 73
    NO_ENGINE = 74
    OUT_OF_TOLERANCE = 75
    FORBIDDEN = 77
    UNSUPPORTED = 78
    STORE_FULL = 80
    SOURCE_UNAVAILABLE = 81
    STALLED = 82
    KILLED = 137
    PREEMPTED = 143


@dataclass(frozen=True)
class Meaning:
    """One row of the table."""

    code: Code
    reason: str  # CamelCase, used as a condition reason
    retry: Retry
    says: str  # one line for people


TABLE: dict[Code, Meaning] = {
    m.code: m
    for m in (
        Meaning(Code.DONE, "Done", Retry.NEVER, "The job did what it was asked"),
        Meaning(Code.CRASHED, "Crashed", Retry.COUNTED, "The process ended by an error that no rule knows"),
        Meaning(Code.BAD_CONFIG, "BadConfig", Retry.NEVER, "A field of the task is wrong; the message names it"),
        Meaning(Code.BAD_DATA, "BadData", Retry.NEVER, "An input is corrupt or empty; the message names the file"),
        Meaning(Code.MISSING_INPUT, "MissingInput", Retry.NEVER, "A named input does not exist"),
        Meaning(Code.DIGEST_MISMATCH, "DigestMismatch", Retry.NEVER, "A file is not the one that was recorded"),
        Meaning(Code.NO_DEVICE, "NoDevice", Retry.NEVER, "The accelerator asked for is not there"),
        Meaning(Code.BAD_SIGNATURE, "BadSignature", Retry.NEVER, "The signature asked for is missing or does not hold"),
        Meaning(Code.NON_FINITE, "NonFinite", Retry.NEVER, "The loss stayed infinite or NaN after three reloads"),
        Meaning(Code.OUT_OF_MEMORY, "OutOfMemory", Retry.NEVER, "The same batch would not fit again"),
        Meaning(Code.CHECK_BLOCKED, "CheckBlocked", Retry.NEVER, "A dataset check with action Block did not pass"),
        Meaning(
            Code.WRONG_CHECKPOINT, "WrongCheckpoint", Retry.NEVER, "The checkpoint belongs to another model or data"
        ),
        Meaning(Code.NO_ENGINE, "NoEngine", Retry.NEVER, "No runtime asked for could be built here"),
        Meaning(Code.OUT_OF_TOLERANCE, "OutOfTolerance", Retry.NEVER, "The engine's answers differ from the model's"),
        Meaning(Code.FORBIDDEN, "Forbidden", Retry.NEVER, "Credentials or licence do not allow it"),
        Meaning(
            Code.UNSUPPORTED, "Unsupported", Retry.NEVER, "This combination is not supported; the message says what is"
        ),
        Meaning(
            Code.STORE_FULL, "StoreFull", Retry.COUNTED, "The artifact store has no room; the last checkpoint is intact"
        ),
        Meaning(Code.SOURCE_UNAVAILABLE, "SourceUnavailable", Retry.COUNTED, "A source or store did not answer"),
        Meaning(Code.STALLED, "Stalled", Retry.COUNTED, "No step was finished for too long"),
        Meaning(Code.KILLED, "Killed", Retry.COUNTED, "Killed from outside, often for memory"),
        Meaning(Code.PREEMPTED, "Preempted", Retry.FREE, "Asked to stop; the state was saved first"),
    )
}

PERMANENT: tuple[int, ...] = tuple(sorted(c for c, m in TABLE.items() if m.retry is Retry.NEVER and c != Code.DONE))


def meaning(exit_code: int) -> Meaning:
    """Say what an exit code means; one that is not in the table counts as a crash.

    >>> meaning(65).reason
    'BadData'
    >>> meaning(3).retry
    <Retry.COUNTED: 'counted'>
    """
    try:
        return TABLE[Code(exit_code)]
    except ValueError:
        return TABLE[Code.CRASHED]
