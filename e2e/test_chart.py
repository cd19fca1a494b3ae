"""The chart, by a real Helm and on a real API server: it lints, it is admitted, it installs, and its rights are enough.

The operator runs as a pod of the chart, under its own service account: a right that is missing keeps the dataset from
getting ready. The node passes the image by and runs what is installed here.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from operators import quick_dataset, until

from genops.core.jobs import QUIET_SECONDS
from genops.local import programs
from genops.local.cluster import LocalCluster
from genops.local.progress import Quiet

ROOT = Path(__file__).resolve().parents[1]
CHART, INSTALL = ROOT / "charts" / "genops", ROOT / "manifests" / "install.yaml"
SPACE = "genops-system"
LONG = 2 * QUIET_SECONDS + 2  # so long that the operator asks for the log of the pod
SMALL: dict[str, Any] = {"replicas": 1, "resources": {"requests": {"cpu": "50m"}}}
CHOOSE = "app.kubernetes.io/instance=genops"
READY = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
NEW_FIELD = "ttlSecondsAfterFinished"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chart")]

VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": {"watchNamespaces": ["team-a", "team-b"]},
    "digest": {"image": {"digest": "sha256:" + "a" * 64}},
    "tag": {"image": {"repository": "registry.example/genops", "tag": "1.2.3", "pullPolicy": "Always"}},
    "pull-secrets": {"imagePullSecrets": ["one", "two"]},
    "own-account": {"serviceAccount": {"create": False, "name": "mine"}},
    "annotated": {"serviceAccount": {"annotations": {"example.com/role": "arn:aws:iam::1:role/x"}}},
    "placed": {
        "nodeSelector": {"pool": "platform"},
        "tolerations": [{"key": "platform", "operator": "Exists"}],
        "priorityClassName": "system-cluster-critical",
    },
    "single": {"replicas": 1, "disruptionBudget": {"enabled": False}, "topologySpread": {"enabled": False}},
    "open-network": {"networkPolicy": {"enabled": False}},
    "store": {"store": {"uri": "s3://bucket/genops", "className": "fast", "access": "ReadWriteMany", "size": "1Ti"}},
    "guarded": {"prometheus": {"address": "https://p:9091", "tokenSecret": "monitoring", "caConfigMap": "service-ca"}},
    "tuned": {"workers": 32, "resyncSeconds": 60, "healthPort": 9090, "log": {"level": "DEBUG", "format": "text"}},
}
WATCHED = {
    "prometheus": {"address": "http://prometheus.monitoring.svc:9090", "port": 9090},
    "dashboards": {"enabled": True},
    "rules": {"enabled": True, "labels": {"release": "monitoring"}},
    "serviceMonitor": {"enabled": True},
}
GUARDED = {
    "prometheus": {
        "address": "https://prometheus.monitoring.svc:9091",
        "tokenSecret": "monitoring",
        "tokenKey": "bearer",
        "caConfigMap": "service-ca",
        "caKey": "service-ca.crt",
    }
}
WRONG: dict[str, dict[str, Any]] = {
    "digset": {"image": {"digset": "x"}},
    "digest": {"image": {"digest": "sha256:abc"}},
    "workers": {"workers": 0},
    "access": {"store": {"access": "ReadOnlyMany"}},
    "replicas": {"replicas": "two"},
    "address": {"prometheus": {"address": "http://me:word@prometheus:9090"}},
}


def helm(*args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [programs.helm(Quiet()), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert not check or done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done


def written(folder: Path, values: dict[str, Any]) -> str:
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    return str(path)


def rendered(folder: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    text = helm("template", "genops", str(CHART), "-n", SPACE, "-f", written(folder, values)).stdout
    return [d for d in yaml.safe_load_all(text) if d]


def test_what_watches_is_told_of_us(tmp_path: Path) -> None:
    """Kinds of Prometheus' operator, which this cluster does not have: as Helm renders them."""
    made = {d["kind"]: d for d in rendered(tmp_path, WATCHED)}
    boards = made["ConfigMap"]
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files/dashboards").iterdir()}
    assert {name: json.loads(text) for name, text in boards["data"].items()} == files
    assert made["PrometheusRule"]["metadata"]["labels"]["release"] == "monitoring"
    assert made["PrometheusRule"]["spec"] == yaml.safe_load((CHART / "files/rules/genops.yaml").read_text())
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "GENOPS_PROMETHEUS", "value": WATCHED["prometheus"]["address"]} in container["env"]
    ports = [p["port"] for rule in made["NetworkPolicy"]["spec"]["egress"] for p in rule["ports"]]
    assert 9090 in ports
    quiet = {d["kind"] for d in rendered(tmp_path, {})}
    assert not {"ConfigMap", "PrometheusRule", "ServiceMonitor"} & quiet


def test_the_operator_is_given_what_a_guarded_prometheus_wants(tmp_path: Path) -> None:
    (deployment,) = (d for d in rendered(tmp_path, GUARDED) if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {e["name"]: e.get("value") for e in container["env"]}
    (volume,) = (v for v in pod["volumes"] if v["name"] == "prometheus")
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "prometheus")
    secret, authority = volume["projected"]["sources"]
    assert env["GENOPS_PROMETHEUS_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    assert env["GENOPS_PROMETHEUS_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    assert secret["secret"] == {"name": "monitoring", "items": [{"key": "bearer", "path": "token"}]}
    assert authority["configMap"] == {"name": "service-ca", "items": [{"key": "service-ca.crt", "path": "ca.crt"}]}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster of this file's own: an operator for all namespaces must not meet other tests' objects."""
    with LocalCluster(tmp_path_factory.mktemp("chart") / "cluster") as cluster:
        for name in (SPACE, "team-a", "team-b"):
            cluster.kubectl("create", "namespace", name)
            cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield cluster


@pytest.mark.parametrize("name", VALUES)
def test_every_set_of_values_is_admitted(name: str, own: LocalCluster, tmp_path: Path) -> None:
    helm("lint", "--strict", str(CHART), "-f", written(tmp_path, VALUES[name]))
    objects = rendered(tmp_path, VALUES[name])
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    own.kubectl("apply", "--dry-run=server", "-f", "-", stdin=listed)
    [pod] = [o["spec"]["template"] for o in objects if o["kind"] == "Deployment"]
    pod["spec"] |= {"serviceAccountName": "default"}  # the release's account is not there in a dry run
    alone = {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {**pod["metadata"], "name": "a", "namespace": SPACE}}
    own.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(alone))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_name(name: str, tmp_path: Path) -> None:
    done = helm("template", "genops", str(CHART), "-f", written(tmp_path, WRONG[name]), check=False)
    assert done.returncode != 0
    assert name in done.stderr


def test_a_monitor_selects_the_service(tmp_path: Path) -> None:
    objects = {o["kind"]: o for o in rendered(tmp_path, {"serviceMonitor": {"enabled": True, "labels": {"a": "b"}}})}
    monitor, service = objects["ServiceMonitor"], objects["Service"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {p["name"] for p in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["a"] == "b"


@pytest.mark.parametrize("spaces", [["team-a"], []], ids=["namespaced", "cluster-wide"])
def test_installed_it_brings_a_dataset_to_ready(spaces: list[str], own: LocalCluster, tmp_path: Path) -> None:
    where = ("--kubeconfig", own.kubeconfig, "-n", SPACE)
    values = written(tmp_path, {"watchNamespaces": spaces, "resources": {"requests": {"cpu": "50m"}}})
    helm("install", "genops", str(CHART), *where, "-f", values, "--wait", "--timeout", "90s")
    name = "namespaced" if spaces else "whole"
    try:
        own.kubectl("apply", "-f", "-", stdin=json.dumps(quick_dataset(name, "team-a", seconds=LONG)))
        own.kubectl("wait", "--for=condition=Ready", f"gendataset/{name}", "-n", "team-a", "--timeout=60s")
        events = own.kubectl("get", "events", "-n", "team-a", "-o", "json")
        assert name in {e["involvedObject"]["name"] for e in json.loads(events)["items"]}
        pods = json.loads(own.kubectl("get", "pods", "-n", SPACE, "-o", "json"))["items"]
        assert [c["restartCount"] for p in pods for c in p["status"]["containerStatuses"]] == [0, 0]
        logs = own.kubectl("logs", "-n", SPACE, "-l", "app.kubernetes.io/name=genops", "--tail=-1")
        assert '"message": "Ready: ' in logs
        assert "forbidden" not in logs
        assert may(own, "list", "jobs", "team-b") == (not spaces)
    finally:
        helm("uninstall", "genops", *where, "--wait")


def test_the_rendered_manifest_is_fresh_and_admitted(own: LocalCluster) -> None:
    text = helm("template", "genops", str(CHART), "-n", SPACE, "--include-crds").stdout
    assert INSTALL.read_text() == text, "run `make install-manifest` and commit what it writes"
    own.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(INSTALL))


def test_uninstalling_keeps_the_kinds(own: LocalCluster, tmp_path: Path) -> None:
    where = ("--kubeconfig", own.kubeconfig, "-n", SPACE)
    helm("install", "genops", str(CHART), *where, "-f", written(tmp_path, {"replicas": 0}))
    for verb, what in (("get", "secrets"), ("create", "pods/exec"), ("create", "pods"), ("update", "genmodels")):
        assert not may(own, verb, what, "team-a"), f"{verb} {what}"
    assert may(own, "list", "pods", "team-a")
    helm("uninstall", "genops", *where, "--wait")
    assert "genmodels.genops.dev" in own.kubectl("get", "crd", "-o", "name")
    assert not may(own, "list", "pods", "team-a")


def make_ready(cluster: LocalCluster, name: str, namespace: str, **spec: Any) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(quick_dataset(name, namespace, **spec)))
    cluster.kubectl("wait", "--for=condition=Ready", f"gendataset/{name}", "-n", namespace, "--timeout=60s")


def knows(cluster: LocalCluster, field: str) -> bool:
    """Say whether a GenDataset may have a field of its spec."""
    crd = json.loads(cluster.kubectl("get", "crd", "gendatasets.genops.dev", "-o", "json"))
    return field in crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def jobs(cluster: LocalCluster, namespace: str) -> set[str]:
    """The Jobs of a namespace, by uid: one that was made anew has another."""
    listed = json.loads(cluster.kubectl("get", "jobs", "-n", namespace, "-o", "json"))["items"]
    return {job["metadata"]["uid"] for job in listed}


def test_releases_beside_each_other_lead_for_themselves(own: LocalCluster, tmp_path: Path) -> None:
    """Two in one namespace, each for a namespace of its own: neither waits for the other's lease."""
    where = ("--kubeconfig", own.kubeconfig, "-n", SPACE)
    releases = {"genops": "team-a", "genops-two": "team-b"}
    try:
        for release, space in releases.items():
            values = written(tmp_path, {**SMALL, "watchNamespaces": [space]})
            helm("install", release, str(CHART), *where, "-f", values, "--wait", "--timeout", "90s")
        for release, space in releases.items():
            make_ready(own, f"of-{release}", space)
        leases = json.loads(own.kubectl("get", "leases", "-n", SPACE, "-o", "json"))["items"]
        assert set(releases) <= {lease["metadata"]["name"] for lease in leases if lease["spec"]["holderIdentity"]}
    finally:
        for release in releases:
            helm("uninstall", release, *where, "--wait", check=False)


def test_an_operator_without_its_lease_is_not_ready(own: LocalCluster, tmp_path: Path) -> None:
    """It cannot lead, nor take over: nothing would be looked after, and a rollout must not go on."""
    where = ("--kubeconfig", own.kubeconfig, "-n", SPACE)
    helm("install", "genops", str(CHART), *where, "-f", written(tmp_path, {**SMALL, "replicas": 0}))
    try:
        own.kubectl("delete", "rolebinding", "genops-lease", "-n", SPACE)
        own.kubectl("scale", "deployment/genops", "--replicas=1", "-n", SPACE)
        own.kubectl("wait", "--for=condition=Ready=false", "pod", "-l", CHOOSE, "-n", SPACE, "--timeout=60s")
        until(lambda: "Lease not renewed: 403" in own.kubectl("logs", "-n", SPACE, "-l", CHOOSE), 60, "a refusal")
        assert "True" not in own.kubectl("get", "pods", "-n", SPACE, "-l", CHOOSE, "-o", READY)
    finally:
        helm("uninstall", "genops", *where, "--wait")


def an_older_chart(folder: Path) -> Path:
    """The chart as a release before this one may have been: another version, and a field less in a CRD."""
    old = folder / "older"
    shutil.copytree(CHART, old)
    about = old / "Chart.yaml"
    about.write_text(about.read_text().replace("version: 0.1.0", "version: 0.0.9"))
    crd = old / "crds/genops.dev_gendatasets.yaml"
    body = yaml.safe_load(crd.read_text())
    del body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][NEW_FIELD]
    crd.write_text(yaml.safe_dump(body))
    return old


def test_an_upgrade_and_the_way_back(own: LocalCluster, tmp_path: Path) -> None:
    """By the commands of docs/howto/upgrade.md. What was made before stays as it is."""
    where = ("--kubeconfig", own.kubeconfig, "-n", SPACE)
    patiently = (
        *where,
        "-f",
        written(tmp_path, {**SMALL, "watchNamespaces": ["team-b"]}),
        "--wait",
        "--timeout",
        "90s",
    )
    own.kubectl("delete", "--ignore-not-found", "--timeout=60s", "-f", str(CHART / "crds"))
    helm("install", "genops", str(an_older_chart(tmp_path)), *patiently)
    try:
        make_ready(own, "before", "team-b")
        there = jobs(own, "team-b")
        assert not knows(own, NEW_FIELD)
        own.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
        make_ready(own, "after", "team-b", **{NEW_FIELD: 3600})
        helm("rollback", "genops", "1", *where, "--wait", "--timeout", "90s")
        make_ready(own, "back", "team-b", **{NEW_FIELD: 3600})
        assert there < jobs(own, "team-b")
        assert len(jobs(own, "team-b")) == len(there) + 2
        assert knows(own, NEW_FIELD), "Helm leaves CRDs alone, on the way back as well"
        assert "genops-0.0.9" in own.kubectl("get", "deployment", "genops", "-n", SPACE, "-o", "yaml")
    finally:
        helm("uninstall", "genops", *where, "--wait")


def may(cluster: LocalCluster, verb: str, resource: str, namespace: str) -> bool:
    account = f"system:serviceaccount:{SPACE}:genops"
    answer = cluster.kubectl("auth", "can-i", verb, resource, "-n", namespace, "--as", account, check=False)
    return answer.strip().startswith("yes")
