"""What this node will not run, and why. Pure; whatever is not listed here is run."""

from collections.abc import Iterable

from genops.local.agent.facts import Json

VOLUMES = {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim", "ephemeral"}
_SAFE_CAPABILITIES = {"NET_BIND_SERVICE"}  # asked for by habit; granting none of them harms nobody


def reasons(pod: Json) -> list[str]:
    """List what a pod asks for that the local node does not do. An empty list means: run it."""
    spec = pod["spec"]
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    found = [*_of_pod(spec), *(reason for volume in spec.get("volumes", []) for reason in _of_volume(volume))]
    return [*found, *(reason for container in containers for reason in _of_container(container))]


def _of_pod(spec: Json) -> Iterable[str]:
    for flag in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(flag):
            yield f"{flag} is not supported"
    if spec.get("ephemeralContainers"):
        yield "ephemeral containers are not supported"
    if spec.get("resourceClaims"):
        yield "resource claims are not supported"


def _of_volume(volume: Json) -> Iterable[str]:
    for kind in sorted(set(volume) - VOLUMES - {"name"}):
        yield f"volume {volume['name']}: {kind} is not supported"
    sources = volume.get("projected", {}).get("sources", [])
    known = {"configMap", "secret", "downwardAPI", "serviceAccountToken"}
    for kind in sorted({kind for source in sources for kind in source} - known):
        yield f"volume {volume['name']}: projected {kind} is not supported"


def _of_container(container: Json) -> Iterable[str]:
    name, context = container["name"], container.get("securityContext", {})
    if context.get("privileged"):
        yield f"container {name}: privileged is not supported"
    added = set(context.get("capabilities", {}).get("add", [])) - _SAFE_CAPABILITIES
    if added:
        yield f"container {name}: capabilities {', '.join(sorted(added))} are not supported"
    if context.get("procMount") == "Unmasked":
        yield f"container {name}: procMount Unmasked is not supported"
    if container.get("volumeDevices"):
        yield f"container {name}: volumeDevices are not supported"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"container {name}: hostPort is not supported"
    yield from _of_handlers(container)


def _of_handlers(container: Json) -> Iterable[str]:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "grpc" in container.get(probe, {}):
            yield f"container {container['name']}: grpc in {probe} is not supported"
