"""The commands of `genops`: one module each, with `configure` and `main`, loaded when it is called.

So each command needs only its own extra installed. Knows names of modules; it must not know what they do.
"""

import argparse
import importlib
from collections.abc import Sequence
from types import ModuleType

COMMANDS = {
    "run": ("genops.shell.process", "run the operator"),
    "plan": ("genops.shell.planning", "print what the operator would create for a file"),
    "train": ("genops.cli.train", "carry out the work of a file on this machine, without a cluster"),
    "why": ("genops.cli.why", "say why an object is where it is, and what helps"),
    "tree": ("genops.cli.tree", "show what an object made, down to Jobs and pods"),
    "lineage": ("genops.cli.lineage", "show data, weights, verdict and engine by digest"),
    "logs": ("genops.cli.logs", "print the log of the pod that matters now, or failed last"),
    "approve": ("genops.cli.approve", "let a run that waits for a person go on"),
    "samples": ("genops.cli.samples", "fetch the picture of what a model makes"),
    "review": ("genops.review.cli", "serve the page on which people judge blinded pairs"),
    "generate": ("genops.generate.cli", "write CRDs and reference pages out of the types"),
    "local": ("genops.local.cli", "a real Kubernetes control plane on this machine"),
    "demo": ("genops.demo.cli", "from an idea to a served, measured model"),
    "demo-drift": ("genops.demo.drift", "a served model whose traffic drifts mends itself"),
}
EXTRAS = {"generate": "local", "local": "local", "demo": "local", "demo-drift": "local"}
ABOUT = "Takes a generative model from idea to deployment and keeps it good."


def parser(prog: str = "genops", loaded: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Build the parser. Only the commands in `loaded` know their options; the others are named."""
    whole = argparse.ArgumentParser(prog=prog, description=ABOUT)
    commands = whole.add_subparsers(dest="topic", required=True, metavar="COMMAND")
    for command, (_, says) in COMMANDS.items():
        sub = commands.add_parser(command, help=says)
        if command in loaded:
            load(command).configure(sub)
    return whole


def load(command: str) -> ModuleType:
    """Import a command's module. Ends the process with a remedy where its extra is not installed."""
    try:
        return importlib.import_module(COMMANDS[command][0])
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith(("genops", "gencontract")):
            raise
        extra = EXTRAS.get(command, "operator")
        raise SystemExit(f"genops {command} needs {error.name}: pip install 'genops[{extra}]'") from None
