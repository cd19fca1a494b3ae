"""A run as a torchx AppDef, and that AppDef as objects of Kubernetes (decision 0007).

`describe` says what runs: image, command, replicas, ranks, memory, mounts. `render` says how Kubernetes runs it: a Job,
an indexed Job with a headless Service, or a JobSet. Pods are built by core.podspec alone, torchx's own Kubernetes
scheduler is not used. torchx is imported when a run is rendered and not before: it costs 15 MB and half a second.
Both functions are pure: every default of torchx is spelt out, nothing is taken from this process' environment.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gencontract import layout
from gencontract.task import TaskFile
from genops.core.kinds import JOB_SET, SERVICE
from genops.core.model import Config, Manifest, Resource
from genops.core.names import child_labels, owner_reference
from genops.core.podspec import GRACE_SECONDS, TRAINER, Trying, Work, claims_of, job
from genops.stages.training.spec import Spec

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
REPLICATED = "node"  # what a JobSet calls its only group of pods
INDEX = "$(JOB_COMPLETION_INDEX)"  # the kubelet puts the pod's number in its place
# torchrun gives its processes this long after SIGTERM; the pod's own grace ends later.
SHUTDOWN_SECONDS = GRACE_SECONDS - 20
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "m": 1e-3}
DEFAULT_MEMORY = "512Mi"


@dataclass(frozen=True)
class Launch:
    """One run to be started."""

    name: str  # of the Job or JobSet
    role: str
    task: TaskFile
    places: tuple[str, ...]  # every location that its pods read or write
    annotations: Mapping[str, str]


def describe(spec: Spec, launch: Launch, config: Config) -> Any:
    """Say what runs, as a torchx AppDef with one role."""
    from torchx.specs import AppDef, RetryPolicy, Role, VolumeMount

    entrypoint, *args = command(spec)
    role = Role(
        name=launch.role,
        image=spec.image or config.trainer_image,
        entrypoint=entrypoint,
        args=args,
        env=environment(spec, rank_zero(spec, launch.name)),
        num_replicas=spec.nodes,
        min_replicas=None,
        max_retries=spec.retry.limit,
        retry_policy=RetryPolicy.APPLICATION,
        resource=_resource(spec),
        port_map={"rendezvous": layout.PORT_RENDEZVOUS} if spec.nodes > 1 else {},
        mounts=[VolumeMount(src=c, dst_path=f"{layout.STORE_DIR}/{c}") for c in claims_of(*launch.places)],
        metadata={},
    )
    return AppDef(name=launch.name, roles=[role], metadata=dict(launch.annotations))


def command(spec: Spec) -> tuple[str, ...]:
    """Choose what a pod runs: your own command, one process, or torchrun with several."""
    from torchx.specs import macros

    if spec.command:
        return tuple(spec.command)
    if spec.procs_per_node == 1:
        return TRAINER
    rank = ("--node-rank", macros.replica_id) if spec.nodes > 1 else ()
    return ("python", "-m", "gentrainers.launch", *rank, "-m", "gentrainers", "--task", layout.TASK_FILE)


def environment(spec: Spec, first: str) -> dict[str, str]:
    """Tell the processes of one another. A lone process is told nothing and joins nobody."""
    if spec.nodes == spec.procs_per_node == 1:
        return {}
    common = {"LOGLEVEL": "WARNING"}
    if spec.procs_per_node == 1:
        port = str(layout.PORT_RENDEZVOUS)
        return {**common, "WORLD_SIZE": str(spec.nodes), "MASTER_ADDR": first, "MASTER_PORT": port}
    # torchrun reads its options from PET_<OPTION>.
    own = {"PET_NPROC_PER_NODE": str(spec.procs_per_node), "PET_NNODES": str(spec.nodes), "PET_MAX_RESTARTS": "0"}
    own |= {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS)}
    if spec.nodes == 1:
        return {**common, **own, "PET_STANDALONE": "1"}
    return {**common, **own, "PET_MASTER_ADDR": first, "PET_MASTER_PORT": str(layout.PORT_RENDEZVOUS)}


def service_name(name: str) -> str:
    """Name the headless Service of a Job: like the Job, but a Service's name starts with a letter.

    >>> service_name("3d-train-1"), service_name("faces-train-1")
    ('t-3d-train-1', 'faces-train-1')
    """
    return name if name[0].isalpha() else f"t-{name}"


def rank_zero(spec: Spec, name: str) -> str:
    """Say by what name the first pod is found."""
    if in_job_set(spec):
        return f"{name}-{REPLICATED}-0-0.{service_name(name)}"
    return f"{name}-0.{service_name(name)}"


def in_job_set(spec: Spec) -> bool:
    """Say whether the run is a JobSet."""
    return spec.scheduling is not None and spec.scheduling.gang == "JobSet"


def queue_of(spec: Spec) -> str | None:
    """Name Kueue's queue, where one is asked for."""
    return spec.scheduling.queue_name if spec.scheduling else None


def render(obj: Resource[Spec], launch: Launch, config: Config) -> tuple[Manifest, ...]:
    """Turn a run into the objects that do it."""
    from torchx.specs import macros

    app = describe(obj.spec, launch, config)
    values = macros.Values(img_root="", app_id=app.name, replica_id=INDEX, rank0_env="MASTER_ADDR")
    made = _job(obj, values.apply(app.roles[0]), app, launch, config)
    if in_job_set(obj.spec):
        return (_job_set(obj, made),)
    return (made, *((service(obj, launch.name, launch.role),) if obj.spec.nodes > 1 else ()))


def _job(obj: Resource[Spec], role: Any, app: Any, launch: Launch, config: Config) -> Manifest:
    spec, queue = obj.spec, queue_of(obj.spec)
    work = Work(
        role=role.name,
        task=launch.task,
        image=role.image,
        command=(role.entrypoint, *role.args),
        claims=tuple(mount.src for mount in role.mounts),
        resources=spec.resources,
        template=spec.template,
        env=role.env,
        shared_memory=f"{max(64, role.resource.memMB // 2)}Mi",
    )
    trying = Trying(
        role.max_retries, spec.active_deadline_seconds, bool(queue) or spec.suspend, tuple(spec.retry.after)
    )
    made = job(obj, work, trying, config, None, name=app.name)
    made["metadata"]["annotations"] = dict(app.metadata)
    if queue:
        made["metadata"]["labels"][QUEUE_LABEL] = queue
    if role.num_replicas > 1:
        _indexed(made, role.num_replicas, service_name(app.name), alone=not in_job_set(spec))
    return made


def _indexed(made: Manifest, nodes: int, subdomain: str, alone: bool) -> None:
    """Make a Job one of several equal pods that find each other by name.

    When one of them fails the others lose it and fail too, so each incident costs every index one failure at most:
    a limit for each index is the limit of the run. The first index that is over it ends the Job.
    """
    spec = made["spec"]
    spec |= {"completionMode": "Indexed", "completions": nodes, "parallelism": nodes}
    if alone:
        spec |= {"backoffLimitPerIndex": spec.pop("backoffLimit"), "maxFailedIndexes": 0}
        spec["template"]["spec"]["subdomain"] = subdomain


def service(obj: Resource[Spec], name: str, role: str) -> Manifest:
    """Build the headless Service by which the pods of a Job find the first of them, ready or not."""
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {
            "name": service_name(name),
            "namespace": obj.namespace,
            "labels": child_labels(obj.kind, obj.metadata, role),
            "ownerReferences": [owner_reference(obj.kind, obj.metadata)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"batch.kubernetes.io/job-name": name},
            "ports": [{"name": "rendezvous", "port": layout.PORT_RENDEZVOUS, "protocol": "TCP"}],
        },
    }


def _job_set(obj: Resource[Spec], made: Manifest) -> Manifest:
    """Wrap a Job into a JobSet: any failure starts all pods anew, a permanent one ends it."""
    inner, retries = dict(made["spec"]), obj.spec.retry.limit if "Error" in obj.spec.retry.after else 0
    suspend = inner.pop("suspend")
    inner["backoffLimit"] = 0
    permanent = {"name": "permanent", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    return {
        "apiVersion": JOB_SET.api_version,
        "kind": JOB_SET.kind,
        "metadata": made["metadata"],
        "spec": {
            "suspend": suspend,
            "network": {
                "enableDNSHostnames": True,
                "publishNotReadyAddresses": True,
                "subdomain": service_name(made["metadata"]["name"]),
            },
            "failurePolicy": {"maxRestarts": retries, "rules": [permanent]},
            "replicatedJobs": [
                {
                    "name": REPLICATED,
                    "replicas": 1,
                    "template": {"spec": inner},
                }
            ],
        },
    }


# --- resources -------------------------------------------------------------------------------------------------------


def _resource(spec: Spec) -> Any:
    """Say what a replica needs in torchx's terms, rounded up; the pod itself keeps the quantities as they are given."""
    from torchx.specs import Resource as Needs

    asked = {**spec.resources.requests, **spec.resources.limits} if spec.resources else {}
    devices = {k: math.ceil(quantity(v)) for k, v in asked.items() if "/" in k}
    return Needs(
        cpu=math.ceil(quantity(asked.get("cpu", "1"))),
        gpu=sum(n for k, n in devices.items() if k.endswith("/gpu")),
        memMB=math.ceil(quantity(asked.get("memory", DEFAULT_MEMORY)) / 2**20),
        capabilities={},
        devices=devices,
    )


def quantity(text: str) -> float:
    """Read a quantity of Kubernetes.

    >>> quantity("250m"), quantity("1.5Gi"), quantity("2")
    (0.25, 1610612736.0, 2.0)
    """
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    number, unit = (found[1], found[2]) if found else ("0", "")
    return float(number) * UNITS.get(unit, 1)
