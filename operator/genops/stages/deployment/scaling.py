"""Who decides how many servers run, where the spec leaves that open: an autoscaler, KEDA, or KEDA and its add-on. Pure.

The last server may go only where the HTTP add-on is: its interceptor holds the first request until a server is there.
KEDA alone would lose that request, and a queue that nobody stands in would never bring a server back.
"""

from genops.core import promql
from genops.core.kinds import AUTOSCALER, DEPLOYMENT, HTTP_SCALED_OBJECT, SCALED_OBJECT
from genops.core.model import Config, Manifest, Resource, Seen
from genops.core.names import child_name
from genops.core.reasons import Reason
from genops.stages.deployment.parts import PORTS, SERVE, body, service_name
from genops.stages.deployment.servers import autoscaled
from genops.stages.deployment.spec import Spec

COOLDOWN_SECONDS = 300  # KEDA's own
# Where KEDA's chart for the add-on puts its parts.
ADD_ON_SCALER = "keda-add-ons-http-external-scaler.keda:9090"
ADD_ON_PROXY = "http://keda-add-ons-http-interceptor-proxy.keda:8080"
OWN_SCALED_OBJECT = {"httpscaledobject.keda.sh/skip-scaledobject-creation": "true"}
# Milliseconds in the queue for each request, over the last minute; 0 where there was none, so that servers may go.
QUEUE_TIME = (
    "sum(rate(nv_inference_queue_duration_us{where}[1m])) / "
    "clamp_min(sum(rate(nv_inference_request_success{where}[1m])), 1e-9) / 1000"
)


def lacking(spec: Spec, seen: Seen) -> tuple[str, str] | None:
    """Say what the spec's scale needs and this cluster or operator lacks: a reason, and what helps."""
    scale = spec.scale
    if scale.metric in (None, "cpu"):
        return None
    missing = [] if SCALED_OBJECT in seen.present else ["KEDA, whose ScaledObject this cluster does not serve"]
    missing += [] if seen.config.prometheus else ["Prometheus, whose address the operator was not told"]
    if missing:
        text = f"scale.metric {scale.metric} needs {' and '.join(missing)}"
        return Reason.AUTOSCALER_MISSING, f"{text}; install it, or use metric cpu, or leave max out"
    if scale.idle_to_zero_after_seconds and HTTP_SCALED_OBJECT not in seen.present:
        text = "scale.idleToZeroAfterSeconds needs KEDA's HTTP add-on, which holds the first request"
        return Reason.AUTOSCALER_MISSING, f"{text}; install it, or set min to 1 and leave idleToZeroAfterSeconds out"
    return None


def host(obj: Resource[Spec]) -> str:
    """Name the host by which the add-on's interceptor knows whose request it holds."""
    return f"{service_name(obj)}.{obj.namespace}"


def children(obj: Resource[Spec], server: str, config: Config) -> tuple[Manifest, ...]:
    """Build what decides how many of the Deployment `server` run; nothing where the spec says it."""
    scale = obj.spec.scale
    if not autoscaled(scale):
        return ()
    target = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind, "name": server}
    if scale.metric == "cpu":
        return (autoscaler(obj, target),)
    if scale.idle_to_zero_after_seconds:
        return scaled_object(obj, target, config), http_scaled_object(obj, target)
    return (scaled_object(obj, target, config),)


def autoscaler(obj: Resource[Spec], target: Manifest) -> Manifest:
    """Build the HorizontalPodAutoscaler: per cent of the CPU that is requested."""
    scale = obj.spec.scale
    made = body(obj, AUTOSCALER, child_name(obj.name, SERVE))
    utilization = {"type": "Utilization", "averageUtilization": max(1, round(scale.target or 0))}
    made["spec"] = {
        "scaleTargetRef": target,
        "minReplicas": max(1, scale.min),
        "maxReplicas": scale.max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
    }
    return made


def scaled_object(obj: Resource[Spec], target: Manifest, config: Config) -> Manifest:
    """Build KEDA's ScaledObject: a number of Prometheus, and where the last server may go, requests that are held."""
    scale = obj.spec.scale
    query = scale.query or QUEUE_TIME.format(where=promql.selector(namespace=obj.namespace, model=obj.name))
    where = {"serverAddress": config.prometheus, "query": query, "threshold": f"{scale.target:g}"}
    triggers: list[Manifest] = [{"type": "prometheus", "metadata": where}]
    made = body(obj, SCALED_OBJECT, child_name(obj.name, SERVE))
    if scale.idle_to_zero_after_seconds:
        held = {"scalerAddress": ADD_ON_SCALER, "httpScaledObject": made["metadata"]["name"]}
        triggers.append({"type": "external-push", "metadata": held})
    made["spec"] = {
        "scaleTargetRef": target,
        "minReplicaCount": scale.min,
        "maxReplicaCount": scale.max,
        "cooldownPeriod": scale.idle_to_zero_after_seconds or COOLDOWN_SECONDS,
        "triggers": triggers,
    }
    return made


def http_scaled_object(obj: Resource[Spec], target: Manifest) -> Manifest:
    """Build the add-on's HTTPScaledObject: which requests are held. The scaling is our own object's."""
    scale = obj.spec.scale
    made = body(obj, HTTP_SCALED_OBJECT, child_name(obj.name, SERVE))
    made["metadata"]["annotations"] = OWN_SCALED_OBJECT
    made["spec"] = {
        "hosts": [host(obj)],
        "scaleTargetRef": {**target, "service": service_name(obj), "port": PORTS["http"]},
        "replicas": {"min": scale.min, "max": scale.max},
    }
    return made
