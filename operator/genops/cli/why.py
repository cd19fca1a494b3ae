"""`genops why KIND NAME`: one paragraph on why an object is where it is, down to the root cause, and what to do."""

import argparse
from datetime import UTC, datetime

from genops.cli import showing
from genops.cli.reach import DONE, Reach, arguments, chosen, run
from genops.cli.story.causes import as_json, explain, sentences


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    arguments(
        parser, "Say why an object is where it is, from what it waits for down to the root cause, and what helps."
    )


def main(args: argparse.Namespace) -> int:
    """Tell the story of one object."""
    return run("why", args, lambda reach: tell(args, reach), showing.complain)


async def tell(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace and tell."""
    world, now = await reach.world(), datetime.now(UTC)
    why = explain(chosen(args, world), world, now)
    if args.output == "json":
        showing.as_json(as_json(why))
    else:
        showing.line(*showing.spaced(sentences(why, now)))
    return DONE
