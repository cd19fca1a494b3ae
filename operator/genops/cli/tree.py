"""`genops tree [KIND NAME]`: what an object made, down to Jobs and pods, each with its phase."""

import argparse

from genops.cli import showing
from genops.cli.reach import DONE, Reach, arguments, chosen, run
from genops.cli.story.branches import Row, as_json, draw, grow, roots, title
from genops.cli.story.errors import Nothing


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    about = "Show what an object made, down to Jobs and pods; without a name, all objects of the namespace."
    arguments(parser, about, nargs="*")


def main(args: argparse.Namespace) -> int:
    """Show trees."""
    return run("tree", args, lambda reach: tell(args, reach), showing.complain)


async def tell(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace and show the tree of one object, or of all."""
    world = await reach.world()
    keys = [chosen(args, world)] if args.object else roots(world)
    if not keys:
        raise Nothing(f"Namespace {reach.namespace} holds no objects of genops; name another with -n")
    trees = [grow(key, world) for key in keys]
    if args.output == "json":
        showing.as_json(as_json(trees[0]) if args.object else [as_json(t) for t in trees])
        return DONE
    rows = [row for tree in trees for row in draw(tree)]
    width = max(len(row.strokes) + len(title(row.branch)) for row in rows)
    for row in rows:
        _show(row, width)
    return DONE


def _show(row: Row, width: int) -> None:
    branch, name = row.branch, title(row.branch)
    gap = " " * (width - len(row.strokes) - len(name) + 2)
    note = f"  {branch.note}" if branch.note else ""
    showing.line((row.strokes, "dim"), (name, "name"), gap, (branch.stands.phase, branch.stands.tone), (note, "dim"))
