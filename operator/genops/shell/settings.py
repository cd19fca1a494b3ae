"""The operator's settings. The only place that reads the environment; each variable is listed in the reference."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from genops.core.model import Config

# What each variable says, for the reference; tests/shell holds it against what is read.
MEANINGS: Mapping[str, str] = {
    "GENOPS_KUBECONFIG": "Kubeconfig to connect by. Left out, as kubectl would, or by the pod's service account",
    "GENOPS_CONTEXT": "Context of the kubeconfig",
    "GENOPS_NAMESPACES": "Namespaces to look after, with commas between. Empty: the whole cluster",
    "GENOPS_WORKERS": "Objects looked at side by side, 1 to 256",
    "GENOPS_RESYNC_SECONDS": "How often everything is listed and looked at again, 1 to 86400",
    "GENOPS_HEALTH_HOST": "Address that /livez, /readyz and /metrics listen on",
    "GENOPS_HEALTH_PORT": "Port of the same; 0 takes a free one",
    "GENOPS_LEASE_NAME": "Name of the Lease by which one of several operators leads",
    "GENOPS_LEASE_NAMESPACE": "Namespace of that Lease",
    "GENOPS_IDENTITY": "Name of this process in the Lease. Left out, host name and process id",
    "GENOPS_LEADER_ELECTION": "`true`, or `false` where no other operator can be",
    "GENOPS_LOG_FORMAT": "`text` or `json`",
    "GENOPS_LOG_LEVEL": "`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    "GENOPS_PROMETHEUS": "Address of Prometheus, without credentials. Empty: what is asked of it is Unknown",
    "GENOPS_PROMETHEUS_TOKEN_FILE": "File with a bearer token for Prometheus, read anew for each question; needs https",
    "GENOPS_PROMETHEUS_CA_FILE": "File with the authority that signed Prometheus' certificate; needs https",
    "GENOPS_TRAINER_IMAGE": "Image of pods that prepare, train, evaluate and build, where a spec names none",
    "GENOPS_SERVER_IMAGE": "Image of pods that serve, where a spec names none",
    "GENOPS_IMAGE_PULL_POLICY": "Pull policy of both",
    "GENOPS_STORE": "Where artifacts go that name no place of their own: pvc://CLAIM/FOLDER, s3://, gs:// or az://",
    "GENOPS_STORE_SIZE": "Size of the store's claim, made in each namespace that has none of that name",
    "GENOPS_STORE_CLASS": "Storage class of that claim. Left out, the cluster's default",
    "GENOPS_STORE_ACCESS": "`ReadWriteOnce`, or `ReadWriteMany` where pods of several nodes share it",
}


class SettingsError(ValueError):
    """A setting cannot be used; the message names the variable, the value and what is allowed."""


@dataclass(frozen=True)
class Settings:
    """How this process runs."""

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()  # empty: the whole cluster
    workers: int = 8
    resync_seconds: float = 300.0
    health_host: str = "127.0.0.1"
    health_port: int = 8080  # 0 takes a free one
    lease_name: str = "genops-operator"
    lease_namespace: str = "default"
    identity: str = "genops"
    leader_election: bool = True
    log_format: str = "text"  # text or json
    log_level: str = "INFO"
    prometheus_token_file: str = ""  # read for each question, since tokens are renewed
    prometheus_ca_file: str = ""
    config: Config = field(default_factory=Config)


def from_environment(env: Mapping[str, str] | None = None) -> Settings:
    """Read GENOPS_* variables. Raises SettingsError for a value that cannot be used."""
    e = os.environ if env is None else env
    default = Settings()
    return Settings(
        kubeconfig=e.get("GENOPS_KUBECONFIG"),
        context=e.get("GENOPS_CONTEXT"),
        namespaces=tuple(n.strip() for n in e.get("GENOPS_NAMESPACES", "").split(",") if n.strip()),
        workers=int(_number(e, "GENOPS_WORKERS", default.workers, 1, 256)),
        resync_seconds=_number(e, "GENOPS_RESYNC_SECONDS", default.resync_seconds, 1, 86400),
        health_host=e.get("GENOPS_HEALTH_HOST", default.health_host),
        health_port=int(_number(e, "GENOPS_HEALTH_PORT", default.health_port, 0, 65535)),
        lease_name=e.get("GENOPS_LEASE_NAME", default.lease_name),
        lease_namespace=e.get("GENOPS_LEASE_NAMESPACE", default.lease_namespace),
        identity=e.get("GENOPS_IDENTITY", f"{socket.gethostname()}-{os.getpid()}"),
        leader_election=_choice(e, "GENOPS_LEADER_ELECTION", "true", ("true", "false")) == "true",
        log_format=_choice(e, "GENOPS_LOG_FORMAT", default.log_format, ("text", "json")),
        log_level=_choice(e, "GENOPS_LOG_LEVEL", default.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        prometheus_token_file=_secret(e, "GENOPS_PROMETHEUS_TOKEN_FILE"),
        prometheus_ca_file=_secret(e, "GENOPS_PROMETHEUS_CA_FILE"),
        config=Config(
            trainer_image=e.get("GENOPS_TRAINER_IMAGE", default.config.trainer_image),
            server_image=e.get("GENOPS_SERVER_IMAGE", default.config.server_image),
            image_pull_policy=e.get("GENOPS_IMAGE_PULL_POLICY", default.config.image_pull_policy),
            store=e.get("GENOPS_STORE", default.config.store).rstrip("/"),
            store_size=e.get("GENOPS_STORE_SIZE", default.config.store_size),
            store_class=e.get("GENOPS_STORE_CLASS") or None,
            prometheus=_address(e, "GENOPS_PROMETHEUS"),
            store_access=_choice(e, "GENOPS_STORE_ACCESS", "ReadWriteOnce", ("ReadWriteOnce", "ReadWriteMany")),
        ),
    )


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = env.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name}={text!r} is not a number; use {low:g} to {high:g}") from None
    if not low <= value <= high:
        raise SettingsError(f"{name}={text} is out of range; use {low:g} to {high:g}")
    return value


def _address(env: Mapping[str, str], name: str) -> str:
    """Read an address of HTTP without credentials, which would end in logs; empty where it is not set."""
    text = env.get(name, "").rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        usable = False
    if "@" in text:
        raise SettingsError(f"{name} holds credentials, which would end in logs; use an address without")
    if text and not usable:
        raise SettingsError(f"{name}={text!r} is not an address; use such as http://prometheus.monitoring.svc:9090")
    return text


def _secret(env: Mapping[str, str], name: str) -> str:
    """Read the path of a file for Prometheus. Without TLS, a token would go to whoever listens."""
    path = env.get(name, "")
    if path and not env.get("GENOPS_PROMETHEUS", "").startswith("https://"):
        raise SettingsError(f"{name}={path!r} needs GENOPS_PROMETHEUS with https://; change that, or leave it out")
    return path


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name, default)
    if value not in allowed:
        raise SettingsError(f"{name}={value!r} is not known; use one of {', '.join(allowed)}")
    return value
