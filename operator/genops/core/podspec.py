"""The only builder of pod templates and Jobs.

Every pod of ours is the same: one container that finds its task in a file, no token, no privilege, a root it cannot
write, stores under one folder. The task travels in an annotation of the pod, so that a Job is whole in one create and
can never meet another task than its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gencontract import layout
from gencontract.codes import PERMANENT, Code
from gencontract.task import TaskFile
from gencontract.wire import encode_task
from genops.core.kinds import JOB
from genops.core.model import Config, Manifest, Resource
from genops.core.names import child_labels, child_name, owner_reference

TASK_ANNOTATION = f"{layout.GROUP}/task"
USER_ID = 65532
GRACE_SECONDS = 120


@dataclass(frozen=True)
class Mount:
    """A claim that the pod sees at STORE_DIR/<claim>."""

    claim: str
    read_only: bool = False


@dataclass(frozen=True)
class Work:
    """What one pod, or one set of equal pods, is to do."""

    role: str
    task: TaskFile
    image: str
    command: tuple[str, ...] = ("python", "-m", "gentrainers", "--task", layout.TASK_FILE)
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[str, ...] = ()  # mounted as files under SECRET_DIR/<name>; values are never read by the operator
    resources: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)  # nodeSelector, tolerations, priorityClassName
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trying:
    """How often a Job is tried, and for how long."""

    backoff_limit: int = 3
    deadline_seconds: int | None = None
    suspend: bool = False


def pod_path(uri: str) -> str:
    """Turn pvc://<claim>/<path> into the path that the pod sees; other locations stay as they are.

    >>> pod_path("pvc://digits-data/dataset")
    '/genops/store/digits-data/dataset'
    """
    return layout.STORE_DIR + "/" + uri.removeprefix("pvc://") if uri.startswith("pvc://") else uri


def claims_of(*uris: str | None) -> tuple[str, ...]:
    """Name the claims that locations live on.

    >>> claims_of("pvc://a/x", "s3://b/y", None, "pvc://a/z")
    ('a',)
    """
    found = {uri.removeprefix("pvc://").split("/", 1)[0]: None for uri in uris if uri and uri.startswith("pvc://")}
    return tuple(found)


def job(owner: Resource[Any], work: Work, trying: Trying, config: Config) -> Manifest:
    """Build the Job that runs `work` once. Its name holds the hash of all that makes it what it is."""
    labels = child_labels(owner.kind, owner.metadata, work.role)
    template = pod_template(work, labels, config)
    name = child_name(owner.name, work.role, [owner.uid, template])
    spec: dict[str, Any] = {
        "backoffLimit": trying.backoff_limit,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": failure_rules()},
        "suspend": trying.suspend,
        "template": template,
    }
    if trying.deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = trying.deadline_seconds
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(owner.kind, owner.metadata)],
        },
        "spec": spec,
    }


def failure_rules() -> list[dict[str, Any]]:
    """Render the table of exit codes into podFailurePolicy rules; the first that fits counts."""
    codes = {"containerName": layout.CONTAINER, "operator": "In"}
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {**codes, "values": [int(Code.PREEMPTED)]}},
        {"action": "FailJob", "onExitCodes": {**codes, "values": list(PERMANENT)}},
    ]


def pod_template(work: Work, labels: Mapping[str, str], config: Config) -> Manifest:
    """Build the template of a pod that meets the `restricted` pod security standard."""
    spec: dict[str, Any] = {
        **work.template,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(),
        "containers": [_container(work, config)],
        "volumes": _volumes(work),
    }
    return {
        "metadata": {"labels": dict(labels), "annotations": {TASK_ANNOTATION: encode_task(work.task)}},
        "spec": spec,
    }


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


def _container(work: Work, config: Config) -> Manifest:
    env = {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", **work.env}
    return {
        "name": layout.CONTAINER,
        "image": work.image,
        "imagePullPolicy": config.image_pull_policy,
        "command": list(work.command),
        "env": [{"name": k, "value": v} for k, v in sorted(env.items())],
        "resources": dict(work.resources),
        "securityContext": container_security(),
        "terminationMessagePath": layout.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(work),
    }


def _mounts(work: Work) -> list[dict[str, Any]]:
    stores = [
        {"name": f"store-{i}", "mountPath": f"{layout.STORE_DIR}/{m.claim}", "readOnly": m.read_only}
        for i, m in enumerate(work.mounts)
    ]
    secrets = [
        {"name": f"secret-{i}", "mountPath": f"{layout.SECRET_DIR}/{name}", "readOnly": True}
        for i, name in enumerate(work.secrets)
    ]
    fixed = [
        {"name": "task", "mountPath": layout.TASK_DIR, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    return fixed + stores + secrets


def _volumes(work: Work) -> list[dict[str, Any]]:
    task = {"path": "task.json", "fieldRef": {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}}
    stores: list[dict[str, Any]] = [
        {"name": f"store-{i}", "persistentVolumeClaim": {"claimName": m.claim, "readOnly": m.read_only}}
        for i, m in enumerate(work.mounts)
    ]
    secrets: list[dict[str, Any]] = [
        {"name": f"secret-{i}", "secret": {"secretName": name, "defaultMode": 0o440}}
        for i, name in enumerate(work.secrets)
    ]
    return [{"name": "task", "downwardAPI": {"items": [task]}}, {"name": "tmp", "emptyDir": {}}, *stores, *secrets]
