"""Ask the cluster for what the commands tell of: one namespace, read once, and logs of its pods.

The only I/O to a cluster of these commands. It must not know what is told.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gencontract.layout import CONTAINER, GROUP
from genops.cli.story.errors import Misnamed, Nothing
from genops.cli.story.names import choose, parse
from genops.cli.story.world import BENEATH, World
from genops.core.kinds import EVENT, JOB_SET, OURS, POD, Kind
from genops.core.model import Key, Manifest
from genops.shell.errors import ApiError, ClusterError
from genops.shell.kube import KubeApi
from genops.shell.kube_cluster import KubeCluster

DONE, REFUSED, MISUSED, NOTHING = 0, 1, 2, 3
EXIT_CODES: Mapping[int, str] = {
    DONE: "It was told, or done",
    REFUSED: "The cluster or the store could not be asked, or refused; the message says what to do",
    MISUSED: "The command line is wrong; the message names the argument",
    NOTHING: "There is no such object, or nothing of it to show or to approve",
}


class OutOfReach(RuntimeError):
    """Something beside the API server cannot be had from here; the message says how it can."""


@dataclass(frozen=True)
class Reach:
    """A connection to one namespace."""

    api: KubeApi
    cluster: KubeCluster
    namespace: str

    async def world(self) -> World:
        """Read the namespace. What the user may not list raises, since it would be missed without a word."""
        kinds = (*OURS, *BENEATH)
        found = await asyncio.gather(*(self._list(kind) for kind in (*kinds, EVENT)))
        objects = {
            Key(kind, self.namespace, m["metadata"]["name"]): m
            for kind, manifests in zip(kinds, found, strict=False)
            for m in manifests
        }
        return World(self.namespace, objects, tuple(found[-1]))

    async def log(self, pod: str, query: Mapping[str, str], container: str = CONTAINER) -> AsyncIterator[str]:
        """Yield the lines of a container's log."""
        path = POD.path(self.namespace, pod, "log")
        async for line in self.api.lines(path, query={"container": container, **query}):
            yield line.decode(errors="replace").rstrip("\n")

    async def _list(self, kind: Kind) -> list[Manifest]:
        try:
            return (await self.cluster.list(kind, self.namespace))[0]
        except ApiError as error:
            if error.not_found and kind == JOB_SET:
                return []
            if error.not_found and kind.group == GROUP:
                text = f"The cluster does not know {kind.plural}.{GROUP}; install genops: docs/howto/install.md"
                raise OutOfReach(text) from None
            raise


def arguments(parser: argparse.ArgumentParser, about: str, json: bool = True, nargs: str = "+") -> None:
    """Declare what all these commands take."""
    parser.description = about
    parser.add_argument("object", nargs=nargs, metavar="KIND NAME", help="as gds digits, gds/digits, or only digits")
    parser.add_argument("-n", "--namespace", help="namespace (default: the context's)")
    parser.add_argument("--context", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--kubeconfig", help="kubeconfig (default: KUBECONFIG, or ~/.kube/config)")
    if json:
        parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people or programs")


def run(
    name: str, args: argparse.Namespace, work: Callable[[Reach], Awaitable[int]], complain: Callable[[str], None]
) -> int:
    """Connect, do the work, and turn whatever is in the way into one line and an exit code."""

    async def connected() -> int:
        async with reach(args) as there:
            return await work(there)

    try:
        return asyncio.run(connected())
    except Misnamed as error:
        code, text = MISUSED, str(error)
    except Nothing as error:
        code, text = NOTHING, str(error)
    except (OutOfReach, ClusterError) as error:
        code, text = REFUSED, _said(error)
    complain(f"genops {name}: {text}")
    return code


@asynccontextmanager
async def reach(args: argparse.Namespace) -> AsyncIterator[Reach]:
    """Connect as kubectl would."""
    api = await KubeApi.connect(args.kubeconfig, args.context, user_agent="kubectl-genops")
    try:
        yield Reach(api, KubeCluster(api), args.namespace or api.namespace)
    finally:
        await api.close()


def chosen(args: argparse.Namespace, world: World, kinds: Iterable[Kind] = OURS) -> Key:
    """Find the object that the command line names. Raises Misnamed, or Nothing."""
    named = parse(args.object)
    if named.kind and named.kind not in kinds:
        raise Misnamed(f"KIND {named.kind} does not fit here; it takes {', '.join(k.kind for k in kinds)}")
    return choose(named, world.keys(*kinds))


def _said(error: Any) -> str:
    if isinstance(error, ApiError) and error.status == 403:
        return f"{error.message}; ask for that right, or name another namespace with -n"
    return error.message if isinstance(error, ApiError) else str(error)
