"""`genops plan FILE.yaml`: the children and the status that the operator would write, without any cluster.

The same engine runs over the cluster in memory, so what is printed is what would be done. `--seen` adds the rest of
the world: objects that the file refers to, or Jobs and pods as they stand.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import yaml

from genops.core import kinds
from genops.core.kinds import OURS, Kind
from genops.core.model import Key, Manifest
from genops.shell.engine import Engine
from genops.shell.errors import ClusterError
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.shell.settings import SettingsError, from_environment
from genops.stages import STAGES

KINDS = {(k.api_version, k.kind): k for k in vars(kinds).values() if isinstance(k, Kind)}
ROUNDS = 100


class PlanError(ValueError):
    """A file cannot be planned; the message names it and what is wrong."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = "Print what the operator would create, and what it would say, for the objects of a file."
    parser.add_argument("file", type=Path, help="YAML with objects of ours")
    parser.add_argument("--seen", type=Path, help="YAML with the rest of the world")


def main(args: argparse.Namespace) -> int:
    """Print the plan as YAML; exit code 2 for a file that cannot be planned."""
    try:
        objects, world = read(args.file), read(args.seen) if args.seen else []
        result = asyncio.run(planned(objects, world))
    except (PlanError, SettingsError, ClusterError) as error:
        print(f"genops plan: {error}", file=sys.stderr)
        return 2
    print(yaml.safe_dump_all(result, sort_keys=False, allow_unicode=True), end="")
    return 0


def read(path: Path) -> list[Manifest]:
    """Read objects from a YAML file. Raises PlanError."""
    try:
        documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise PlanError(f"{path} is not YAML: {error}") from None
    for document in documents:
        kind_of(document, path)
    return documents


def kind_of(document: Any, path: Path | str = "") -> Kind:
    """Find the kind of an object. Raises PlanError for one that is none of ours to handle."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise PlanError(f"{path}: an object needs apiVersion, kind and metadata")
    named = (str(document.get("apiVersion")), str(document.get("kind")))
    if named not in KINDS:
        known = ", ".join(sorted(k.kind for k in OURS))
        raise PlanError(f"{path}: {named[1]} of {named[0]} is not known; known are {known}")
    if not document["metadata"].get("name"):
        raise PlanError(f"{path}: metadata.name is missing in a {named[1]}")
    return KINDS[named]


async def planned(objects: list[Manifest], world: list[Manifest]) -> list[Manifest]:
    """Run the engine over a cluster in memory until nothing changes. Returns what it made and what it says."""
    stage = Rehearsal()
    for document in [*world, *objects]:
        await stage.put(document)
    await stage.settle()
    return stage.outcome()


class Rehearsal:
    """The engine over a cluster in memory, one step at a time."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._engine = Engine(self.cluster, STAGES, self._queue, from_environment().config)
        self._engine.vouched = True  # a plan is for a cluster with all of crds/ in it
        self.cluster.listener = Informing(self._engine, also=frozenset(OURS)).arrived
        self._given: list[tuple[str, str, str]] = []

    async def put(self, document: Manifest) -> None:
        """Give an object, with its status where it has one."""
        kind = kind_of(document)
        document["metadata"].setdefault("namespace", "default")
        made = await self.cluster.create(kind, document)
        if "status" in document:
            key = Key(kind, made["metadata"]["namespace"], made["metadata"]["name"])
            self.cluster.set_status(key, document["status"])
        self._given.append(_name(made))

    async def settle(self) -> None:
        """Let the engine work until nothing is left to look at."""
        for _ in range(ROUNDS):
            if not len(self._queue):
                return
            key = await self._queue.get()
            assert key is not None
            await self._engine.reconcile(key)
            self._queue.done(key)

    def outcome(self) -> list[Manifest]:
        """Return what was made and what is said, without what only a server gives."""
        ours = {k.kind for k in OURS}
        made = self.cluster.all()
        shown = [m for m in made if _name(m) not in self._given or (m["kind"] in ours and m.get("status"))]
        return [_clean(m) for m in shown if m["kind"] != "Event"]


def _name(manifest: Manifest) -> tuple[str, str, str]:
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _clean(manifest: Manifest) -> Manifest:
    """Drop what only a server gives."""
    hidden = ("uid", "resourceVersion", "generation", "creationTimestamp")
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in hidden}
    return {**manifest, "metadata": metadata}
