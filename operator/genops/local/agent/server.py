"""The page that the API server asks for logs, on the kubelet's own paths. Only the API server's certificate gets in."""

import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from genops.local.agent import logs
from genops.local.agent.container import Container
from genops.local.agent.facts import now
from genops.local.state import NODE_PORT

Find = Callable[[str, str, str], Container | None]  # namespace, pod, container
REFUSED = "The local node runs no shells in containers: exec, attach, cp and port-forward are not supported. "
REFUSED += "Pods listen on their own 127.x address, which this machine reaches directly.\n"


class Server:
    """Serves logs over TLS."""

    def __init__(self, find: Find, pki: Path) -> None:
        self._find, self._pki = find, pki

    async def start(self, address: str) -> web.AppRunner:
        """Listen on the node's address. Raises OSError if somebody else does."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthy)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for path in ("exec", "attach", "portForward", "run", "cri"):
            app.router.add_route("*", f"/{path}/{{rest:.*}}", self._refuse)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, address, NODE_PORT, ssl_context=self._tls()).start()
        return runner

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._pki / "node-ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._pki / "node.crt", self._pki / "node.key")
        return context

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=501, text=REFUSED)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        container = self._find(where["namespace"], where["pod"], where["container"])
        if container is None:
            return web.Response(status=404, text=f"container {where['container']} of pod {where['pod']} is not here\n")
        path, why_not = chosen_log(container, request.query.get("previous") in ("true", "1"))
        if path is None:
            return web.Response(status=400, text=why_not)
        return await self._stream(request, container, path)

    async def _stream(self, request: web.Request, container: Container, path: Path) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await reply.prepare(request)
        query = logs.parse_query(request.query, now())
        current = container.record.restarts

        def ended() -> bool:
            return not container.record.running or container.record.restarts != current

        async for text in logs.read(path, query, ended):
            await reply.write(text)
        await reply.write_eof()
        return reply


def chosen_log(container: Container, previous: bool) -> tuple[Path | None, str]:
    """Return the log that a reader means, or why there is none."""
    name, record = container.name, container.record
    if previous:
        path = container.log_of(record.restarts - 1)
        return (path, "") if path.exists() else (None, f'previous terminated container "{name}" not found')
    if container.log_path.exists():
        return container.log_path, ""
    if record.ever_started:
        return None, f'the log of container "{name}" is gone'
    reason = record.state.get("waiting", {}).get("reason", "")
    return None, f'container "{name}" is waiting to start: {reason}'
