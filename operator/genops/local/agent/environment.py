"""The environment, command and arguments of a container, from its spec and what that refers to. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from genops.local.agent import downward
from genops.local.agent.expansion import expand
from genops.local.agent.facts import Json, NodeFacts, hostname

_NAME = re.compile(r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")
Source = tuple[str, str]  # kind, name
KINDS = {"configMapRef": "ConfigMap", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}


class ConfigError(Exception):
    """A container that cannot be started as it is written: state CreateContainerConfigError."""


@dataclass(frozen=True)
class World:
    """What a container's environment is made of besides its spec."""

    pod: Json
    address: str
    node: NodeFacts
    sources: Mapping[Source, Mapping[str, str] | None]  # decoded data; None where the object does not exist
    services: Iterable[Json] = ()


def sources(container: Json) -> set[Source]:
    """List the ConfigMaps and Secrets that a container's environment refers to."""
    refs = [(name, ref) for item in container.get("envFrom", []) for name, ref in item.items() if name in KINDS]
    values = [item.get("valueFrom", {}) for item in container.get("env", [])]
    refs += [(name, ref) for value in values for name, ref in value.items() if name in KINDS]
    return {(KINDS[name], ref["name"]) for name, ref in refs}


def variables(container: Json, world: World, base: Mapping[str, str]) -> dict[str, str]:
    """Return all variables in the kubelet's order: image, services, envFrom, env. Raises ConfigError."""
    result = {**base, "HOSTNAME": hostname(world.pod), **_api(world.node), **_links(world)}
    for item in container.get("envFrom", []):
        result.update(_from_source(item, world))
    for item in container.get("env", []):
        value = _value(item, container, world, result)
        if value is not None:
            result[item["name"]] = value
    return result


def command(container: Json, env: Mapping[str, str]) -> list[str]:
    """Return command and arguments with references expanded. Raises ConfigError where there is no command."""
    if not container.get("command"):
        raise ConfigError("no command specified: images are not run here, so an entry point must be spelt out")
    return [expand(part, env) for part in [*container["command"], *container.get("args", [])]]


def _api(node: NodeFacts) -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": node.api_host, "KUBERNETES_SERVICE_PORT": str(node.api_port)}


def _links(world: World) -> dict[str, str]:
    """Return the variables that tell a pod of the services in its namespace."""
    if world.pod["spec"].get("enableServiceLinks") is False:
        return {}
    result = {}
    for service in world.services:
        ports = service["spec"].get("ports", [])
        address = service["spec"].get("clusterIP")
        if ports and address not in (None, "", "None") and service["metadata"]["name"] != "kubernetes":
            prefix = service["metadata"]["name"].upper().replace("-", "_")
            result[f"{prefix}_SERVICE_HOST"] = address
            result[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
    return result


def _from_source(item: Json, world: World) -> dict[str, str]:
    name = "configMapRef" if "configMapRef" in item else "secretRef"
    data = _data(name, item[name], world) or {}
    prefix = item.get("prefix", "")
    return {prefix + k: v for k, v in data.items() if _NAME.match(prefix + k)}


def _value(item: Json, container: Json, world: World, known: Mapping[str, str]) -> str | None:
    source = item.get("valueFrom")
    if not source:
        return expand(item.get("value") or "", known)
    try:
        return _referred(source, container, world)
    except downward.UnknownField as error:
        raise ConfigError(f"env {item['name']}: {error}") from error


def _referred(source: Json, container: Json, world: World) -> str | None:
    if "fieldRef" in source:
        return downward.field(world.pod, source["fieldRef"]["fieldPath"], world.address, world.node)
    if "resourceFieldRef" in source:
        return downward.resource(container, source["resourceFieldRef"], world.node)
    name = next((name for name in ("configMapKeyRef", "secretKeyRef") if name in source), None)
    if name is None:
        raise ConfigError(f"valueFrom with {', '.join(source)} is not supported by the local node")
    return _keyed(name, source[name], world)


def _keyed(name: str, ref: Json, world: World) -> str | None:
    data = _data(name, ref, world)
    if data is not None and ref["key"] in data:
        return data[ref["key"]]
    if ref.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {ref['key']} in {KINDS[name]} {_place(ref, world)}")


def _data(name: str, ref: Json, world: World) -> Mapping[str, str] | None:
    data = world.sources.get((KINDS[name], ref["name"]))
    if data is None and not ref.get("optional"):
        raise ConfigError(f"{KINDS[name].lower()} {_place(ref, world)} not found")
    return data


def _place(ref: Any, world: World) -> str:
    return f"{world.pod['metadata']['namespace']}/{ref['name']}"
