"""`genops logs KIND NAME`: the log of the pod that matters now, or failed last; heartbeats in words."""

import argparse
from datetime import UTC, datetime

from genops.cli import showing
from genops.cli.reach import DONE, Reach, arguments, chosen, run
from genops.cli.story.voices import readable, voice
from genops.core.kinds import GEN_VERDICT, OURS

KINDS = tuple(kind for kind in OURS if kind != GEN_VERDICT)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    about = "Print the log of the pod that works or hangs, else of the one that failed last; which one goes to stderr."
    arguments(parser, about, json=False)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the pod ends")
    parser.add_argument("--tail", type=int, metavar="LINES", help="only the last lines")
    parser.add_argument("--raw", action="store_true", help="leave heartbeats as the pod wrote them")


def main(args: argparse.Namespace) -> int:
    """Print a log."""
    return run("logs", args, lambda reach: tell(args, reach), showing.complain)


async def tell(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace, choose the pod, and print its log as it comes."""
    world = await reach.world()
    heard = voice(chosen(args, world, KINDS), world, datetime.now(UTC))
    showing.note(heard.says)
    query = {"follow": "true"} if args.follow else {}
    query |= {"tailLines": str(args.tail)} if args.tail is not None else {}
    query |= {"previous": "true"} if heard.previous else {}
    async for line in reach.log(heard.pod, query):
        showing.verbatim(line if args.raw else readable(line))
    return DONE
