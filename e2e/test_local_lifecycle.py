"""The local cluster as a whole: up, down, status, half-dead, data kept, and a node agent that dies."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genops.local import processes
from genops.local.cluster import LocalCluster
from genops.local.controlplane import COMPONENTS

IMAGE = "genops/local:test"


def run(command, cluster, *args):
    call = [sys.executable, "-m", "genops", "local", command, "--dir", str(cluster.paths.root), *args]
    return subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)


def pids(cluster):
    return {component.name: component.pid for component in cluster.status()}


def kill(cluster, name):
    record = processes.recorded(name, cluster.paths.run)
    os.kill(record.pid, signal.SIGKILL)
    processes.wait_gone([record], 10)


def test_up_status_env_logs_and_down_from_the_command_line(private_cluster):
    assert run("status", private_cluster).returncode == 1
    assert "remedy" in run("env", private_cluster).stderr
    up = run("up", private_cluster)
    assert up.returncode == 0, up.stderr
    status = run("status", private_cluster, "--json")
    assert status.returncode == 0
    assert {c["name"]: c["healthy"] for c in json.loads(status.stdout)} == dict.fromkeys(COMPONENTS, True)
    export = run("env", private_cluster).stdout.strip()
    assert export == f"export KUBECONFIG={private_cluster.kubeconfig}"
    assert os.stat(private_cluster.kubeconfig).st_mode & 0o777 == 0o600
    assert '"level"' in run("logs", private_cluster, "etcd", "--lines", "1").stdout
    before = pids(private_cluster)
    assert run("up", private_cluster).returncode == 0
    assert pids(private_cluster) == before, "a second up starts nothing"
    records = [processes.recorded(name, private_cluster.paths.run) for name in COMPONENTS]
    assert run("down", private_cluster).returncode == 0
    assert not any(processes.alive(record) for record in records)
    assert not (private_cluster.paths.root / "pki").exists()
    assert run("down", private_cluster).returncode == 0, "down twice is fine"


def test_a_half_dead_cluster_is_noticed_and_mended(private_cluster):
    private_cluster.up()
    private_cluster.kubectl("create", "configmap", "kept")
    kill(private_cluster, "kube-apiserver"), kill(private_cluster, "kube-scheduler")
    assert {c.name for c in private_cluster.status() if not c.running} == {"kube-apiserver", "kube-scheduler"}
    private_cluster.up()
    assert private_cluster.is_up()
    private_cluster.kubectl("get", "configmap", "kept")


def test_data_is_kept_when_asked_and_an_async_caller_may_use_it(private_cluster):
    private_cluster.up()
    private_cluster.kubectl("create", "configmap", "kept")
    private_cluster.down(keep_data=True)
    assert not any(component.running for component in private_cluster.status())
    private_cluster.up()
    private_cluster.kubectl("get", "configmap", "kept")


def test_many_callers_bring_up_one_cluster(private_cluster):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: pids(LocalCluster(private_cluster.paths.root).up()), range(3)))
    assert found[0] == found[1] == found[2]


def test_writes_are_in_the_audit_log(cluster, namespace, eventually):
    namespace.kubectl("create", "configmap", "noted", "--field-manager=auditor")

    def entries():
        lines = cluster.paths.audit.read_text().splitlines()
        events = [json.loads(line) for line in lines if '"noted"' in line and namespace.name in line]
        return [event for event in events if event["verb"] == "create" and "kubectl" in event["userAgent"]]

    eventually(entries)
    assert '"verb":"get"' not in cluster.paths.audit.read_text()


def test_everything_listens_on_loopback_only(cluster):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout
    if not listening:
        pytest.skip("no ss on this machine")
    ours = {f"pid={pid}," for pid in pids(cluster).values()}
    lines = [line for line in listening.splitlines() if any(pid in line for pid in ours)]
    assert lines
    assert [line for line in lines if not line.split()[3].startswith("127.")] == []


def test_nobody_but_the_api_server_reads_logs_from_the_node(cluster):
    from genops.local import state

    known = state.load(cluster.paths.state)
    url = f"https://{known.node_address}:{state.NODE_PORT}/healthz"
    pki = cluster.paths.pki
    base = ["curl", "-sS", "--noproxy", "*", "--cacert", f"{pki}/ca.crt"]
    admin = [*base, "--cert", f"{pki}/admin.crt", "--key", f"{pki}/admin.key", url]
    server = [*base, "--cert", f"{pki}/node-client.crt", "--key", f"{pki}/node-client.key", url]
    for call, good in (([*base, url], False), (admin, False), (server, True)):
        assert (subprocess.run(call, capture_output=True, check=False).returncode == 0) is good


def a_job(name, script):
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def apply(cluster, *objects):
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def pods(cluster):
    return json.loads(cluster.kubectl("get", "pods", "-o", "json"))["items"]


def sandboxes(marker):
    """Return the processes that carry a marker in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            found += [entry.name] if marker in _command_line(entry) else []
    return found


def _command_line(entry):
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""


def test_a_killed_agent_leaves_no_process_and_its_successor_accounts_for_the_lost(private_cluster, eventually):
    marker = f"local-orphan-{os.getpid()}"
    private_cluster.up()
    apply(private_cluster, a_job("long", f": {marker}; sleep 600; exit 0"))
    restarting = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "always"},
        "spec": {"containers": [{"name": "main", "image": IMAGE, "command": ["sleep", "600"]}]},
    }
    apply(private_cluster, restarting)
    eventually(lambda: [p["status"]["phase"] for p in pods(private_cluster)] == ["Running", "Running"], "both run")
    eventually(lambda: sandboxes(marker))
    kill(private_cluster, "node")
    eventually(lambda: not sandboxes(marker), "nothing outlives the agent")
    assert {c.name for c in private_cluster.status() if not c.running} == {"node"}
    private_cluster.up()

    def lost():
        return [p for p in pods(private_cluster) if p["status"]["phase"] == "Failed"]

    ended = eventually(lost)[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    eventually(lambda: [p for p in pods(private_cluster) if _runs_job(p)], "the Job starts another")

    def again():
        return json.loads(private_cluster.kubectl("get", "pod", "always", "-o", "json"))["status"]

    eventually(lambda: again()["containerStatuses"][0]["restartCount"] == 1 and again()["phase"] == "Running")
    private_cluster.down()
    eventually(lambda: not sandboxes(marker), "down leaves no process")


def _runs_job(pod):
    return pod["status"]["phase"] == "Running" and "job-name" in pod["metadata"].get("labels", {})


def test_a_pod_deleted_while_no_agent_ran_is_removed_by_the_next(private_cluster, eventually):
    private_cluster.up()
    apply(private_cluster, a_job("long", "sleep 600"))
    eventually(lambda: [p["status"]["phase"] for p in pods(private_cluster)] == ["Running"])
    kill(private_cluster, "node")
    private_cluster.kubectl("delete", "job", "long", "--wait=false")
    private_cluster.up()
    eventually(lambda: pods(private_cluster) == [])
