"""Several processes of one pod: torchrun, and the exit code that it hides.

torchrun ends with 1 whatever its processes ended with; this ends with the code of the process that failed first, so
that the table of exit codes holds here too. Takes torchrun's arguments. Knows nothing of tasks or jobs.
"""

import sys
from collections.abc import Callable, Sequence

from gencontract.codes import Code


def main(argv: Sequence[str] | None = None) -> int:
    """Run torchrun with the given arguments. Returns the exit code of its processes."""
    from torch.distributed.run import parse_args, run

    arguments = parse_args(list(sys.argv[1:] if argv is None else argv))  # type: ignore[no-untyped-call]
    return ended(lambda: run(arguments))  # type: ignore[no-untyped-call]


def ended(work: Callable[[], None]) -> int:
    """Do the work of torchrun and say by which exit code it ended."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        work()
    except ChildFailedError as failed:
        return _code(failed.get_first_failure()[1].exitcode)
    except SignalException as asked:
        print(f"launch: asked to stop by {asked.sigval.name}; all processes have ended", file=sys.stderr, flush=True)
        return int(Code.PREEMPTED)
    return int(Code.DONE)


def _code(status: int) -> int:
    """Read the exit code of a process as a container has it: a process that a signal ended has 128 and its number."""
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
