"""`genops lineage KIND NAME`: data, weights, verdict and engine by digest, and whether they belong together."""

import argparse

from genops.cli import showing
from genops.cli.reach import DONE, Reach, arguments, chosen, run
from genops.cli.showing import Part
from genops.cli.story.descent import Hop, Line, agreement, as_json, brief, descend
from genops.cli.story.drawing import rows
from genops.cli.story.errors import Nothing
from genops.core.kinds import GEN_VERDICT, OURS

KINDS = tuple(kind for kind in OURS if kind != GEN_VERDICT)
TONES = {True: "good", False: "bad", None: "waiting"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    arguments(
        parser,
        "Show the data, weights, verdict and engine that an object came from or led to, by digest. ✓ says that a link "
        "took what the one before made, ✗ that it did not.",
    )


def main(args: argparse.Namespace) -> int:
    """Show lines of descent."""
    return run("lineage", args, lambda reach: tell(args, reach), showing.complain)


async def tell(args: argparse.Namespace, reach: Reach) -> int:
    """Read the namespace and show the lines that one object stands in."""
    world = await reach.world()
    key = chosen(args, world, KINDS)
    lines = descend(key, world)
    if not lines:
        raise Nothing(f"{key.kind}/{key.name} has begun no run yet; see genops why {key.name}")
    if args.output == "json":
        showing.as_json([as_json(line) for line in lines])
        return DONE
    for i, line in enumerate(lines):
        _show(line, i > 0)
    return DONE


def _show(line: Line, gap: bool) -> None:
    if gap:
        showing.line()
    if line.title:
        showing.line((line.title, "name"))
    drawn = list(rows(line.root, lambda hop: hop.below))
    width = max(len(strokes) + len(hop.who) for strokes, hop in drawn)
    for strokes, hop in drawn:
        showing.line((strokes, "dim"), (hop.who, "name"), *_facts(hop, width - len(strokes) - len(hop.who)))


def _facts(hop: Hop, gap: int) -> list[Part]:
    digest = brief(hop.digest) or "-"
    mark = (f" {agreement(hop)} ", TONES[hop.agrees])
    return [(" " * (gap + 2), ""), (f"{hop.what:<8}", ""), mark, (f"{digest:<20}", ""), (f" {hop.note}", "dim")]
