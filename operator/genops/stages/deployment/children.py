"""What a GenDeployment owns: the Job that builds its engine, a server for each version, and what all servers share."""

from typing import Any

from gencontract.task import Input, OptimizeTask, Run, ServeTask, TaskFile
from gencontract.task import Tolerance as TaskTolerance
from genops.core.kinds import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    POD_MONITOR,
)
from genops.core.model import Config, Manifest, Resource, Seen
from genops.core.names import APPLIED, child_labels, child_name
from genops.core.podspec import Serving, Trying, Work, claims_of, job, pod_path, pod_template
from genops.core.reporting import Handover
from genops.core.stores import place, shared_claim
from genops.stages.deployment import capture, scaling, traffic
from genops.stages.deployment.engine import BUILD, identity
from genops.stages.deployment.facts import Facts
from genops.stages.deployment.gate import Inputs
from genops.stages.deployment.parts import PORTS, PUBLIC, SERVE, body, pods_of
from genops.stages.deployment.servers import VERSION, Server, Version
from genops.stages.deployment.spec import Optimize, Spec

RETRIES = 3
# The launcher gives Triton 600 s to load and then says why it did not; the kubelet waits that long, and a bit.
START_SECONDS = 660
PROGRESS_SECONDS = 900
SCRAPE_SECONDS = 15  # several numbers a minute, for the rate of the last minute
SHARED_MEMORY = "512Mi"  # Triton's Python back end hands tensors over through /dev/shm


def wanted(obj: Resource[Spec], facts: Facts, seen: Seen) -> tuple[Manifest, ...]:
    """Everything that should exist. While suspended, all stays as it is."""
    if facts.suspended:
        return tuple(child for children in seen.children.values() for child in children)
    claim = shared_claim(None, seen.config, obj)
    jobs = (*_building(obj, facts, seen.config), *facts.watching.jobs)
    return (*claim, *jobs, *_servers(obj, facts, seen.config), *_shared(obj, facts, seen))


# --- the engine ------------------------------------------------------------------------------------------------------


def _building(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    """The Job that builds; a finished one stays for its logs, one that is to be made again goes first."""
    engine = facts.engine
    if engine.stale or not engine.id:
        return ()
    if engine.manifest:
        return (engine.manifest,)
    return () if engine.version or facts.rolled_back else (optimize_job(obj, facts.inputs, config),)


def optimize_job(obj: Resource[Spec], inputs: Inputs, config: Config) -> Manifest:
    """Build the Job that builds engines, compares them with the model, and lays the best one out for Triton."""
    optimize, model, data = obj.spec.optimize, inputs.model, inputs.data
    goes_to = place(None, config, obj, identity(obj, inputs))
    work = Work(
        role=BUILD,
        task=TaskFile(run=_run(obj), task=_task(obj, inputs, goes_to, config)),
        image=config.trainer_image,
        claims=claims_of(goes_to, config.store, model.uri, data.uri if data else None),
        resources=optimize.resources if optimize else None,
        template=optimize.template if optimize else None,
    )
    return job(obj, work, Trying(RETRIES), config, identity(obj, inputs))


def _task(obj: Resource[Spec], inputs: Inputs, goes_to: str, config: Config) -> OptimizeTask:
    asked = obj.spec.optimize or Optimize(targets=["torch"])
    return OptimizeTask(
        model=_input(inputs.model),
        dataset=_input(inputs.data) if inputs.data else None,
        targets=list(asked.targets),
        precision=asked.precision,
        batch_sizes=list(asked.shapes.batch_sizes),
        tolerance=TaskTolerance(atol=asked.tolerance.atol, rtol=asked.tolerance.rtol),
        fallback=asked.fallback,
        objective=asked.objective,
        model_name=obj.name,
        server=_dials(obj.spec),
        cache=pod_path(f"{config.store.rstrip('/')}/engines"),
        output=pod_path(goes_to),
    )


def _input(handover: Handover) -> Input:
    return Input(uri=pod_path(handover.uri), digest=handover.digest or None)


def _dials(spec: Spec) -> dict[str, Any]:
    batching = spec.server.dynamic_batching
    said = batching.model_dump(mode="json", by_alias=True) if batching else False
    return {"instances": spec.server.instances, "dynamicBatching": said}


def _run(obj: Resource[Spec]) -> Run:
    return Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid)


# --- servers ---------------------------------------------------------------------------------------------------------


def _servers(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    rollout, counts = facts.rollout, facts.counts
    kept = tuple(keep(s, s.desired if rollout.switching else counts.stable) for s in rollout.kept)
    if rollout.wanted is None:
        return kept
    return (*kept, serve_deployment(obj, rollout.wanted, counts.candidate, config))


def keep(server: Server, replicas: int) -> Manifest:
    """Leave a server as it is but for how many: what is asked for is what is there, so nothing is written."""
    meta, spec = server.manifest["metadata"], server.manifest["spec"]
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {
            **{k: meta[k] for k in ("name", "namespace", "labels", "ownerReferences") if k in meta},
            "annotations": {k: meta["annotations"][k] for k in (VERSION, APPLIED) if k in meta["annotations"]},
        },
        "spec": {**spec, "replicas": replicas},
    }


def serve_deployment(obj: Resource[Spec], version: Version, replicas: int, config: Config) -> Manifest:
    """Build the server of one version. A change of its pods never takes one away before another is ready."""
    labels = {**child_labels(obj.kind, obj.metadata, SERVE), VERSION: version.id}
    selector = {**pods_of(obj), VERSION: version.id}
    made = body(obj, DEPLOYMENT, f"{child_name(obj.name, SERVE, limit=41)}-{version.id}")
    made["metadata"]["labels"] = labels
    made["metadata"]["annotations"] = {VERSION: version.dump()}
    made["spec"] = {
        "replicas": replicas,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": PROGRESS_SECONDS,
        "revisionHistoryLimit": 2,
        "template": pod_template(_work(obj, version, config), labels, config),
    }
    return made


def _work(obj: Resource[Spec], version: Version, config: Config) -> Work:
    server = obj.spec.server
    repository = Input(uri=pod_path(version.uri), digest=version.digest)
    recording = capture.task(obj)
    return Work(
        role=SERVE,
        task=TaskFile(run=_run(obj), task=ServeTask(repository=repository, capture=recording)),
        image=server.image or config.server_image,
        claims=claims_of(version.uri),
        written=claims_of(capture.location(obj)),
        resources=server.resources,
        template=server.template,
        shared_memory=SHARED_MEMORY,
        read_only=True,
        serving=Serving(PORTS, "ready", "/readyz", "/livez", START_SECONDS),
    )


# --- what all servers share ------------------------------------------------------------------------------------------


def _shared(obj: Resource[Spec], facts: Facts, seen: Seen) -> tuple[Manifest, ...]:
    """All that stands around servers, as soon as there is one."""
    rollout = facts.rollout
    if not rollout.routed:
        return ()
    target = rollout.stable.manifest["metadata"]["name"] if rollout.stable else ""
    scaler = scaling.children(obj, target, seen.config) if target else ()
    remote = (facts.version is not None and not facts.version.uri.startswith("pvc://")) or capture.leaves(obj)
    watched = (monitor(obj),) if POD_MONITOR in seen.present else ()
    return *traffic.children(obj, rollout, facts.routing), budget(obj), policy(obj, remote), *scaler, *watched


def budget(obj: Resource[Spec]) -> Manifest:
    """Build the PodDisruptionBudget: one server at a time may be moved. A single one may be, too, or no node drains."""
    made = body(obj, DISRUPTION_BUDGET, child_name(obj.name, SERVE))
    made["spec"] = {"maxUnavailable": 1, "selector": {"matchLabels": pods_of(obj)}}
    return made


def policy(obj: Resource[Spec], remote: bool) -> Manifest:
    """Build the NetworkPolicy: requests and metrics come in, nothing else; out goes only who reads a remote store."""
    made = body(obj, NETWORK_POLICY, child_name(obj.name, SERVE))
    incoming = [{"ports": [{"protocol": "TCP", "port": PORTS[name]} for name in PUBLIC]}]
    made["spec"] = {
        "podSelector": {"matchLabels": pods_of(obj)},
        "policyTypes": ["Ingress"] if remote else ["Ingress", "Egress"],
        "ingress": incoming,
    }
    return made


def monitor(obj: Resource[Spec]) -> Manifest:
    """Build the PodMonitor: Prometheus scrapes every server, and keeps apart which version it runs."""
    made = body(obj, POD_MONITOR, child_name(obj.name, SERVE))
    made["spec"] = {
        "selector": {"matchLabels": pods_of(obj)},
        "podTargetLabels": [VERSION],
        "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": f"{SCRAPE_SECONDS}s"}],
    }
    return made
