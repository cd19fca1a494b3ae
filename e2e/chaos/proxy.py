"""An API server that misbehaves: a proxy between the operator and the real one, with faults on demand.

Every request is numbered and kept in `seen`; a policy decides what happens to it. Watches pass through as streams and
can be cut. Plain HTTP on a loopback port, so that a kubeconfig needs no certificate; upstream it is the administrator.
"""

import asyncio
import base64
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Request:
    """One request as the policy sees it."""

    number: int  # among all requests
    write: int  # among the writes; 0 for a read
    method: str
    path: str
    agent: str

    @property
    def is_write(self) -> bool:
        return self.method in WRITES


@dataclass(frozen=True)
class Fault:
    """What happens instead of, or after, the request. `after` lets it take effect first."""

    status: int | None = None  # answer so; None cuts the connection
    after: bool = False
    delay: float = 0.0
    call: Callable[[], None] | None = None  # as killing the operator


Policy = Callable[[Request], Fault | None]


def no_faults(_: Request) -> Fault | None:
    return None


class FaultProxy:
    """A proxy in a thread of its own. Use as a context manager; `kubeconfig` is what the operator gets."""

    def __init__(self, upstream_kubeconfig: str, folder: Path) -> None:
        self.policy: Policy = no_faults
        self.seen: list[Request] = []
        self._upstream = yaml.safe_load(Path(upstream_kubeconfig).read_text())
        self._folder = folder
        self._watches: set[asyncio.Task[None]] = set()
        self._started = threading.Event()
        self._writes = 0

    @property
    def kubeconfig(self) -> str:
        """A kubeconfig that leads here."""
        return str(self._folder / "proxy.kubeconfig")

    @property
    def writes(self) -> list[Request]:
        """All writes so far."""
        return [r for r in self.seen if r.is_write]

    def drop_watches(self) -> int:
        """Cut every open watch; returns how many there were."""
        watches = list(self._watches)
        for task in watches:
            self._loop.call_soon_threadsafe(task.cancel)
        return len(watches)

    def __enter__(self) -> "FaultProxy":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(30), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._write_kubeconfig(int(runner.addresses[0][1]))
        connector = aiohttp.TCPConnector(ssl=self._tls(), limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            self._started.set()
            await self._stop.wait()
            for task in list(self._watches):
                task.cancel()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        this = self._number(request)
        fault = self.policy(this)
        if fault is None:
            return await self._forward(request)
        if fault.after:
            await self._forward(request, relay=False)
        if fault.call:
            fault.call()
        await asyncio.sleep(fault.delay)
        if fault.status is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        reasons = {
            409: "Conflict",
            429: "TooManyRequests",
            500: "InternalError",
            503: "ServiceUnavailable",
            504: "Timeout",
        }
        status = {
            "kind": "Status",
            "status": "Failure",
            "code": fault.status,
            "reason": reasons[fault.status],
            "message": "made by the fault proxy",
        }
        return web.json_response(status, status=fault.status)

    def _number(self, request: web.Request) -> Request:
        write = request.method in WRITES
        self._writes += write
        agent = request.headers.get("User-Agent", "")
        this = Request(len(self.seen) + 1, self._writes if write else 0, request.method, request.path, agent)
        self.seen.append(this)
        return this

    async def _forward(self, request: web.Request, relay: bool = True) -> web.StreamResponse:
        skipped = ("host", "content-length", "transfer-encoding", "connection")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in skipped}
        url = self._server + request.raw_path
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None, timeout=timeout
        ) as reply:
            if "watch" in request.query and relay:
                return await self._stream(request, reply)
            body = await reply.read()
            kept = {k: v for k, v in reply.headers.items() if k.lower() not in skipped}
            return web.Response(body=body, status=reply.status, headers=kept)

    async def _stream(self, request: web.Request, reply: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers={"Content-Type": "application/json"})
        task = asyncio.create_task(self._copy(request, reply, response))
        self._watches.add(task)
        try:
            await task
        except (asyncio.CancelledError, aiohttp.ClientError, ConnectionError):
            if request.transport:
                request.transport.abort()
        finally:
            self._watches.discard(task)
        return response

    async def _copy(self, request: web.Request, reply: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        await response.prepare(request)
        async for chunk in reply.content.iter_any():
            await response.write(chunk)

    @property
    def _server(self) -> str:
        return str(self._upstream["clusters"][0]["cluster"]["server"])

    def _tls(self) -> ssl.SSLContext:
        cluster, user = self._upstream["clusters"][0]["cluster"], self._upstream["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return context

    def _write_kubeconfig(self, port: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        server = f"http://127.0.0.1:{port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }
        Path(self.kubeconfig).write_text(yaml.safe_dump(content))
