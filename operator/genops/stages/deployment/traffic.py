"""Which version the requests reach: Services, and where a Gateway splits them, the HTTPRoute. Pure.

Without a gateway one Service selects one version, or both, where the share of the servers is the share of the requests.
With one, a Service of its own stands for the new version, and the route weighs or mirrors. That Service is there always
and selects whoever answers while there is no new version: a gateway that is late to learn of a change finds a server
behind every backend that it knows. Knows nothing of why a version is to be reached.
"""

from dataclasses import dataclass, field

from gencontract import layout
from genops.core.kinds import HTTP_ROUTE, SERVICE
from genops.core.model import Manifest, Resource, Seen
from genops.stages.deployment.parts import PORTS, PUBLIC, SERVE, body, pods_of, service_name
from genops.stages.deployment.rollout import Rollout
from genops.stages.deployment.servers import VERSION, Version
from genops.stages.deployment.spec import Spec

CANARY = "canary"
BEFORE = f"{layout.GROUP}/version-before"
BOTH = ""  # in place of a version's id


@dataclass(frozen=True)
class Routing:
    """Whose version answers, which the Service reaches (an id, or BOTH), and which answered before."""

    stable: str = ""
    reached: str = BOTH
    before: Version | None = field(default=None, compare=False)


def read(obj: Resource[Spec], seen: Seen) -> Routing:
    """Read the Service as it stands. One of an operator that wrote no annotation selects whoever answers."""
    service = seen.child(SERVICE, service_name(obj)) or {}
    reached = str((service.get("spec", {}).get("selector") or {}).get(VERSION, BOTH))
    noted = service.get("metadata", {}).get("annotations") or {}
    return Routing(noted.get(VERSION) or reached, reached, Version.load(noted.get(BEFORE, "")))


def wanted(obj: Resource[Spec], rollout: Rollout, known: Routing) -> Routing:
    """Say how the Service should stand."""
    before = rollout.kept[0].version if rollout.switching else known.before
    if obj.spec.rollout.gateway_ref or not rollout.weight or not rollout.candidate:
        return Routing(rollout.routed, rollout.routed, before)
    return Routing(rollout.routed, rollout.candidate.id if rollout.weight == 100 else BOTH, before)


def children(obj: Resource[Spec], rollout: Rollout, known: Routing) -> tuple[Manifest, ...]:
    """Build everything that requests come through."""
    main = service(obj, wanted(obj, rollout, known))
    if obj.spec.rollout.gateway_ref is None:
        return (main,)
    newest = rollout.candidate.id if rollout.candidate else rollout.routed
    return main, service(obj, Routing(newest, newest), CANARY), route(obj, rollout)


def service(obj: Resource[Spec], routing: Routing, part: str = SERVE) -> Manifest:
    """Build a Service. Whose version answers, and did before, is noted on it: nothing else need be remembered."""
    made = body(obj, SERVICE, service_name(obj, part))
    before = {BEFORE: routing.before.dump()} if routing.before else {}
    made["metadata"]["annotations"] = {VERSION: routing.stable, **before}
    version = {VERSION: routing.reached} if routing.reached else {}
    ports = [{"name": name, "port": PORTS[name], "targetPort": PORTS[name], "protocol": "TCP"} for name in PUBLIC]
    made["spec"] = {"selector": {**pods_of(obj), **version}, "ports": ports, "type": "ClusterIP"}
    return made


def route(obj: Resource[Spec], rollout: Rollout) -> Manifest:
    """Build the HTTPRoute: requests by weight, or copies of them for a shadow, whose answers nobody sees."""
    spec = obj.spec.rollout
    gateway = spec.gateway_ref
    assert gateway
    section = {"sectionName": gateway.section_name} if gateway.section_name else {}
    weights = {SERVE: 100 - rollout.weight, CANARY: rollout.weight}
    rule: Manifest = {"backendRefs": [{**_backend(obj, part), "weight": weight} for part, weight in weights.items()]}
    if spec.strategy == "Shadow" and rollout.candidate and rollout.probation and rollout.probation.begun:
        mirror = {"backendRef": _backend(obj, CANARY), "percent": spec.mirror_percent or 100}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
    made = body(obj, HTTP_ROUTE, service_name(obj))
    made["spec"] = {"parentRefs": [{"name": gateway.name, **section}], "rules": [rule]}
    if gateway.hostname:
        made["spec"]["hostnames"] = [gateway.hostname]
    return made


def _backend(obj: Resource[Spec], part: str) -> Manifest:
    return {"name": service_name(obj, part), "port": layout.PORT_HTTP}


def why_not_split(obj: Resource[Spec], seen: Seen, weight: int) -> str:
    """Say why the Gateway does not split as it should, if it does not. Without a Gateway nothing stands in the way."""
    gateway = obj.spec.rollout.gateway_ref
    if gateway is None:
        return ""
    what = f"Gateway {gateway.name}"
    found = seen.child(HTTP_ROUTE, service_name(obj))
    parents = ((found or {}).get("status") or {}).get("parents") or []
    if found is None or not parents:
        return f"{what} has not taken the route yet; see whether it exists and its controller runs"
    if not _says(found, weight, obj.spec.rollout.strategy == "Shadow"):
        return f"{what} is told the newest weights now"
    generation = found["metadata"].get("generation", 0)
    for condition in parents[0].get("conditions", ()):
        if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] != "True":
            return f"{what} does not route: {condition.get('reason')}: {condition.get('message')}"
        if condition.get("observedGeneration", generation) < generation:
            return f"{what} has not seen the newest weights yet"
    return ""


def _says(route: Manifest, weight: int, mirrored: bool) -> bool:
    """Say whether a route, as it stands, weighs and mirrors like that."""
    rule = (route["spec"].get("rules") or [{}])[0]
    weights = [backend.get("weight", 1) for backend in rule.get("backendRefs", ())]
    return weights == [100 - weight, weight] and mirrored == bool(rule.get("filters"))
