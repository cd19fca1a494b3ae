"""Which pods stand behind which service. Pure; the proxy and the hosts files are made from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genops.local.agent.facts import Json, hostname, key, pod_address, ready, terminating
from genops.local.agent.hosts import Entry

Address = tuple[str, int]


@dataclass(frozen=True)
class Listener:
    """One address and port of a service, and where its connections go."""

    service: str
    at: Address
    backends: tuple[Address, ...]


def is_headless(service: Json) -> bool:
    """Say whether a service has no address of its own."""
    return bool(service["spec"].get("clusterIP") == "None")


def behind(service: Json, pods: Iterable[Json], leaving: Iterable[str] = ()) -> list[Json]:
    """Return the pods that a service sends to: selected, ready, and not on their way out."""
    selector = service["spec"].get("selector")
    if not selector:
        return []
    gone = set(leaving)
    chosen = [pod for pod in pods if pod["metadata"]["uid"] not in gone and _serves(pod, service)]
    return sorted(chosen, key=key)


def listeners(services: Iterable[Json], pods: Iterable[Json], leaving: Iterable[str], api: Address) -> list[Listener]:
    """Return everything the proxy should listen on; a service without pods behind it refuses connections."""
    everyone, gone = list(pods), set(leaving)
    found = [item for service in services for item in _of_service(service, everyone, gone, api)]
    return [listener for listener in found if listener.backends]


def entries(services: Iterable[Json], pods: Iterable[Json], leaving: Iterable[str]) -> list[Entry]:
    """Return every name that services give to addresses, in a stable order."""
    everyone, gone = list(pods), set(leaving)
    found = [entry for service in sorted(services, key=key) for entry in _names(service, everyone, gone)]
    return [entry for entry in found if entry.address]


def target_port(port: Json, pod: Json) -> int | None:
    """Return the port of a pod that a service port leads to."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == target), None)


def _serves(pod: Json, service: Json) -> bool:
    if pod["metadata"].get("namespace") != service["metadata"].get("namespace") or not pod_address(pod):
        return False
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    if not _matches(service["spec"]["selector"], pod["metadata"].get("labels", {})):
        return False
    return bool(service["spec"].get("publishNotReadyAddresses")) or (ready(pod) and not terminating(pod))


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def _of_service(service: Json, pods: list[Json], leaving: set[str], api: Address) -> Iterable[Listener]:
    spec, name = service["spec"], key(service)
    if is_headless(service) or not spec.get("clusterIP"):
        return
    chosen = behind(service, pods, leaving)
    for port in spec.get("ports", []):
        if port.get("protocol", "TCP") == "TCP":
            targets = [(pod_address(pod), target_port(port, pod)) for pod in chosen]
            backends = tuple((host, number) for host, number in targets if number)
            backends = (api,) if name == "default/kubernetes" else backends
            yield Listener(name, (spec["clusterIP"], port["port"]), backends)


def _names(service: Json, pods: list[Json], leaving: set[str]) -> Iterable[Entry]:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    if not is_headless(service):
        yield Entry(namespace, name, service["spec"].get("clusterIP", ""))
        return
    for pod in behind(service, pods, leaving):
        yield Entry(namespace, name, pod_address(pod))
        if pod["spec"].get("subdomain") == name:
            yield Entry(namespace, name, pod_address(pod), hostname(pod))
