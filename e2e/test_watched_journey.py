"""All that is watched, live: an operator, a Triton and a Prometheus, joined by monitors as its own operator reads them.

Debian's Prometheus is built without Kubernetes, so the test does what Prometheus' operator would: it finds the targets
that a monitor selects, and writes the scrape config that its endpoint asks for. The kinds of the monitors are the real
ones, so what we make is admitted as it would be.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kinds import of_prometheus
from monitoring import Monitor, free_port, plain, prometheus, serves, translated
from operators import until
from places import SMALL, Place, a_place, a_serving_cluster, said
from traffic import Traffic

from genops.generate import dashboards
from genops.local import programs
from genops.local.cluster import LocalCluster
from genops.local.progress import Quiet

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("triton")]

CHART = Path(__file__).resolve().parents[1] / "charts/genops"
VALUES = ("serviceMonitor.enabled=true", "rules.enabled=true")
WATCHES = [
    {"name": "classes", "of": "input", "test": "psi", "threshold": 0.2, "windowSeconds": 8, "minSamples": 20},
    {
        "name": "asked",
        "of": "input",
        "test": "mmd",
        "alpha": 0.001,
        "windowSeconds": 60,
        "minSamples": 20,
        "consecutive": 1,
    },
]


def serving(instances: int) -> dict[str, Any]:
    """A GenDeployment's template; another count of instances is another version."""
    return {
        "optimize": {"targets": ["onnx"], "shapes": {"batchSizes": [1, 8]}, "resources": SMALL},
        "server": {"resources": SMALL, "instances": instances},
        "rollout": {"strategy": "Canary", "steps": [{"weight": 50, "seconds": 4}]},
        "capture": {"sampleRate": 1, "maxPerMinute": 600, "rotateSeconds": 2, "store": {"uri": "pvc://genops-store"}},
        "drift": WATCHES,
    }


def model(instances: int) -> dict[str, Any]:
    """An idea that asks little, and trains just long enough to tell of it."""
    return {
        "intent": {"useCase": "Draw digits for a test", "modality": "images"},
        "success": [{"metric": "fid", "op": "<=", "threshold": 1e6, "primary": True}],
        "dataset": {
            "template": {"spec": {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": SMALL}}
        },
        "training": {
            "template": {
                "spec": {
                    "family": "flow",
                    "size": "xs",
                    "hyperparameters": {"steps": 400, "batch": 64},
                    "resources": SMALL,
                }
            }
        },
        "evaluation": {"template": {"spec": {"samples": 48, "resources": SMALL}}},
        "deployment": {"template": {"spec": serving(instances)}},
        "budget": {"cpuHours": 100},
    }


def rendered(kind: str) -> dict[str, Any]:
    """One object of the chart, as Helm makes it."""
    settings = [word for value in VALUES for word in ("--set", value)]
    argv = [programs.helm(Quiet()), "template", "genops", str(CHART), *settings]
    text = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout
    return dict(next(d for d in yaml.safe_load_all(text) if d and d["kind"] == kind))


@dataclass
class Watched:
    """A namespace whose operator and servers are scraped."""

    place: Place
    monitor: Monitor

    def pods(self) -> str:
        """List what the PodMonitor selects, with the labels that a target of it has."""
        found = []
        for monitor in self.place.list("podmonitors"):
            (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
            wanted = ",".join(f"{k}={v}" for k, v in monitor["spec"]["selector"]["matchLabels"].items())
            for pod in self.place.list("pods", "-l", wanted):
                if address := pod["status"].get("podIP"):
                    found.append(self._target(pod, address, endpoint["port"], monitor["spec"]["podTargetLabels"]))
        return json.dumps(found)

    def _target(self, pod: dict[str, Any], address: str, port: str, kept: list[str]) -> dict[str, Any]:
        (container,) = pod["spec"]["containers"]
        number = next(p["containerPort"] for p in container["ports"] if p["name"] == port)
        own = {"namespace": self.place.name, "pod": pod["metadata"]["name"], "container": container["name"]}
        own |= {_label(name): pod["metadata"]["labels"][name] for name in kept}
        return {"targets": [f"{address}:{number}"], "labels": own}


def _label(name: str) -> str:
    """Write a label's name as Prometheus has it."""
    return "".join(c if c.isalnum() else "_" for c in name)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with a_serving_cluster() as made:
        for path in of_prometheus():
            made.kubectl("apply", "--server-side", "-f", str(path))
        made.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        yield made


@pytest.fixture(scope="module")
def watched(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, address = tmp_path_factory.mktemp("watched"), f"http://127.0.0.1:{free_port()}"
    with a_place(cluster, folder, GENOPS_PROMETHEUS=address) as place:
        taken = {kind: admitted(place, rendered(kind)) for kind in ("ServiceMonitor", "PrometheusRule")}
        with scraped(place, folder / "monitor", address, taken) as found:
            yield found


def admitted(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    """Create an object strictly, and read it back as the API server keeps it."""
    body["metadata"]["namespace"] = place.name
    place.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(body))
    return place.get(body["kind"].lower(), body["metadata"]["name"])


@contextmanager
def scraped(place: Place, folder: Path, address: str, taken: dict[str, Any]) -> Iterator[Watched]:
    made = Watched(place, Monitor(None, address, folder))  # type: ignore[arg-type]
    (endpoint,) = taken["ServiceMonitor"]["spec"]["endpoints"]
    whose = {"namespace": "genops-system", "service": "genops", "pod": "genops-1", "endpoint": endpoint["port"]}
    own = [{"targets": [place.operator.address], "labels": whose}]
    rules = yaml.safe_dump(taken["PrometheusRule"]["spec"]).replace("interval: 1m", "interval: 1s")
    with serves(made.pods, "application/json") as pods, serves(lambda: json.dumps(own), "application/json") as operator:
        jobs = [translated({}, "pods", f"http://{pods}"), translated(endpoint, "operator", f"http://{operator}")]
        with prometheus(folder, *jobs, rules=rules, port=int(address.rsplit(":", 1)[1])) as monitor:
            made.monitor = monitor
            yield made


def test_everything_that_is_watched_shows_what_happens(watched: Watched) -> None:
    place = watched.place
    place.make("GenModel", "digits", model(1))
    place.phase("genmodel", "digits", "Serving")
    with Traffic(place, "digits", list(range(10))) as traffic:
        first = place.status("gendeployment", "digits")["stable"]["engineDigest"]
        place.make("GenModel", "digits", model(2))
        until(lambda: _moved(place, first), 300, lambda: f"another version: {place.status('gendeployment', 'digits')}")
        until(
            lambda: _judged(place),
            240,
            lambda: f"both watches to be judged: {place.status('gendeployment', 'digits')}",
            every=1,
        )
        until(lambda: not empty(watched.monitor), 60, lambda: f"every panel: {empty(watched.monitor)}", every=1)
    assert traffic.failures == []
    status = place.status("gendeployment", "digits")
    assert said(status, "Drifted")["reason"] == "NoDrift"
    measured = next(w for w in status["drift"] if w["name"] == "asked")["measured"][0]
    assert int(measured["samples"]) >= 20
    assert float(measured["pValue"]) > 0.001


def _moved(place: Place, first: str) -> bool:
    status = place.status("gendeployment", "digits")
    return bool(status["phase"] == "Serving" and status["stable"]["engineDigest"] != first)


def _judged(place: Place) -> bool:
    return said(place.status("gendeployment", "digits"), "Drifted")["status"] == "False"


def empty(monitor: Monitor) -> list[str]:
    """Name the panels that showed nothing at any time, or nothing but NaN."""
    found = []
    for panel, query in dashboards.queries():
        shown = monitor.query(f"last_over_time(({plain(query.expr, 't-.*', 'digits.*')})[15m:3s])")
        if not any(series["value"][1] != "NaN" for series in shown):
            found.append(f"{panel}: {query.expr}")
    return found


def test_what_was_served_becomes_a_dataset_under_the_licence_that_is_stated(watched: Watched) -> None:
    spec = {
        "source": {"capture": {"deploymentRef": {"name": "digits"}}, "license": "CC0-1.0"},
        "format": "images",
        "prepare": {"options": {"channels": 1}},
        "licenses": {"allow": ["CC0-1.0"]},
        "resources": SMALL,
    }
    watched.place.make("GenDataset", "seen", spec)
    status = watched.place.phase("gendataset", "seen", "Ready")
    assert status["samples"] >= 20
