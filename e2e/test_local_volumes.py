"""Volumes of every kind on the local node, and claims from their first pod to their end."""

import json
import time

import pytest

IMAGE = "genops/local:test"


def sh(script):
    return ("sh", "-c", script)


def mount(name, path, **more):
    return {"volumeMounts": [{"name": name, "mountPath": path, **more}]}


def a_claim(name, storage_class=None):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def claimed(name):
    return [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]


SHOW = (
    "import os, json, stat\n"
    "found = {}\n"
    "for base, folders, names in os.walk('/v', followlinks=True):\n"
    "    folders[:] = [name for name in folders if not name.startswith('..')]\n"
    "    for name in names:\n"
    "        path = os.path.join(base, name)\n"
    "        found[path] = [open(path).read(), oct(stat.S_IMODE(os.stat(path).st_mode))]\n"
    "print(json.dumps(found))\n"
)


def test_projected_files_of_every_source(namespace, a_pod):
    namespace.kubectl("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2")
    namespace.kubectl("create", "secret", "generic", "keys", "--from-literal=token=s3cret")
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    limit = {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}}
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "b", "path": "deep/b"}]}},
        {"secret": {"name": "keys"}},
        {"downwardAPI": {"items": [labels]}},
        {"configMap": {"name": "nowhere", "optional": True}},
    ]
    volumes = [
        {"name": "cm", "configMap": {"name": "settings", "defaultMode": 0o440}},
        {"name": "sec", "secret": {"secretName": "keys", "items": [{"key": "token", "path": "t", "mode": 0o400}]}},
        {"name": "down", "downwardAPI": {"items": [limit]}},
        {"name": "all", "projected": {"sources": sources}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/v/{v['name']}"} for v in volumes]
    container = {"volumeMounts": mounts, "resources": {"limits": {"cpu": "250m"}}}
    namespace.apply(a_pod("files", "python", "-c", SHOW, container=container, volumes=volumes))
    namespace.ended("files")
    assert json.loads(namespace.logs("files")) == {
        "/v/cm/a": ["1", "0o440"],
        "/v/cm/b": ["2", "0o440"],
        "/v/sec/t": ["s3cret", "0o400"],
        "/v/down/cpu": ["250", "0o644"],
        "/v/all/token": ["s3cret", "0o644"],
        "/v/all/labels": ['app="files"', "0o644"],
        "/v/all/deep/b": ["2", "0o644"],
    }


def test_a_service_account_token_opens_the_api_with_that_accounts_rights_only(namespace, a_pod):
    namespace.kubectl("create", "serviceaccount", "reader")
    namespace.kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps")
    namespace.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader")
    script = (
        "import json, os, ssl, urllib.request, urllib.error\n"
        "base = '/var/run/secrets/kubernetes.io/serviceaccount/'\n"
        "tls = ssl.create_default_context(cafile=base + 'ca.crt')\n"
        "opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls))\n"
        "def ask(host, kind, name):\n"
        "    url = f'https://{host}/api/v1/namespaces/{open(base + \"namespace\").read()}/{kind}/{name}'\n"
        "    head = {'Authorization': 'Bearer ' + open(base + 'token').read()}\n"
        "    try: return opener.open(urllib.request.Request(url, headers=head)).status\n"
        "    except urllib.error.HTTPError as error: return error.code\n"
        "direct = os.environ['KUBERNETES_SERVICE_HOST'] + ':' + os.environ['KUBERNETES_SERVICE_PORT']\n"
        "print(ask(direct, 'configmaps', 'kube-root-ca.crt'), ask(direct, 'secrets', 'x'))\n"
        "print(ask('kubernetes.default.svc', 'configmaps', 'kube-root-ca.crt'))\n"
    )
    namespace.apply(a_pod("asks", "python", "-c", script, serviceAccountName="reader"))
    namespace.ended("asks")
    assert namespace.logs("asks").split() == ["200", "403", "200"]


def test_a_changed_config_map_reaches_the_running_pod(namespace, a_pod):
    namespace.kubectl("create", "configmap", "settings", "--from-literal=a=old")
    script = "until grep -q new /v/a; do sleep 0.1; done; cat /v/a"
    volumes = [{"name": "cm", "configMap": {"name": "settings"}}]
    namespace.apply(a_pod("watches", *sh(script), container=mount("cm", "/v"), volumes=volumes))
    namespace.kubectl("patch", "configmap", "settings", "-p", '{"data":{"a":"new"}}')
    namespace.ended("watches")
    assert namespace.logs("watches") == "new\n"


@pytest.mark.parametrize("medium", ["", "Memory"])
def test_an_empty_dir_is_shared_in_the_pod_and_gone_after_it(namespace, a_pod, eventually, medium):
    shared = {"image": IMAGE, **mount("shared", "/deep/shared")}
    inits = [{"name": "writes", "command": list(sh("echo hello > /deep/shared/x")), **shared}]
    volumes = [{"name": "shared", "emptyDir": {"medium": medium}}]
    namespace.apply(a_pod("shares", *sh("cat /deep/shared/x"), container=shared, initContainers=inits, volumes=volumes))
    pod = namespace.ended("shares")
    assert namespace.logs("shares") == "hello\n"
    namespace.kubectl("delete", "pod", "shares")
    uid = pod["metadata"]["uid"]
    eventually(lambda: not (namespace.cluster.paths.pods / uid).exists())
    assert not (namespace.cluster.paths.memory / uid).exists()


def test_an_empty_dir_over_its_limit_gets_the_pod_evicted(namespace, a_pod):
    volumes = [{"name": "small", "emptyDir": {"sizeLimit": "1Mi"}}]
    script = "head -c 4000000 /dev/zero > /small/x; exec sleep 60"
    namespace.apply(a_pod("greedy", *sh(script), container=mount("small", "/small"), volumes=volumes))
    pod = namespace.ended("greedy")
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Evicted")
    assert "DisruptionTarget" in {c["type"] for c in pod["status"]["conditions"]}


def test_sub_paths_and_read_only_mounts(namespace, a_pod):
    namespace.kubectl("create", "configmap", "settings", "--from-literal=a=1", "--from-literal=b=2")
    mounts = [
        {"name": "data", "mountPath": "/one", "subPath": "one"},
        {"name": "data", "mountPath": "/pod", "subPathExpr": "by-$(NAME)"},
        {"name": "data", "mountPath": "/locked", "readOnly": True},
        {"name": "cm", "mountPath": "/etc/genops/a.conf", "subPath": "a"},
        {"name": "cm", "mountPath": "/usr/share/made-up/deep"},
    ]
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "cm", "configMap": {"name": "settings"}}]
    script = (
        "echo x > /one/x; echo y > /pod/y; cat /locked/one/x /locked/by-subs/y; touch /locked/z 2>/dev/null || echo ro;"
        "cat /etc/genops/a.conf; ls /usr/share/made-up/deep /etc/genops; test -e /etc/ssl/openssl.cnf && echo kept"
    )
    env = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    namespace.apply(a_pod("subs", *sh(script), container={"volumeMounts": mounts, "env": env}, volumes=volumes))
    namespace.ended("subs")
    text = "x y ro 1/etc/genops: a.conf /usr/share/made-up/deep: a b kept"
    assert namespace.logs("subs").split() == text.split()


def test_a_sub_path_cannot_leave_its_volume(namespace, a_pod, eventually):
    inits = [{"name": "link", "image": IMAGE, "command": list(sh("ln -s / /data/out")), **mount("data", "/data")}]
    sneaky = mount("data", "/out", subPath="out/etc")
    namespace.apply(
        a_pod("sneaky", *sh("ls /out"), container=sneaky, initContainers=inits,
              volumes=[{"name": "data", "emptyDir": {}}])
    )  # fmt: skip

    def message():
        waiting = namespace.get("pod", "sneaky")["status"].get("containerStatuses", [{}])[0].get("state", {})
        return waiting.get("waiting", {}).get("message", "")

    eventually(lambda: "leaves its volume" in message())


def test_a_claim_survives_its_pod_and_takes_its_folder_along_when_deleted(namespace, a_pod, eventually):
    namespace.apply(a_claim("data"))
    writes = a_pod("writes", *sh("echo kept > /data/x"), container=mount("data", "/data"), volumes=claimed("data"))
    assert namespace.get("pvc", "data")["status"]["phase"] == "Pending", "it waits for its first consumer"
    namespace.apply(writes)
    namespace.ended("writes")
    namespace.kubectl("delete", "pod", "writes")
    namespace.apply(a_pod("reads", *sh("cat /data/x"), container=mount("data", "/data"), volumes=claimed("data")))
    namespace.ended("reads")
    assert namespace.logs("reads") == "kept\n"
    volume = namespace.get("pvc", "data")["spec"]["volumeName"]
    folder = namespace.cluster.paths.volumes / volume
    assert (folder / "x").read_text() == "kept\n"
    namespace.kubectl("delete", "pod", "reads")
    namespace.kubectl("delete", "pvc", "data")
    eventually(lambda: not folder.exists(), "the folder is gone")
    eventually(lambda: not namespace.get("pv", volume), "the volume too")


def test_the_immediate_class_binds_without_a_pod(namespace, eventually):
    namespace.apply(a_claim("now", "genops-local-immediate"))
    eventually(lambda: namespace.get("pvc", "now")["status"]["phase"] == "Bound")


def test_a_volume_of_somebody_elses_is_not_mounted(namespace, a_pod, eventually):
    """A PersistentVolume can name any folder of the host; only those that the provisioner made are used."""
    pv_name = f"theirs-{namespace}-{int(time.time())}"
    spec = {
        "capacity": {"storage": "10Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "theirs",
        "hostPath": {"path": "/etc"},
        "claimRef": {"namespace": namespace.name, "name": "data"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    theirs = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": pv_name}, "spec": spec}
    claim = a_claim("data", "theirs")
    claim["spec"]["volumeName"] = pv_name
    namespace.apply(theirs, claim)
    namespace.apply(a_pod("curious", *sh("ls /data"), container=mount("data", "/data"), volumes=claimed("data")))
    try:
        events = ("events", "--field-selector", "involvedObject.name=curious,reason=FailedMount")
        eventually(lambda: any("none of this node's" in e["message"] for e in namespace.list(*events)))
        assert namespace.phase("curious") == "Pending"
    finally:
        namespace.kubectl("delete", "pod", "curious")
        namespace.kubectl("delete", "pvc", "data")
        namespace.kubectl("delete", "pv", pv_name)
