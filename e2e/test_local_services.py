"""Deployments behind Services on the local node: names, round robin, rotation, roll-out, eviction."""

import json
import subprocess
import time

IMAGE = "genops/local:test"
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
SERVER = """
import http.server, os, signal, sys, threading, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Page)
def stop(*_): threading.Thread(target=lambda: (time.sleep(1), server.shutdown())).start()
signal.signal(signal.SIGTERM, stop)
server.serve_forever()
"""


def a_deployment(name, replicas=2, version="1"):
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["python", "-c", SERVER],
        "env": [POD_IP, {"name": "VERSION", "value": version}],
        "ports": [{"name": "web", "containerPort": 8080}],
        "readinessProbe": probe,
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def a_service(name, port=80, target="web"):
    spec = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def curl(address):
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time", "5", address], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else f"error {done.returncode}"


def available(namespace, name, replicas=2):
    return namespace.get("deployment", name).get("status", {}).get("availableReplicas", 0) == replicas


def test_a_service_reaches_all_ready_pods_from_the_host_and_from_a_pod(namespace, a_pod, eventually):
    namespace.apply(a_deployment("web"), a_service("web"))
    eventually(lambda: available(namespace, "web"))
    address = namespace.get("service", "web")["spec"]["clusterIP"]
    pods = {pod["metadata"]["name"] for pod in namespace.list("pods")}
    eventually(lambda: {curl(f"http://{address}") for _ in range(6)} == pods, "round robin over both")
    names = ("web", f"web.{namespace}", f"web.{namespace}.svc", f"web.{namespace}.svc.cluster.local")
    script = "; ".join(f"curl -sS --noproxy '*' http://{name}:80 && echo" for name in names)
    namespace.apply(a_pod("asks", "sh", "-c", script))
    namespace.ended("asks")
    answers = namespace.logs("asks").split()
    assert len(answers) == 4
    assert set(answers) <= pods


def test_a_service_without_ready_pods_refuses(namespace, eventually):
    namespace.apply(a_deployment("web", replicas=1), a_service("web", port=8000))
    eventually(lambda: available(namespace, "web", 1))
    address = namespace.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: not curl(f"http://{address}:8000").startswith("error"))
    namespace.kubectl("scale", "deployment", "web", "--replicas=0")
    eventually(lambda: curl(f"http://{address}:8000") == "error 7", "connection refused")


def test_a_roll_out_loses_no_request(namespace, eventually):
    namespace.apply(a_deployment("web"), a_service("web"))
    eventually(lambda: available(namespace, "web"))
    address = namespace.get("service", "web")["spec"]["clusterIP"]
    eventually(lambda: not curl(f"http://{address}").startswith("error"))
    old = {pod["metadata"]["name"] for pod in namespace.list("pods")}
    namespace.apply(a_deployment("web", version="2"))
    answers = []

    def rolled_out():
        answers.append(curl(f"http://{address}"))
        now = {p["metadata"]["name"] for p in namespace.list("pods")}
        return not now & old and available(namespace, "web")

    eventually(rolled_out, seconds=120)
    assert [answer for answer in answers if answer.startswith("error")] == []
    assert set(answers) - old, "new pods have answered"


def test_a_headless_service_names_each_pod(namespace, a_pod, eventually):
    service = a_service("peers")
    service["spec"]["clusterIP"] = "None"
    pod = a_pod("one", "sh", "-c", "exec sleep 60", hostname="first", subdomain="peers")
    pod["metadata"]["labels"] = {"app": "peers"}
    namespace.apply(service, pod)
    eventually(lambda: namespace.phase("one") == "Running")
    address = namespace.get("pod", "one")["status"]["podIP"]
    script = "until getent hosts first.peers; do sleep 0.1; done; getent hosts peers"
    namespace.apply(a_pod("looks", "sh", "-c", script))
    namespace.ended("looks")
    assert {line.split()[0] for line in namespace.logs("looks").splitlines()} == {address}


def test_eviction_respects_a_disruption_budget(namespace, eventually):
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    namespace.apply(a_deployment("web"), budget)
    eventually(lambda: available(namespace, "web"))
    eventually(lambda: namespace.get("pdb", "web").get("status", {}).get("disruptionsAllowed") == 1)
    first, second = (pod["metadata"]["name"] for pod in namespace.list("pods"))
    evict(namespace, first)
    assert "disruption budget" in evict(namespace, second), "one at a time"
    eventually(lambda: not namespace.get("pod", first))
    eventually(lambda: available(namespace, "web"))


def evict(namespace, pod):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace.name}}
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
    return namespace.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body), check=False)


def test_an_evicted_pod_of_a_job_is_marked_as_disrupted_and_replaced(namespace, eventually):
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", "echo up; exec sleep 60"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1}}
    spec = {"backoffLimit": 0, "template": template, "podFailurePolicy": {"rules": rules}}
    namespace.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "moves"}, "spec": spec})
    first = eventually(lambda: [p for p in namespace.list("pods") if p["status"]["phase"] == "Running"])[0]
    evict(namespace, first["metadata"]["name"])
    eventually(lambda: [p for p in namespace.list("pods") if p["metadata"]["uid"] != first["metadata"]["uid"]])
    assert namespace.get("job", "moves")["status"].get("failed", 0) == 0


def test_a_service_that_takes_time_to_connect_to_does_not_hold_up_the_others(namespace, eventually):
    """Twenty services appear at once and all of them answer."""
    namespace.apply(a_deployment("web", replicas=1))
    services = [a_service("web") | {"metadata": {"name": f"web-{n}"}} for n in range(20)]
    namespace.apply(*services)
    eventually(lambda: available(namespace, "web", 1))
    addresses = [service["spec"]["clusterIP"] for service in namespace.list("services")]
    deadline = time.monotonic() + 30
    while any(curl(f"http://{address}").startswith("error") for address in addresses):
        assert time.monotonic() < deadline
