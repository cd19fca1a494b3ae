"""The Job controller against the local node: completion, failure rules, Indexed jobs whose pods talk."""

import json

IMAGE = "genops/local:test"


def sh(script):
    return ["sh", "-c", script]


def a_job(name, command, restart="Never", pod=None, container=None, **spec):
    main = {"name": "main", "image": IMAGE, "command": command, **(container or {})}
    template = {
        "spec": {"restartPolicy": restart, "containers": [main], "terminationGracePeriodSeconds": 2, **(pod or {})}
    }
    template["metadata"] = {"labels": {"app": name}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template, **spec},
    }


def condition(job, kind):
    return next((c for c in job.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def holds(namespace, name, kind):
    return condition(namespace.get("job", name), kind).get("status") == "True"


def test_a_job_completes(namespace, eventually):
    namespace.apply(a_job("good", sh("echo done"), completions=3, parallelism=2))
    eventually(lambda: holds(namespace, "good", "Complete"))
    assert namespace.get("job", "good")["status"]["succeeded"] == 3


def test_a_job_fails_after_its_back_off_limit(namespace, eventually):
    namespace.apply(a_job("bad", sh("exit 3"), backoffLimit=1))
    eventually(lambda: holds(namespace, "bad", "Failed"))
    job = namespace.get("job", "bad")
    assert (condition(job, "Failed")["reason"], job["status"]["failed"]) == ("BackoffLimitExceeded", 2)
    codes = [p["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] for p in namespace.list("pods")]
    assert codes == [3, 3]


def test_pod_failure_policy_fails_the_job_for_one_exit_code_and_ignores_another(namespace, eventually):
    rules = [
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"containerName": "main", "operator": "In", "values": [75]}},
    ]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    pvc = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "tries"}, "spec": claim}
    once = "test -e /tries/first || { touch /tries/first; exit 75; }"
    volume = {"volumes": [{"name": "tries", "persistentVolumeClaim": {"claimName": "tries"}}]}
    mount = {"volumeMounts": [{"name": "tries", "mountPath": "/tries"}]}
    namespace.apply(
        pvc,
        a_job("fatal", sh("exit 42"), backoffLimit=6, podFailurePolicy={"rules": rules}),
        a_job("again", sh(once), pod=volume, container=mount, podFailurePolicy={"rules": rules}),
    )
    eventually(lambda: holds(namespace, "fatal", "Failed"))
    eventually(lambda: holds(namespace, "again", "Complete"))
    assert condition(namespace.get("job", "fatal"), "Failed")["reason"] == "PodFailurePolicy"
    assert namespace.get("job", "fatal")["status"]["failed"] == 1
    assert namespace.get("job", "again")["status"].get("failed", 0) == 0


TALK = """
import os, socket, time
me, peer = os.environ["JOB_COMPLETION_INDEX"], f"ring-{1 - int(os.environ['JOB_COMPLETION_INDEX'])}.ring"
server = socket.create_server((os.environ["POD_IP"], 7000))
for _ in range(300):
    try:
        out = socket.create_connection((peer, 7000), timeout=2); break
    except OSError: time.sleep(0.1)
out.sendall(me.encode()); out.close()
print("heard", server.accept()[0].recv(10).decode(), flush=True)
"""


def test_pods_of_an_indexed_job_find_each_other_through_a_headless_service(namespace, eventually):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ring"},
        "spec": {"clusterIP": "None", "selector": {"app": "ring"}, "publishNotReadyAddresses": True},
    }
    env = {"env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}
    job = a_job(
        "ring", ["python", "-c", TALK], pod={"subdomain": "ring"}, container=env,
        completionMode="Indexed", completions=2, parallelism=2,
    )  # fmt: skip
    namespace.apply(service, job)
    eventually(lambda: holds(namespace, "ring", "Complete"))
    pods = {p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: p for p in namespace.list("pods")}
    heard = {index: namespace.logs(pod["metadata"]["name"]).strip() for index, pod in pods.items()}
    assert heard == {"0": "heard 1", "1": "heard 0"}


def test_a_deleted_pod_is_replaced_only_when_it_is_over(namespace, eventually):
    script = "trap 'sleep 1; exit 1' TERM; echo up; while :; do sleep 0.1; done"
    namespace.apply(a_job("replaced", sh(script), backoffLimit=3, podReplacementPolicy="Failed"))
    first = eventually(lambda: [p for p in namespace.list("pods") if p["status"]["phase"] == "Running"])[0]
    eventually(lambda: namespace.kubectl("logs", first["metadata"]["name"], check=False) == "up\n")
    namespace.kubectl("delete", "pod", first["metadata"]["name"])
    second = eventually(lambda: [p for p in namespace.list("pods") if p["metadata"]["uid"] != first["metadata"]["uid"]])
    assert namespace.get("job", "replaced")["status"]["failed"] == 1
    assert len(second) == 1


def test_a_suspended_job_gives_up_its_pod_and_goes_on_later(namespace, eventually):
    namespace.apply(a_job("paused", sh("exec sleep 60")))
    eventually(lambda: any(p["status"]["phase"] == "Running" for p in namespace.list("pods")))
    namespace.kubectl("patch", "job", "paused", "-p", json.dumps({"spec": {"suspend": True}}))
    eventually(lambda: not namespace.list("pods"), "no pods")
    namespace.kubectl("patch", "job", "paused", "-p", json.dumps({"spec": {"suspend": False}}))
    eventually(lambda: any(p["status"]["phase"] == "Running" for p in namespace.list("pods")))


def test_finished_jobs_go_after_their_time_with_their_pods(namespace, eventually):
    namespace.apply(a_job("brief", sh("true"), ttlSecondsAfterFinished=1))
    eventually(lambda: not namespace.get("job", "brief"), "the job is gone")
    eventually(lambda: not namespace.list("pods"), "its pod too")
