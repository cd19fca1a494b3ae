"""`genops samples KIND NAME`: fetch the picture of what a model makes out of its evaluation's report."""

import argparse
import webbrowser
from pathlib import Path

from genops.cli import showing
from genops.cli.reach import DONE, OutOfReach, Reach, arguments, chosen, run
from genops.cli.store import fetch
from genops.cli.story.exhibits import FILES, KINDS, exhibit


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    arguments(
        parser,
        "Fetch the picture of a model's samples, or another part of its report. A report on a claim is read by a pod "
        "that runs for a moment.",
    )
    parser.add_argument("--what", choices=tuple(FILES), default="samples", help="which part (default: %(default)s)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="where to save it (default: NAME-samples.png here)")
    parser.add_argument("--open", action="store_true", help="open it too")
    parser.add_argument("--image", default="", help="image with Python to read a claim by (default: the evaluation's)")


def main(args: argparse.Namespace) -> int:
    """Fetch one part of a report."""
    return run("samples", args, lambda reach: save(args, reach), showing.complain)


async def save(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace, find the report, fetch and save."""
    world = await reach.world()
    found = exhibit(chosen(args, world, KINDS), world)
    name = FILES[args.what]
    path: Path = args.to or Path(f"{found.evaluation.name}-{name}")
    data = await fetch(reach, world, found, name, args.image)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutOfReach(f"--to {path} cannot be written: {error.strerror}; name another file") from None
    if args.output == "json":
        showing.as_json({"file": str(path), "uri": f"{found.uri}/{name}", "bytes": len(data)})
    else:
        showing.line((str(path), "name"), (f"  {len(data)} bytes, from {found.uri}/{name}", "dim"))
    if args.open:
        webbrowser.open(path.resolve().as_uri())
    return DONE
