"""The only builder of pod templates and Jobs.

Every pod of ours is the same: one container that finds its task in a file, no token, no privilege, a root it cannot
write, stores under one folder. The task travels in an annotation of the pod, so that a Job is whole in one create and
can never meet another task than its own.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gencontract import layout
from gencontract.codes import PERMANENT, Code
from gencontract.task import TaskFile
from gencontract.wire import encode_task
from genops.core.blocks import EnvVar, PodTemplate, Resources, Volume
from genops.core.kinds import JOB
from genops.core.model import Config, Manifest, Resource
from genops.core.names import child_labels, child_name, owner_reference

TASK_ANNOTATION = f"{layout.GROUP}/task"
USER_ID = 65532
GRACE_SECONDS = 120
THREADS = "OMP_NUM_THREADS"
ENDS = ("Preempted", "NodeLost", "Error")
DEFAULT_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}}
TRAINER = ("python", "-m", "gentrainers", "--task", layout.TASK_FILE)


@dataclass(frozen=True)
class Work:
    """What one pod, or one set of equal pods, is to do."""

    role: str
    task: TaskFile
    image: str
    command: tuple[str, ...] = TRAINER
    claims: tuple[str, ...] = ()  # mounted at STORE_DIR/<claim>
    secrets: tuple[str, ...] = ()  # mounted as files under SECRET_DIR/<name>; values are never read by the operator
    resources: Resources | None = None
    template: PodTemplate | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    shared_memory: str = ""  # size of /dev/shm where the container runtime's 64 MiB are too few
    read_only: bool = False  # whether the claims are mounted without the right to write
    written: tuple[str, ...] = ()  # claims that are written to all the same
    serving: "Serving | None" = None  # for pods that run on until they are asked to stop


@dataclass(frozen=True)
class Serving:
    """Where a pod that runs on listens, and how the kubelet asks how it is."""

    ports: Mapping[str, int]  # by name; the names are what a Service refers to
    probe_port: str  # its name among `ports`
    ready_path: str
    live_path: str
    start_seconds: int  # after which a pod that was never ready is started again


@dataclass(frozen=True)
class Trying:
    """How often a Job is tried, and for how long."""

    backoff_limit: int = 3
    deadline_seconds: int | None = None
    suspend: bool = False
    after: tuple[str, ...] = ENDS  # which ends are worth another try


def pod_path(uri: str) -> str:
    """Turn pvc://<claim>/<path> into the path that the pod sees; other locations stay as they are.

    >>> pod_path("pvc://digits-data/dataset")
    '/genops/store/digits-data/dataset'
    """
    return layout.STORE_DIR + "/" + uri.removeprefix("pvc://") if uri.startswith("pvc://") else uri


def store_uri(path: str) -> str:
    """Turn a path that a pod names back into pvc://<claim>/<path>; other locations stay as they are.

    >>> store_uri("/genops/store/digits-data/dataset")
    'pvc://digits-data/dataset'
    """
    root = layout.STORE_DIR + "/"
    return "pvc://" + path.removeprefix(root) if path.startswith(root) else path


def claims_of(*uris: str | None) -> tuple[str, ...]:
    """Name the claims that locations live on.

    >>> claims_of("pvc://a/x", "s3://b/y", None, "pvc://a/z")
    ('a',)
    """
    found = {uri.removeprefix("pvc://").split("/", 1)[0]: None for uri in uris if uri and uri.startswith("pvc://")}
    return tuple(found)


def job(
    owner: Resource[Any], work: Work, trying: Trying, config: Config, inputs: Any, name: str | None = None
) -> Manifest:
    """Build the Job that does `work` once. Its name holds the hash of `inputs`, which must say all that matters.

    The template is not part of the name: a newer operator, which may render it otherwise, leaves running Jobs alone.
    """
    labels = child_labels(owner.kind, owner.metadata, work.role)
    spec: dict[str, Any] = {
        "backoffLimit": trying.backoff_limit if "Error" in trying.after else 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": failure_rules(trying.after)},
        "suspend": trying.suspend,
        "template": pod_template(work, labels, config),
    }
    if trying.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = trying.deadline_seconds
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": name or child_name(owner.name, work.role, [owner.uid, inputs]),
            "namespace": owner.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(owner.kind, owner.metadata)],
        },
        "spec": spec,
    }


def failure_rules(after: Sequence[str] = ENDS) -> list[dict[str, Any]]:
    """Render the table of exit codes into podFailurePolicy rules; the first that fits counts.

    A pod that was asked to stop and saved its state is Preempted; one that was lost before it could is NodeLost.
    """
    free = {end: "Ignore" if end in after else "FailJob" for end in ENDS}
    codes = {"containerName": layout.CONTAINER, "operator": "In"}
    return [
        {"action": free["Preempted"], "onExitCodes": {**codes, "values": [int(Code.PREEMPTED)]}},
        {"action": free["NodeLost"], "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {**codes, "values": [int(c) for c in PERMANENT]}},
    ]


def pod_template(work: Work, labels: Mapping[str, str], config: Config) -> Manifest:
    """Build the template of a pod that meets the `restricted` pod security standard, whatever the user's part says."""
    extra = work.template or PodTemplate()
    spec: dict[str, Any] = {
        **_placement(extra),
        "restartPolicy": "Always" if work.serving else "Never",
        "automountServiceAccountToken": extra.service_account_name is not None,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(),
        "containers": [_container(work, extra, config)],
        "volumes": _volumes(work, extra),
    }
    annotations = {**extra.annotations, TASK_ANNOTATION: encode_task(work.task)}
    return {"metadata": {"labels": {**extra.labels, **labels}, "annotations": annotations}, "spec": spec}


def pod_security() -> dict[str, Any]:
    """The pod's side of the restricted standard."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """The container's side of the restricted standard."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _placement(extra: PodTemplate) -> dict[str, Any]:
    said = {
        "nodeSelector": dict(extra.node_selector),
        "tolerations": [_plain(t) for t in extra.tolerations],
        "priorityClassName": extra.priority_class_name,
        "runtimeClassName": extra.runtime_class_name,
        "serviceAccountName": extra.service_account_name,
        "imagePullSecrets": [_plain(s) for s in extra.image_pull_secrets],
    }
    return {k: v for k, v in said.items() if v}


def _container(work: Work, extra: PodTemplate, config: Config) -> Manifest:
    fixed = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **work.env}
    if all(e.name != THREADS for e in extra.env):
        fixed[THREADS] = str(whole_cpus(work.resources))
    own: list[dict[str, Any]] = [{"name": k, "value": v} for k, v in sorted(fixed.items())]
    if work.serving:
        own.append({"name": layout.ENV_POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    taken = {e["name"] for e in own}  # apply refuses a name that stands twice
    env = [_env(e) for e in extra.env if e.name not in taken] + own
    return {
        **_serving(work.serving),
        "name": layout.CONTAINER,
        "image": work.image,
        "imagePullPolicy": config.image_pull_policy,
        "command": list(work.command),
        "env": env,
        "resources": _plain(work.resources) if work.resources else DEFAULT_RESOURCES,
        "securityContext": container_security(),
        "terminationMessagePath": layout.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": [mount for _, mount in _all_volumes(work, extra)],
    }


def whole_cpus(resources: Resources | None) -> int:
    """How many processors a pod may count on: what it asks for, rounded up; 1 where it does not say.

    More threads than that spin for nothing, and another count would sum floats in another order.

    >>> whole_cpus(Resources(requests={"cpu": "1500m"})), whole_cpus(None)
    (2, 1)
    """
    said = (resources.requests.get("cpu") or resources.limits.get("cpu")) if resources else None
    match = re.fullmatch(r"([0-9.]+)(m?)", said or "1")
    if match is None:
        return 1
    return max(1, math.ceil(float(match[1]) / (1000 if match[2] else 1)))


def _serving(serving: Serving | None) -> dict[str, Any]:
    """Ports and probes. A pod is not asked whether it lives before it was ready once: engines load slowly."""
    if serving is None:
        return {}
    ready = {"httpGet": {"path": serving.ready_path, "port": serving.probe_port}, "timeoutSeconds": 5}
    live = {"httpGet": {"path": serving.live_path, "port": serving.probe_port}, "timeoutSeconds": 5}
    every = 2
    return {
        "ports": [{"name": n, "containerPort": p, "protocol": "TCP"} for n, p in serving.ports.items()],
        "startupProbe": {**ready, "periodSeconds": every, "failureThreshold": -(-serving.start_seconds // every)},
        "readinessProbe": {**ready, "periodSeconds": every, "failureThreshold": 2},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 3},
    }


def _volumes(work: Work, extra: PodTemplate) -> list[dict[str, Any]]:
    return [volume for volume, _ in _all_volumes(work, extra)]


def _all_volumes(work: Work, extra: PodTemplate) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each volume with its mount."""
    task = {"path": "task.json", "fieldRef": {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}}
    return [
        _volume("task", {"downwardAPI": {"items": [task]}}, layout.TASK_DIR, read_only=True),
        _volume("tmp", {"emptyDir": {}}, "/tmp"),
        *_shared_memory(work),
        *(
            _volume(f"store-{i}", _claim(claim, read_only), f"{layout.STORE_DIR}/{claim}", read_only)
            for i, (claim, read_only) in enumerate(_claims(work).items())
        ),
        *(
            _volume(
                f"secret-{i}",
                {"secret": {"secretName": name, "defaultMode": 0o440}},
                f"{layout.SECRET_DIR}/{name}",
                read_only=True,
            )
            for i, name in enumerate(work.secrets)
        ),
        *(_volume(f"user-{v.name}", _source(v), v.mount_path, v.read_only) for v in extra.volumes),
    ]


def _claims(work: Work) -> dict[str, bool]:
    """Each claim once, and whether it is mounted without the right to write."""
    return {claim: work.read_only and claim not in work.written for claim in (*work.claims, *work.written)}


def _claim(name: str, read_only: bool) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name, **({"readOnly": True} if read_only else {})}}


def _shared_memory(work: Work) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    if not work.shared_memory:
        return []
    return [_volume("shm", {"emptyDir": {"medium": "Memory", "sizeLimit": work.shared_memory}}, "/dev/shm")]


def _volume(
    name: str, source: dict[str, Any], path: str, read_only: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    mount: dict[str, Any] = {"name": name, "mountPath": path}
    return {"name": name, **source}, {**mount, "readOnly": True} if read_only else mount


def _source(volume: Volume) -> dict[str, Any]:
    if volume.config_map:
        return {"configMap": {"name": volume.config_map.name}}
    if volume.secret:
        return {"secret": {"secretName": volume.secret.name}}
    if volume.pvc:
        return {"persistentVolumeClaim": {"claimName": volume.pvc.name}}
    return {"emptyDir": _plain(volume.empty_dir) if volume.empty_dir else {}}


def _env(variable: EnvVar) -> dict[str, Any]:
    if variable.value is not None:
        return {"name": variable.name, "value": variable.value}
    source = "secretKeyRef" if variable.secret_key_ref else "configMapKeyRef"
    return {
        "name": variable.name,
        "valueFrom": {source: _plain(variable.secret_key_ref or variable.config_map_key_ref)},
    }


def _plain(model: Any) -> dict[str, Any]:
    return dict(model.model_dump(mode="json", by_alias=True, exclude_none=True))
