"""`genops demo`: bring up what is missing, apply the samples, watch, generate, and say how to go on."""

import argparse
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from gencontract.layout import GROUP, PORT_HTTP
from genops.core.conditions import is_true
from genops.demo.sampling import generate, request, save_grid
from genops.demo.watching import NEEDS, DemoError, follow
from genops.local import operating, programs
from genops.local.cluster import LocalCluster
from genops.local.errors import LocalError
from genops.local.paths import default_folder
from genops.local.progress import for_stream
from genops.local.state import Options

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "manifests/samples/digits"
SERVER_ENV = ROOT / ".genops/venv-server"
COUNT = 40


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Take a real data set through all the steps, ending with pictures from a served model."
    parser.add_argument("--context", help="use this context of your kubeconfig, where the operator is installed")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--dir", default=default_folder(), type=Path, help="folder of the local cluster")
    parser.add_argument("--manifests", default=SAMPLES, type=Path, help="folder or file with the objects to apply")
    parser.add_argument("--output", default=Path(".genops/demo/samples.png"), type=Path, help="picture to write")
    parser.add_argument("--timeout", default=1200.0, type=float, help="seconds to wait for the whole chain")


def main(args: argparse.Namespace) -> int:
    """Run the demo; exit code 1 with one clear message when a step does not get where it should."""
    console = Console()
    try:
        return Demo(args, console).run()
    except (DemoError, LocalError) as error:
        console.print(f"[red]genops demo:[/] {error}", highlight=False)
        return 1


def reachable(address: str, port: int) -> bool:
    """Say whether somebody answers there."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False


class Demo:
    """One run of the demo."""

    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self.args, self.console = args, console
        self.kubeconfig: str | None = None

    def run(self) -> int:
        """Do every step, in order."""
        if self.args.context:
            self._foreign()
        else:
            self._local()
        names = self._apply()
        seconds = follow(self._json, names, self.args.timeout, self.console)
        self.console.print(f"\nFrom idea to serving in [bold]{seconds:.0f} s[/]", highlight=False)
        evaluation = self._named(names, "GenEvaluation")
        deployment = self._named(names, "GenDeployment")
        self._show_metrics(evaluation)
        self._show_engines(deployment)
        with self._endpoint(deployment) as url:
            started = time.monotonic()
            pixels, shape = generate(url, deployment["metadata"]["name"], COUNT)
            spent = time.monotonic() - started
            save_grid(self.args.output, pixels, shape)
        self.console.print(
            f"\n{COUNT} pictures from Triton in {spent:.2f} s: [bold]{self.args.output}[/]", highlight=False
        )
        self._say_how_to_go_on(deployment)
        return 0

    def _local(self) -> None:
        if not (SERVER_ENV / "bin/python").exists():
            raise DemoError(f"The serving environment is missing at {SERVER_ENV}; run: make server-env")
        progress = for_stream()
        options = Options(cpus=4, images={"genops-server": str(SERVER_ENV)})
        cluster = LocalCluster(self.args.dir, options, progress).up()
        operating.up(cluster, progress)
        self.kubeconfig = cluster.kubeconfig

    def _foreign(self) -> None:
        """Look whether the cluster knows our kinds, before anything is asked of it."""
        known = self._kubectl("api-resources", "--api-group", GROUP, "-o", "name").split()
        if f"gendeployments.{GROUP}" not in known:
            raise DemoError(f"The cluster of context {self.args.context} does not know genops' kinds. {NEEDS}")

    def _apply(self) -> list[tuple[str, str]]:
        path = self.args.manifests
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        documents = [d for f in files for d in yaml.safe_load_all(f.read_text()) if d]
        if not documents:
            raise DemoError(f"{path} holds no manifests; name a folder or a file with --manifests")
        self.console.print(f"kubectl apply -f {path}", highlight=False)
        self._kubectl("apply", "-f", str(path))
        return [(d["kind"], d["metadata"]["name"]) for d in documents]

    def _named(self, names: list[tuple[str, str]], kind: str) -> dict[str, Any]:
        found = next((name for k, name in names if k == kind), None)
        if found is None:
            raise DemoError(f"The manifests hold no {kind}, which the demo ends with")
        return self._json("get", kind, found)

    def _show_metrics(self, evaluation: dict[str, Any]) -> None:
        status = evaluation["status"]
        table = Table(title=f"Verdict: {status['verdict']}", title_justify="left")
        for name in ("Metric", "Value", "Interval", "Samples", "Passed"):
            table.add_column(name)
        for m in status.get("metrics", ()):
            interval = f"{m['low']} to {m['high']}" if "low" in m else ""
            passed = {True: "yes", False: "no"}.get(m.get("passed"), "")
            table.add_row(m["name"], m.get("value", ""), interval, str(m.get("samples", "")), passed)
        self.console.print(table)

    def _show_engines(self, deployment: dict[str, Any]) -> None:
        table = Table(title="Engines", title_justify="left")
        for name in ("Runtime", "p50 ms", "p95 ms", "Samples/s", "Largest error", ""):
            table.add_column(name)
        for e in deployment["status"].get("engines", ()):
            numbers = [str(e.get(k, "")) for k in ("p50Ms", "p95Ms", "throughput", "maxAbsError")]
            table.add_row(e["target"], *numbers, "chosen" if e.get("chosen") else str(e.get("reason", ""))[:60])
        self.console.print(table)

    @contextmanager
    def _endpoint(self, deployment: dict[str, Any]) -> Iterator[str]:
        """Give an address that this machine reaches: the Service's own where it does, else a server by the API server.

        API servers refuse to go to loopback addresses, which pods of the local cluster have.
        """
        service = str(deployment["status"]["url"]).removeprefix("http://").split(".", 1)[0]
        address = str(self._json("get", "service", service)["spec"]["clusterIP"])
        if reachable(address, PORT_HTTP):
            yield f"http://{address}:{PORT_HTTP}"
            return
        pod = self._ready_pod(str(deployment["status"]["selector"]))
        command = [*self._command(), "proxy", "--port=0", "--address=127.0.0.1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as proxy:
            try:
                assert proxy.stdout is not None
                said = proxy.stdout.readline().strip()
                if "127.0.0.1:" not in said:
                    raise DemoError(f"kubectl proxy: {said or 'it ended'}")
                port = said.rsplit(":", 1)[1]
                yield f"http://127.0.0.1:{port}/api/v1/namespaces/{self.args.namespace}/pods/{pod}:{PORT_HTTP}/proxy"
            finally:
                proxy.terminate()

    def _ready_pod(self, selector: str) -> str:
        """Name a server pod that answers."""
        for pod in self._json("get", "pods", "--selector", selector)["items"]:
            if is_true(pod["status"], "Ready") and "deletionTimestamp" not in pod["metadata"]:
                return str(pod["metadata"]["name"])
        raise DemoError(f"No pod with labels {selector} is ready; see kubectl get pods -l {selector}")

    def _say_how_to_go_on(self, deployment: dict[str, Any]) -> None:
        name, local = deployment["metadata"]["name"], self.kubeconfig is not None
        lines = []
        if local:
            lines.append(f"export KUBECONFIG={self.kubeconfig}")
        where = "" if local else f" --context {self.args.context} -n {self.args.namespace}"
        lines += [f"kubectl{where} get gds,gtj,gev,gdp", f"kubectl{where} describe gdp {name}"]
        if local:
            with self._endpoint(deployment) as url:
                lines.append(f"curl -s {url}/v2/models/{name}/infer -d '{json.dumps(request([7]))}'")
        else:
            lines.append(f"kubectl genops why{where} gdp/{name}")
        if local:
            lines.append("genops local down")
        self.console.print("\nGo on with:")
        for line in lines:
            self.console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)

    def _command(self) -> list[str]:
        where = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else ["--context", self.args.context]
        return [programs.kubectl(), *where, "--namespace", self.args.namespace]

    def _kubectl(self, *args: str) -> str:
        done = subprocess.run([*self._command(), *args], capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise DemoError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def _json(self, *args: str) -> dict[str, Any]:
        return dict(json.loads(self._kubectl(*args, "-o", "json")))
