"""Task in, job run, report out: `python -m gentrainers --task task.json`."""

import argparse
import os
import sys
from pathlib import Path

from gencontract.codes import Code
from gencontract.layout import ENV_TASK, TASK_FILE
from gencontract.task import TaskFile
from gencontract.wire import WireError, decode_task
from gentrainers import pod
from gentrainers.errors import JobError
from gentrainers.jobs import job


def main(argv: list[str] | None = None) -> int:
    """Run the job of one task file and return its exit code."""
    parser = argparse.ArgumentParser(prog="gentrainers", description="Run one job of the generative lifecycle.")
    parser.add_argument("--task", default=os.environ.get(ENV_TASK, TASK_FILE), help="task file in JSON")
    path = Path(parser.parse_args(argv).task)
    try:
        task = _read(path).task
    except JobError as error:
        return pod.refuse("unknown", error.code, str(error))
    try:
        return pod.run(task, job(task.verb))
    except JobError as error:
        return pod.refuse(task.verb, error.code, str(error))


def _read(path: Path) -> TaskFile:
    try:
        return decode_task(path.read_bytes())
    except OSError as error:
        raise JobError(Code.MISSING_INPUT, f"task file {path}: {error.strerror}; name one with --task") from None
    except WireError as error:
        raise JobError(Code.BAD_CONFIG, f"task file {path}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
