"""`genops demo-drift`: a served model whose traffic drifts trains, judges and rolls out its next run by itself.

Then a run that is deliberately worse, slower by its own dial, is taken back by the canary. Requests go on throughout.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from genops.demo.cli import ROOT, SERVER_ENV, Demo
from genops.demo.diary import Diary, draw
from genops.demo.traffic import Traffic, targets
from genops.demo.watching import DemoError
from genops.local import operating
from genops.local.cluster import LocalCluster
from genops.local.errors import LocalError
from genops.local.progress import for_stream
from genops.local.prometheus import free_port, prometheus, serves
from genops.local.state import Options

MODEL = ROOT / "manifests/samples/model/watched.yaml"
ALL, FEW = tuple(range(10)), (1, 7)
SLOW_STEPS = 128  # of the sampler, for 8: a model as good as the one before, and far slower
LOOK_SECONDS = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = "Let the traffic of a served model drift, and watch what follows. Runs on this machine."
    parser.add_argument("--dir", default=Path(".genops/drift"), type=Path, help="folder of the local cluster")
    parser.add_argument("--output", default=Path(".genops/demo/drift.png"), type=Path, help="picture to write")
    parser.add_argument("--timeout", default=1200.0, type=float, help="seconds to wait for each step")
    parser.set_defaults(context=None, namespace="default")


def main(args: argparse.Namespace) -> int:
    """Tell the story; exit code 1 with one clear message when a step does not get where it should."""
    console = Console()
    try:
        return DriftDemo(args, console).run()
    except (DemoError, LocalError) as error:
        console.print(f"[red]genops demo-drift:[/] {error}", highlight=False)
        return 1


class DriftDemo(Demo):
    """One telling of the story."""

    def run(self) -> int:
        """Bring up what is missing, tell it, and take the cluster down again."""
        began = time.monotonic()
        cluster, address = self._cluster()
        try:
            with self._monitor(address):
                failures = self._tell()
        finally:
            operating.down(cluster)
            cluster.down()
        self.console.print(f"In all [bold]{time.monotonic() - began:.0f} s[/]; picture: {self.args.output}")
        return 1 if failures else 0

    def _cluster(self) -> tuple[LocalCluster, str]:
        if not (SERVER_ENV / "bin/python").exists():
            raise DemoError(f"The serving environment is missing at {SERVER_ENV}; run: make server-env")
        progress, address = for_stream(), f"http://127.0.0.1:{free_port()}"
        options = Options(cpus=16, images={"genops-server": str(SERVER_ENV)})
        cluster = LocalCluster(self.args.dir, options, progress).up()
        operating.up(cluster, progress, GENOPS_PROMETHEUS=address)
        self.kubeconfig = cluster.kubeconfig
        return cluster, address

    @contextmanager
    def _monitor(self, address: str) -> Iterator[None]:
        """Run a Prometheus that finds the server pods."""
        folder = self.args.dir.resolve() / "prometheus"
        with serves(self._targets, "application/json") as page:
            job = {"job_name": "pods", "http_sd_configs": [{"url": f"http://{page}", "refresh_interval": "2s"}]}
            with prometheus(folder, job, port=int(address.rsplit(":", 1)[1])):
                yield

    def _targets(self) -> str:
        return targets(self._json("get", "pods", "-l", "genops.dev/role=serve")["items"], self.args.namespace)

    def _tell(self) -> int:
        """Tell the story. Returns how many requests failed."""
        model = yaml.safe_load(MODEL.read_text())
        name = model["metadata"]["name"]
        self.console.print(f"kubectl apply -f {MODEL.relative_to(ROOT)}", highlight=False)
        self._kubectl("apply", "-f", str(MODEL))
        self._until("run 1 is served", lambda: self._outcome(name, 1) == "Promoted" and self._live(name))
        with Diary(self._json, name) as diary, Traffic(self._address(name), ALL) as traffic:
            self._chapters(name, model, diary, traffic)
        limit = model["spec"]["deployment"]["template"]["spec"]["drift"][0]["threshold"]
        draw(diary, self.args.output, float(limit))
        failed = len(traffic.failures)
        self.console.print(f"\n{traffic.answered} requests answered, [bold]{failed} failed[/]", highlight=False)
        for _, failure in traffic.failures[:5]:
            self.console.print(f"  {failure}", highlight=False)
        return failed

    def _chapters(self, name: str, model: dict[str, Any], diary: Diary, traffic: Traffic) -> None:
        self._reach(diary, "no drift", lambda: self._drifted(name) == "False")
        traffic.wanted = FEW
        self._reach(diary, "people ask for 1 and 7 only", lambda: True)
        self._reach(diary, "Drifted=True", lambda: self._drifted(name) == "True")
        self._reach(diary, "run 2 minted by Drift", lambda: self._run(name, 2).get("cause") == "Drift")
        self._reach(diary, "run 2 passed, canary", lambda: self._stable_at(name) is not None)
        self._reach(diary, "run 2 serves", lambda: self._outcome(name, 2) == "Promoted" and self._live(name))
        slow = {"hyperparameters": {"sampleSteps": SLOW_STEPS}}
        patch = {"spec": {"training": {"template": {"spec": slow}}}}
        self._kubectl("patch", "genmodel", name, "--type=merge", "-p", json.dumps(patch))
        self._reach(diary, "run 3, 16 times slower, asked for", lambda: self._run(name, 3) != {})
        self._reach(diary, "run 3 passed, canary", lambda: self._stable_at(name) is not None)
        self._reach(diary, "run 3 rolled back", lambda: self._outcome(name, 3) == "RolledBack")
        self._reach(diary, "run 2 serves on", lambda: self._outcome(name, 2) == "Promoted" and self._live(name))
        self.console.print(f"\n{self._run(name, 3)['message']}", highlight=False)

    def _reach(self, diary: Diary, what: str, there: Callable[[], bool]) -> None:
        self._until(what, there)
        diary.note(what)
        self.console.print(f"[bold]{diary.now:4.0f} s[/]  {what}", highlight=False)

    def _until(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.args.timeout
        while not there():
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Waited {self.args.timeout:.0f} s in vain until {what}\n{self._kubectl('get', 'gm,gdp')}"
                )
            time.sleep(LOOK_SECONDS)

    def _status(self, kind: str, name: str) -> dict[str, Any]:
        return dict(self._json("get", kind, name).get("status") or {})

    def _run(self, name: str, number: int) -> dict[str, Any]:
        runs = self._status("genmodel", name).get("runs", ())
        return next((r for r in runs if r["number"] == number), {})

    def _outcome(self, name: str, number: int) -> str:
        run = self._run(name, number)
        if run.get("outcome") in ("Failed", "Rejected"):
            raise DemoError(f"Run {number} {run['outcome']}: {run.get('message', '')}")
        return str(run.get("outcome", ""))

    def _live(self, name: str) -> bool:
        return self._status("genmodel", name).get("phase") == "Serving"

    def _drifted(self, name: str) -> str:
        conditions = self._status("gendeployment", name).get("conditions", ())
        return next((str(c["status"]) for c in conditions if c["type"] == "Drifted"), "")

    def _stable_at(self, name: str) -> int | None:
        """Which step the canary is at, once it gets requests."""
        step = (self._status("gendeployment", name).get("canary") or {}).get("step")
        return None if step is None else int(step)

    def _address(self, name: str) -> str:
        address = self._json("get", "service", f"{name}-serve")["spec"]["clusterIP"]
        return f"http://{address}:8000/v2/models/{name}/infer"
