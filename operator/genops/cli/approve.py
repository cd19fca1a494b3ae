"""`genops approve NAME`: write the annotation by which a person lets a GenModel's run be served, or start."""

import argparse
from datetime import UTC, datetime

from genops.cli import showing
from genops.cli.reach import DONE, Reach, arguments, chosen, run
from genops.cli.story.approval import approval
from genops.core.kinds import GEN_EVALUATION, GEN_MODEL


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    about = "Let the run that waits go on: one that passed is served, one that drift or a schedule asks for starts."
    arguments(parser, about)


def main(args: argparse.Namespace) -> int:
    """Approve what waits."""
    return run("approve", args, lambda reach: approve(args, reach), showing.complain)


async def approve(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace, find what waits, and annotate. The annotation names the run, so that no other is let on."""
    world = await reach.world()
    key = chosen(args, world, (GEN_MODEL, GEN_EVALUATION))
    found = approval(key, world, datetime.now(UTC))
    patch = {"metadata": {"annotations": {found.annotation: found.value}}}
    await reach.cluster.patch(key.kind, key.namespace, key.name, patch)
    if args.output == "json":
        showing.as_json({"annotation": found.annotation, "value": found.value, "message": found.says})
    else:
        showing.line((f"{found.says} ", "good"), (f"({found.annotation}={found.value})", "dim"))
    return DONE
