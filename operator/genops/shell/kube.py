"""The API server over HTTP: the only importer of the `kubernetes` package.

`KubeApi` speaks plain dicts. The package gives it configuration, credentials and TLS (in-cluster, kubeconfig, exec
plug-ins, token renewal); its typed models stay unused, since they refuse replies that are valid and cost six times
the time. This module knows HTTP and JSON; it must not know any kind of ours.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from genops.shell.errors import ApiError, NoConfig, Unreachable

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

Observer = Callable[[str, str], None]  # verb, status code or word


class KubeApi:
    """One connection pool to one API server. Every method raises ApiError or Unreachable."""

    def __init__(
        self, client: ApiClient, user_agent: str, observe: Observer | None = None, namespace: str = "default"
    ) -> None:
        self._client, self.namespace = client, namespace
        self._user_agent = user_agent
        self._observe = observe or (lambda verb, code: None)

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        user_agent: str = "genops",
        observe: Observer | None = None,
    ) -> "KubeApi":
        """Connect by a kubeconfig, or by the pod's service account where there is one and no kubeconfig is named.

        `namespace` is then the one that the context or the pod is in. Raises NoConfig.
        """
        settings = Configuration()
        try:
            namespace = await _configure(settings, kubeconfig, context)
        except config.ConfigException as error:
            raise NoConfig(_plainly(error, kubeconfig, context)) from None
        settings.connection_pool_maxsize = 64
        return cls(ApiClient(settings), user_agent, observe, namespace)

    def with_token(self, token: str) -> "KubeApi":
        """Connect to the same server as whom the token names; nothing of our own credentials goes with it."""
        ours, settings = self._client.configuration, Configuration()
        for name in ("host", "ssl_ca_cert", "verify_ssl", "tls_server_name", "proxy"):
            setattr(settings, name, getattr(ours, name))
        settings.api_key["BearerToken"] = f"Bearer {token}"
        return KubeApi(ApiClient(settings), self._user_agent, self._observe, self.namespace)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    async def credentials(self) -> dict[str, Any]:
        """Return what another HTTP client needs to connect as we do: server, CA, client certificate, token."""
        settings = self._client.configuration
        token = (await self._headers(JSON)).get("authorization", "")
        scheme, _, value = token.partition(" ")
        return {
            "server": settings.host,
            "ca_path": settings.ssl_ca_cert,
            "insecure": not settings.verify_ssl,
            "certificate_path": settings.cert_file,
            "private_key_path": settings.key_file,
            "proxy_url": settings.proxy,
            "scheme": scheme or None,
            "token": value or None,
        }

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = 30,
    ) -> Any:
        """Send one request and return the decoded JSON reply."""
        data = await self._send(method, path, query, body, content_type, timeout)
        return json.loads(data) if data else None

    async def text(self, path: str, *, query: Mapping[str, str] | None = None, timeout: float = 30) -> str:
        """Read a reply that is not JSON, such as a log."""
        return (await self._send("GET", path, query, None, JSON, timeout)).decode(errors="replace")

    async def watch(
        self, path: str, *, query: Mapping[str, str] | None = None, idle_timeout: float = 70
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield watch events until the server closes the stream. Raises Unreachable after `idle_timeout` of silence."""
        wanted = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "290", **(query or {})}
        async for line in self.lines(path, query=wanted, idle_timeout=idle_timeout):
            yield json.loads(line)

    async def lines(
        self, path: str, *, query: Mapping[str, str] | None = None, idle_timeout: float | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the lines of a reply as they come, until the server closes the stream. Raises as `watch` does."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=idle_timeout)
        try:
            reply = await self._request("GET", path, query, None, JSON, timeout)
            if reply.status >= 300:
                raise _error(reply.status, await reply.response.read())
            async for line in reply.response.content:
                yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"The stream of {path} at {self.server} broke: {error!r}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str, timeout: float
    ) -> bytes:
        verb = _verb(method, content_type)
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=10)
        try:
            reply = await self._request(method, path, query, body, content_type, limits)
            data: bytes = await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._observe(verb, "unreachable")
            raise Unreachable(f"{method} {path} at {self.server} got no answer: {error!r}") from error
        self._observe(verb, str(reply.status))
        if reply.status >= 300:
            raise _error(reply.status, data)
        return data

    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str, timeout: Any
    ) -> Any:
        url = self.server + path + (f"?{urlencode(query)}" if query else "")
        headers = await self._headers(content_type)
        return await self._client.rest_client.request(method, url, headers, body, _request_timeout=timeout)

    async def _headers(self, content_type: str) -> dict[str, str]:
        headers = {"Accept": JSON, "Content-Type": content_type, "User-Agent": self._user_agent}
        for setting in (await self._client.configuration.auth_settings()).values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers


async def _configure(settings: Configuration, kubeconfig: str | None, context: str | None) -> str:
    """Load credentials, and return the namespace that comes with them."""
    if kubeconfig is None and context is None and "KUBECONFIG" not in os.environ and SERVICE_ACCOUNT.exists():
        config.load_incluster_config(client_configuration=settings)
        return SERVICE_ACCOUNT.with_name("namespace").read_text().strip()
    loader = await config.load_kube_config(kubeconfig, context=context, client_configuration=settings)
    return str(loader.current_context["context"].get("namespace") or "default")


def _plainly(error: Exception, kubeconfig: str | None, context: str | None) -> str:
    """Say which kubeconfig cannot be used, and what to set."""
    where = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    named = f", context {context!r}" if context else ""
    said = " ".join(str(error).split())
    return f"The kubeconfig {where}{named} cannot be used: {said}; set KUBECONFIG, or name a context that it has"


def _verb(method: str, content_type: str) -> str:
    if content_type == APPLY:
        return "apply"
    return {"POST": "create", "PUT": "update"}.get(method, method.lower())


def _error(status: int, data: bytes) -> ApiError:
    try:
        reply = json.loads(data)
        causes = (reply.get("details") or {}).get("causes") or ()
        named = tuple(str(cause.get("reason", "")) for cause in causes)
        return ApiError(status, str(reply.get("reason", "")), str(reply.get("message", "")), named)
    except (ValueError, AttributeError):
        return ApiError(status, "", data.decode(errors="replace")[:500])
