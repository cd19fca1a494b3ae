"""`genops local`: the command line of the local cluster. Knows arguments and printing, nothing of clusters."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genops.local.errors import LocalError
from genops.local.paths import default_folder

if TYPE_CHECKING:
    from genops.local.state import Options

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "node", "operator", "audit")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `genops local`."""
    parser.description = "A real Kubernetes control plane and one node on this machine, for development and tests."
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|env|logs|build")
    _add(commands, "up", "start what does not run; build what is missing")
    _add(commands, "down", "stop the cluster and remove its data")
    _add(commands, "status", "show each component; exit code 1 unless all are well")
    _add(commands, "env", "print the line that points kubectl at the cluster")
    _add(commands, "logs", "print a component's log")
    _add(commands, "build", "build the programs that are missing, and start nothing")
    up, logs = commands.choices["up"], commands.choices["logs"]
    up.add_argument("--operator", action="store_true", help="install the kinds and run the operator too")
    up.add_argument("--audit", action="store_true", default=None, help="log every write to logs/audit.log")
    up.add_argument("--no-node", dest="node", action="store_false", default=None, help="the control plane only")
    up.add_argument("--cpus", type=int, help="CPUs that the node offers (default: the machine's)")
    up.add_argument("--restart-back-off", type=float, help="seconds before a second restart, doubling (default: 10)")
    up.add_argument(
        "--image", action="append", default=[], metavar="PREFIX=VENV",
        help="run images whose name starts with PREFIX in another virtual environment",
    )  # fmt: skip
    commands.choices["down"].add_argument("--keep-data", action="store_true", help="stop only")
    commands.choices["status"].add_argument("--json", action="store_true", help="for programs")
    logs.add_argument("name", choices=NAMES, help="the component")
    logs.add_argument("-n", "--lines", type=int, default=50)


def main(args: argparse.Namespace) -> int:
    """Run one subcommand; what is missing is said in one message, without a trace."""
    run = {"up": _up, "down": _down, "status": _status, "env": _env, "logs": _logs, "build": _build}[args.command]
    try:
        return run(args)
    except ModuleNotFoundError as error:
        print(f"genops local needs {error.name}\n  remedy: pip install 'genops[operator,local]'", file=sys.stderr)
    except LocalError as error:
        print(f"genops local {args.command}: {error}", file=sys.stderr)
    return 1


def _add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str) -> None:
    parser = commands.add_parser(name, help=what, description=what)
    parser.add_argument(
        "--dir", default=default_folder(), type=Path, help="the cluster's folder (default: %(default)s)"
    )


def _up(args: argparse.Namespace) -> int:
    from genops.local.cluster import LocalCluster
    from genops.local.progress import for_stream

    progress = for_stream()
    cluster = LocalCluster(args.dir, _options(args), progress).up()
    if args.operator:
        from genops.local import operating

        operating.up(cluster, progress)
    progress.say(f"Ready. Point kubectl at it:  export KUBECONFIG={cluster.kubeconfig}")
    return 0


def _build(args: argparse.Namespace) -> int:
    from genops.local import programs
    from genops.local.progress import for_stream

    progress = for_stream()
    programs.ensure(progress)
    programs.helm(progress)
    programs.versitygw(progress)
    return 0


def _options(args: argparse.Namespace) -> "Options":
    """Return the options that were named on the command line on top of those the cluster has."""
    from dataclasses import replace

    from genops.local import state
    from genops.local.paths import Paths

    known = state.load(Paths.of(args.dir).state)
    named = {"audit": args.audit, "node": args.node, "cpus": args.cpus, "restart_back_off": args.restart_back_off}
    changes = {name: value for name, value in named.items() if value is not None}
    if args.image:
        changes["images"] = dict(_environment(pair) for pair in args.image)
    return replace(known.options if known else state.Options(), **changes)


def _environment(pair: str) -> tuple[str, str]:
    """Read PREFIX=VENV. The path is made whole, since pods start in other folders than this shell."""
    prefix, _, folder = pair.partition("=")
    if not (Path(folder) / "bin/python").exists():
        raise LocalError(f"--image {pair}: no bin/python in {folder!r}\n  remedy: make server-env, or name a venv")
    return prefix, str(Path(folder).absolute())


def _down(args: argparse.Namespace) -> int:
    from genops.local import operating
    from genops.local.cluster import LocalCluster

    cluster = LocalCluster(args.dir)
    operating.down(cluster)
    cluster.down(keep_data=args.keep_data)
    return 0


def _status(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from genops.local import operating
    from genops.local.cluster import LocalCluster

    cluster = LocalCluster(args.dir)
    components = [*cluster.status(), *operating.status(cluster)]
    if args.json:
        print(json.dumps([asdict(component) for component in components], indent=2))
    else:
        print(*(_line(c.name, c.pid, c.running, c.healthy) for c in components), sep="\n")
    return 0 if all(component.healthy for component in components) else 1


def _line(name: str, pid: int | None, running: bool, healthy: bool) -> str:
    word = "well" if healthy else "does not answer" if running else "not running"
    return f"{name:<24} {word:<16} {f'pid {pid}' if pid else ''}".rstrip()


def _env(args: argparse.Namespace) -> int:
    import shlex

    from genops.local.paths import Paths

    path = Paths.of(args.dir).kubeconfig
    if not path.exists():
        raise LocalError(f"no cluster at {args.dir}\n  remedy: genops local up --dir {args.dir}")
    print(f"export KUBECONFIG={shlex.quote(str(path))}")
    return 0


def _logs(args: argparse.Namespace) -> int:
    from genops.local.paths import Paths

    log = Paths.of(args.dir).logs / f"{args.name}.log"
    if not log.exists():
        raise LocalError(f"no log at {log}")
    print(*log.read_text(errors="replace").splitlines()[-args.lines :], sep="\n")
    return 0
