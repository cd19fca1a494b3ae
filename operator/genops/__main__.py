"""The command line: `genops COMMAND`, and `kubectl genops COMMAND` by the program kubectl-genops."""

import sys
from collections.abc import Sequence
from pathlib import Path

from genops.cli.commands import COMMANDS, load, parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = next((a for a in args if a in COMMANDS), "")
    parsed = parser(program(sys.argv[0]), [name]).parse_args(args)
    code: int = load(parsed.topic).main(parsed)
    return code


def program(path: str) -> str:
    """How people call this program: kubectl finds plug-ins by their names.

    >>> program("/usr/bin/kubectl-genops"), program("/usr/bin/genops")
    ('kubectl genops', 'genops')
    """
    return "kubectl genops" if Path(path).name == "kubectl-genops" else "genops"


if __name__ == "__main__":
    sys.exit(main())
