"""What the local node does with a single pod: environment, order, ends, probes, logs, limits, refusals."""

import json
import subprocess

import pytest

from genops.local import programs


def terminated(pod, container="main", kind="containerStatuses"):
    statuses = pod["status"][kind]
    return next(s for s in statuses if s["name"] == container)["state"]["terminated"]


def condition(pod, kind):
    return next((c for c in pod["status"]["conditions"] if c["type"] == kind), {"status": "None"})


def sh(script):
    return ("sh", "-c", script)


def test_a_pod_that_ends_well_has_succeeded_with_all_that_a_kubelet_reports(namespace, a_pod):
    namespace.apply(a_pod("fine", *sh("echo hello; echo to stderr >&2")))
    pod = namespace.ended("fine")
    ended = terminated(pod)
    assert pod["status"]["phase"] == "Succeeded"
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert pod["status"]["podIP"].startswith("127.")
    assert condition(pod, "Ready")["reason"] == "PodCompleted"
    assert sorted(namespace.logs("fine").splitlines()) == ["hello", "to stderr"]


def test_the_interpreter_is_the_agents_and_the_user_is_not_root(namespace, a_pod):
    script = "import genops, os, pydantic, getpass; print(os.getuid(), getpass.getuser())"
    namespace.apply(
        a_pod("plain", "python", "-c", script),
        a_pod("asked", "python", "-c", script, securityContext={"runAsUser": 1234, "runAsGroup": 2345}),
    )
    namespace.ended("plain"), namespace.ended("asked")
    assert namespace.logs("plain").split() == ["65532", "genops"]
    assert namespace.logs("asked").split() == ["1234", "genops"]


def test_environment_with_references_and_the_downward_api(namespace, a_pod):
    namespace.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=blue", "--from-literal=SIZE=3")
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    env = [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)b $$(A) $(UNKNOWN)"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "SIZE"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "x", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    container = {
        "env": env,
        "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "CFG_"}],
        "args": ["$(B)", "$(POD)"],
        "resources": {"limits": {"cpu": "1500m", "memory": "256Mi"}},
        "workingDir": "/tmp",
    }
    script = "import os, sys, json; print(json.dumps({**os.environ, 'argv': sys.argv[1:], 'cwd': os.getcwd()}))"
    namespace.apply(a_pod("env", "python", "-c", script, container=container))
    pod = namespace.ended("env")
    seen = json.loads(namespace.logs("env"))
    assert seen["B"] == "ab $(A) $(UNKNOWN)"
    assert (seen["TOKEN"], seen["ONE"], seen["CFG_COLOUR"], seen["CFG_SIZE"]) == ("s3cret", "3", "blue", "3")
    assert "NONE" not in seen
    assert (seen["POD"], seen["IP"], seen["APP"]) == ("env", pod["status"]["podIP"], "env")
    assert (seen["CPU"], seen["MIB"], seen["HOSTNAME"], seen["cwd"]) == ("2", "256", "env", "/tmp")
    assert seen["argv"] == ["ab $(A) $(UNKNOWN)", "env"]


def test_a_missing_config_map_is_waited_for(namespace, a_pod, eventually):
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    namespace.apply(a_pod("waits", *sh("echo $X"), container={"env": env}))

    def waiting():
        statuses = namespace.get("pod", "waits")["status"].get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("waiting", {})

    eventually(lambda: waiting().get("reason") == "CreateContainerConfigError")
    assert "late" in waiting()["message"]
    namespace.kubectl("create", "configmap", "late", "--from-literal=x=here")
    namespace.ended("waits")
    assert namespace.logs("waits") == "here\n"


def test_exit_code_and_termination_message_are_reported(namespace, a_pod):
    namespace.apply(
        a_pod("file", *sh("echo -n why > /dev/termination-log; exit 42")),
        a_pod("elsewhere", *sh("echo -n there > /tmp/end; exit 3"), container={"terminationMessagePath": "/tmp/end"}),
        a_pod("log", *sh("echo last words; exit 7"), container={"terminationMessagePolicy": "FallbackToLogsOnError"}),
    )
    found = {name: terminated(namespace.ended(name)) for name in ("file", "elsewhere", "log")}
    assert {name: (e["exitCode"], e["reason"], e["message"]) for name, e in found.items()} == {
        "file": (42, "Error", "why"),
        "elsewhere": (3, "Error", "there"),
        "log": (7, "Error", "last words\n"),
    }


def test_a_command_that_does_not_exist_is_a_start_error(namespace, a_pod):
    namespace.apply(a_pod("typo", "no-such-program"))
    ended = terminated(namespace.ended("typo"))
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "no-such-program" in ended["message"]


def test_init_containers_run_in_order_before_the_others(namespace, a_pod):
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}], "image": "genops/local:test"}
    inits = [
        {"name": "one", "command": list(sh("echo one >> /shared/log")), **mount},
        {"name": "two", "command": list(sh("echo two >> /shared/log")), **mount},
    ]
    namespace.apply(
        a_pod("ordered", *sh("cat /shared/log"), container=mount, initContainers=inits,
              volumes=[{"name": "shared", "emptyDir": {}}])
    )  # fmt: skip
    pod = namespace.ended("ordered")
    assert namespace.logs("ordered") == "one\ntwo\n"
    assert terminated(pod, "two", "initContainerStatuses")["exitCode"] == 0


def test_a_failed_init_container_fails_the_pod(namespace, a_pod):
    inits = [{"name": "bad", "image": "genops/local:test", "command": list(sh("exit 5"))}]
    namespace.apply(a_pod("unlucky", *sh("echo never"), initContainers=inits))
    pod = namespace.ended("unlucky")
    assert pod["status"]["phase"] == "Failed"
    assert terminated(pod, "bad", "initContainerStatuses")["exitCode"] == 5
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"


def test_a_sidecar_runs_beside_the_main_container_and_ends_after_it(namespace, a_pod):
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}], "image": "genops/local:test"}
    trap = "trap 'exit 0' TERM; touch /shared/sidecar; while :; do sleep 0.1; done"
    sidecar = {"name": "side", "restartPolicy": "Always", "command": list(sh(trap)), **shared}
    script = "until test -e /shared/sidecar; do sleep 0.1; done; echo seen"
    namespace.apply(
        a_pod("pair", *sh(script), container=shared, initContainers=[sidecar],
              volumes=[{"name": "shared", "emptyDir": {}}])
    )  # fmt: skip
    pod = namespace.ended("pair")
    assert pod["status"]["phase"] == "Succeeded"
    assert namespace.logs("pair", "-c", "main") == "seen\n"


def test_on_failure_restarts_and_counts(namespace, a_pod):
    mount = {"volumeMounts": [{"name": "state", "mountPath": "/state"}]}
    script = "echo x >> /state/tries; echo try $(wc -l < /state/tries); test $(wc -l < /state/tries) -ge 3"
    namespace.apply(
        a_pod("stubborn", *sh(script), container=mount, restartPolicy="OnFailure",
              volumes=[{"name": "state", "emptyDir": {}}])
    )  # fmt: skip
    pod = namespace.ended("stubborn")
    main = pod["status"]["containerStatuses"][0]
    assert (pod["status"]["phase"], main["restartCount"]) == ("Succeeded", 2)
    assert main["lastState"]["terminated"]["exitCode"] == 1
    assert namespace.logs("stubborn") == "try 3\n"
    assert namespace.logs("stubborn", "--previous") == "try 2\n"


def test_crash_loop_back_off_is_shown(namespace, a_pod, eventually):
    namespace.apply(a_pod("crashes", *sh("exit 1"), restartPolicy="Always"))

    def waiting():
        statuses = namespace.get("pod", "crashes")["status"].get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    eventually(waiting)


def test_logs_can_be_followed_from_the_first_line_to_the_last(namespace, a_pod, eventually):
    script = "for i in 1 2 3; do echo line $i; sleep 0.3; done"
    namespace.apply(a_pod("talks", *sh(script)))
    eventually(lambda: namespace.phase("talks") in ("Running", "Succeeded"))
    command = [programs.kubectl(), "--kubeconfig", namespace.cluster.kubeconfig, "-n", namespace.name]
    followed = subprocess.run([*command, "logs", "-f", "talks"], capture_output=True, text=True, timeout=60)
    assert followed.stdout == "line 1\nline 2\nline 3\n"
    assert namespace.logs("talks", "--tail=1") == "line 3\n"
    assert namespace.logs("talks", "--timestamps").splitlines()[0].endswith("Z line 1")
    assert namespace.logs("talks", "--limit-bytes=4") == "line"


def held(pod):
    """Keep a pod's last status readable after its deletion, by a finalizer."""
    pod["metadata"]["finalizers"] = ["genops.test/hold"]
    return pod


def test_sigterm_comes_first_and_the_grace_is_kept(namespace, a_pod, eventually):
    polite = "trap 'echo bye > /dev/termination-log; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    namespace.apply(
        held(a_pod("polite", *sh(polite), terminationGracePeriodSeconds=600)),
        held(a_pod("deaf", *sh(deaf), terminationGracePeriodSeconds=1)),
    )
    for name in ("polite", "deaf"):
        eventually(lambda name=name: namespace.kubectl("logs", name, check=False) == "up\n", f"{name} is up")
    namespace.kubectl("delete", "pod", "polite", "deaf", "--wait=false")
    ends = {name: terminated(namespace.ended(name)) for name in ("polite", "deaf")}
    assert (ends["polite"]["exitCode"], ends["polite"]["message"]) == (9, "bye\n")
    assert ends["deaf"]["exitCode"] == 137
    for name in ends:
        assert namespace.get("pod", name)["metadata"]["deletionTimestamp"]
        namespace.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        eventually(lambda name=name: not namespace.get("pod", name), f"{name} is gone")


def test_pre_stop_runs_before_sigterm(namespace, a_pod, eventually):
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    pvc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "notes"}, "spec": claim}
    script = "trap 'echo term >> /notes/log; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    volumes = [{"name": "notes", "persistentVolumeClaim": {"claimName": "notes"}}]
    mount = {"volumeMounts": [{"name": "notes", "mountPath": "/notes"}]}
    hook = {"lifecycle": {"preStop": {"exec": {"command": list(sh("echo hook >> /notes/log"))}}}}
    namespace.apply(pvc, a_pod("hooked", *sh(script), container={**mount, **hook}, volumes=volumes))
    eventually(lambda: namespace.kubectl("logs", "hooked", check=False) == "up\n")
    namespace.kubectl("delete", "pod", "hooked")
    namespace.apply(a_pod("reads", *sh("cat /notes/log"), container=mount, volumes=volumes))
    namespace.ended("reads")
    assert namespace.logs("reads") == "hook\nterm\n"


def test_active_deadline_ends_the_pod(namespace, a_pod):
    namespace.apply(a_pod("slow", *sh("exec sleep 60"), activeDeadlineSeconds=1, terminationGracePeriodSeconds=1))
    pod = namespace.ended("slow")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


SERVER = """
import http.server, os, pathlib, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = not pathlib.Path("/tmp/bad").exists() or self.path == "/break"
        if self.path == "/break":
            pathlib.Path("/tmp/bad").touch()
        self.send_response(200 if good else 503); self.end_headers(); self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Page).serve_forever()
"""
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def test_http_readiness_follows_what_the_server_says(namespace, a_pod, eventually):
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1}
    container = {"env": [POD_IP], "ports": [{"name": "web", "containerPort": 8080}], "readinessProbe": probe}
    namespace.apply(a_pod("web", "python", "-c", SERVER, container=container))
    eventually(lambda: condition(namespace.get("pod", "web"), "Ready")["status"] == "True", "ready")
    address = namespace.get("pod", "web")["status"]["podIP"]
    subprocess.run(["curl", "-sf", "--noproxy", "*", f"http://{address}:8080/break"], check=True, capture_output=True)
    eventually(lambda: condition(namespace.get("pod", "web"), "Ready")["status"] == "False", "unready")
    assert namespace.get("pod", "web")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_failed_liveness_probe_restarts_the_container(namespace, a_pod, eventually):
    probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2}
    startup = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 30}
    script = "touch /tmp/alive; sleep 3; rm /tmp/alive; exec sleep 60"
    container = {"livenessProbe": probe, "startupProbe": startup}
    namespace.apply(
        a_pod("frail", *sh(script), container=container, restartPolicy="Always", terminationGracePeriodSeconds=1)
    )
    eventually(lambda: namespace.get("pod", "frail")["status"]["containerStatuses"][0]["restartCount"] >= 1)
    events = namespace.list("events", "--field-selector", "involvedObject.name=frail")
    assert {"Unhealthy", "Killing"} <= {event["reason"] for event in events}


def test_tcp_startup_probe_holds_readiness_back(namespace, a_pod, eventually):
    listen = "import socket, os, time; s = socket.create_server((os.environ['POD_IP'], 9000)); time.sleep(60)"
    container = {"env": [POD_IP], "startupProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1}}
    namespace.apply(
        a_pod("opens", "python", "-c", listen, container=container),
        a_pod("silent", *sh("exec sleep 60"), container=container),
    )
    eventually(lambda: condition(namespace.get("pod", "opens"), "Ready")["status"] == "True", "ready")
    eventually(lambda: namespace.phase("silent") == "Running")
    silent = namespace.get("pod", "silent")
    assert condition(silent, "Ready")["status"] == "False"
    assert silent["status"]["containerStatuses"][0]["started"] is False


def test_a_pod_over_its_memory_limit_is_oom_killed(namespace, a_pod):
    script = "x = []\nwhile True: x.append(bytearray(b'x' * 2**24))"
    limits = {"resources": {"limits": {"memory": "128Mi"}}}
    namespace.apply(a_pod("hungry", "python", "-c", script, container=limits))
    ended = terminated(namespace.ended("hungry"))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_an_image_that_cannot_be_had_is_waited_for(namespace, a_pod, eventually):
    namespace.apply(a_pod("nowhere", "true", container={"image": "registry.invalid/team/trainer:1"}))

    def reason():
        statuses = namespace.get("pod", "nowhere")["status"].get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("waiting", {}).get("reason")

    eventually(lambda: reason() == "ErrImagePull", "first try")
    eventually(lambda: reason() == "ImagePullBackOff", "then it backs off")
    assert namespace.phase("nowhere") == "Pending"
    namespace.kubectl("delete", "pod", "nowhere")


REFUSED = {
    "hostpath": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    "hostnetwork": {"hostNetwork": True},
    "hostpid": {"hostPID": True},
    "privileged": {"container": {"securityContext": {"privileged": True}}},
    "capabilities": {"container": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_and_never_run(namespace, a_pod, name):
    namespace.apply(a_pod(name, *sh("echo ran"), **REFUSED[name]))
    pod = namespace.ended(name)
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "UnsupportedPod")
    assert "not supported" in pod["status"]["message"]
    assert "ran" not in namespace.kubectl("logs", name, check=False)
    events = namespace.list("events", "--field-selector", f"involvedObject.name={name}")
    assert "UnsupportedPod" in {event["reason"] for event in events}


def test_exec_is_refused_with_a_reason(namespace, a_pod, eventually):
    namespace.apply(a_pod("shell", *sh("exec sleep 60")))
    eventually(lambda: namespace.phase("shell") == "Running")
    assert "not supported" in namespace.kubectl("exec", "shell", "--", "true", check=False)


def test_a_sandbox_sees_neither_secrets_of_the_host_nor_of_the_cluster_and_cannot_write(namespace, a_pod):
    script = (
        "import os\n"
        f"for place in ({str(namespace.cluster.paths.pki)!r}, '/root/.kube', '/root/.ssh'):\n"
        "    if os.path.exists(place): print('sees', place)\n"
        "try: print(open('/etc/shadow').read())\n"
        "except OSError: pass\n"
        "for place in ('/', '/usr', '/etc', '/root', '/run', os.path.dirname(os.__file__)):\n"
        "    try: open(place + '/written', 'w'); print('wrote', place)\n"
        "    except OSError: pass\n"
        "print(open('/proc/self/status').read().split('CapEff:')[1].split()[0])\n"
        "print(len([p for p in os.listdir('/proc') if p.isdigit()]))\n"
    )
    namespace.apply(a_pod("jail", "python", "-c", script))
    namespace.ended("jail")
    assert namespace.logs("jail").split() == ["0000000000000000", "1"]
