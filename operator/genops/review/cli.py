"""`genops review`: serve the page. Knows arguments and printing."""

import argparse
import asyncio
import ipaddress
import signal
import sys
from pathlib import Path

from aiohttp import web

from genops.review.errors import ReviewError
from genops.review.logins import ByCode, ByToken, Login
from genops.review.page import Page
from genops.review.reviewer import Reviewer
from genops.shell.errors import ClusterError
from genops.shell.kube import KubeApi

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Serve a page on which people judge the blinded pairs of a GenEvaluation."
    parser.add_argument(
        "evaluation", nargs="?", help="the GenEvaluation to begin with (default: a list of those that wait)"
    )
    parser.add_argument("-n", "--namespace", help="namespace (default: the context's)")
    parser.add_argument("--context", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--kubeconfig", help="kubeconfig (default: KUBECONFIG, or ~/.kube/config)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--login", choices=("kubeconfig", "token"), default="kubeconfig",
        help="who judges: the kubeconfig's user, or whoever brings a Kubernetes token (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--store", action="append", default=[], metavar="CLAIM=FOLDER", help="where a claim is mounted on this machine"
    )


def main(args: argparse.Namespace) -> int:
    """Serve until stopped; exit code 1 where something is in the way, 2 for a wrong argument."""
    try:
        stores = _stores(args.store)
        if args.login == "kubeconfig" and not _is_loopback(args.host):
            raise ValueError(
                f"--host {args.host}: whoever reaches the page would judge in your name; add --login token"
            )
    except ValueError as error:
        print(f"genops review: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(args, stores))
    except (ReviewError, ClusterError, OSError) as error:
        print(f"genops review: {error}", file=sys.stderr)
        return 1
    return 0


def _stores(pairs: list[str]) -> dict[str, Path]:
    found = {}
    for pair in pairs:
        claim, equals, folder = pair.partition("=")
        if not (claim and equals and Path(folder).is_dir()):
            raise ValueError(f"--store {pair}: it takes CLAIM=FOLDER, and the folder must be there")
        found[claim] = Path(folder)
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(args: argparse.Namespace, stores: dict[str, Path]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    api = await KubeApi.connect(args.kubeconfig, args.context, user_agent="genops-review")
    try:
        login, begin = await _login(args, api)
        page = Page(
            login, stores, secure=args.login == "token", hosts=LOCAL if _is_loopback(args.host) else frozenset()
        )
        runner = web.AppRunner(page.application(), access_log=None, max_field_size=16 * 1024)
        await runner.setup()
        try:
            await web.TCPSite(runner, args.host, args.port).start()
            host, port = runner.addresses[0][:2]
            print(f"Judge at  http://{f'[{host}]' if ':' in host else host}:{port}/login{begin}", flush=True)
            await stop.wait()
        finally:
            await runner.cleanup()
    finally:
        await api.close()


async def _login(args: argparse.Namespace, api: KubeApi) -> tuple[Login, str]:
    """Prepare the login, and what the printed address ends in: it is never sent to a server, nor kept in a log."""
    namespace = args.namespace or api.namespace
    then = f"to=/e/{args.evaluation}" if args.evaluation else "to=/"
    if args.login == "token":
        return ByToken(api, namespace), f"#{then}"
    own = ByCode(await Reviewer.known(api, namespace))
    return own, f"#{then}&secret={own.code}"
