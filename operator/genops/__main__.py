"""The command line: `genops run | plan | generate | local | demo`. Each command is one module: `configure` and `main`.

Modules are imported when their command is called, so that each needs only its own extra installed.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "run": ("genops.shell.process", "run the operator"),
    "plan": ("genops.shell.planning", "print what the operator would create for a file"),
    "generate": ("genops.generate.cli", "write CRDs and reference pages out of the types"),
    "local": ("genops.local.cli", "a real Kubernetes control plane on this machine"),
    "demo": ("genops.demo.cli", "from an idea to a served, measured model"),
}
EXTRAS = {"run": "operator", "plan": "operator", "generate": "operator", "local": "local", "demo": "local"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = next((a for a in args if not a.startswith("-")), "")
    parser = argparse.ArgumentParser(
        prog="genops", description="Takes a generative model from idea to deployment and keeps it good."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    module = None
    for command, (_, says) in COMMANDS.items():
        sub = commands.add_parser(command, help=says)
        if command == name:
            module = _load(command)
            module.configure(sub)
    parsed = parser.parse_args(args)
    assert module is not None  # the parser ends the process for an unknown command
    code: int = module.main(parsed)
    return code


def _load(command: str):  # type: ignore[no-untyped-def]  # a module has no type of its own
    path = COMMANDS[command][0]
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(("genops", "gencontract")):
            raise
        extra = EXTRAS[command]
        raise SystemExit(f"genops {command} needs {error.name}: pip install 'genops[{extra}]'") from None


if __name__ == "__main__":
    sys.exit(main())
