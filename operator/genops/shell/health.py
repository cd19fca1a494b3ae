"""/healthz, /readyz and /metrics over HTTP."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from genops.shell import metrics


class Health:
    """A small server. `alive` and `ready` are asked at each request; each returns what is wrong, or nothing."""

    def __init__(self, alive: Callable[[], str], ready: Callable[[], str]) -> None:
        app = web.Application()
        app.router.add_get("/healthz", _answer(alive))
        app.router.add_get("/readyz", _answer(ready))
        app.router.add_get("/metrics", _metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which matters when 0 was asked for."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


def _answer(wrong: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_: web.Request) -> web.StreamResponse:
        problem = wrong()
        return web.Response(text=(problem or "ok") + "\n", status=503 if problem else 200)

    return handle


async def _metrics(_: web.Request) -> web.StreamResponse:
    return web.Response(body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
