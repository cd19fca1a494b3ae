"""Carries out probes and lifecycle handlers: HTTP, TCP, a command, a pause. Knows how to ask, not what it means."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from genops.local.agent.facts import Json
from genops.local.agent.probes import Timing, port_number

Execute = Callable[[list[str], float], Awaitable[tuple[int, str]]]  # command, timeout -> exit code, output


async def probe(spec: Json, container: Json, address: str, execute: Execute) -> tuple[bool, str]:
    """Ask once. Returns whether it went well, and what to say if not."""
    return await _handled(spec, container, address, execute, Timing.of(spec).timeout)


async def handle(spec: Json, container: Json, address: str, execute: Execute, timeout: float) -> tuple[bool, str]:
    """Carry out a lifecycle handler."""
    if "sleep" in spec:
        await asyncio.sleep(min(float(spec["sleep"]["seconds"]), timeout))
        return True, ""
    return await _handled(spec, container, address, execute, timeout)


async def _handled(spec: Json, container: Json, address: str, execute: Execute, timeout: float) -> tuple[bool, str]:
    try:
        if "exec" in spec:
            code, output = await execute(spec["exec"]["command"], timeout)
            return code == 0, output.strip()
        if "httpGet" in spec:
            return await _http(spec["httpGet"], container, address, timeout)
        return await _tcp(spec["tcpSocket"], container, address, timeout)
    except (OSError, TimeoutError, ValueError, aiohttp.ClientError) as error:
        return False, str(error) or type(error).__name__


async def _tcp(action: Json, container: Json, address: str, timeout: float) -> tuple[bool, str]:
    host, port = action.get("host") or address, port_number(action["port"], container)
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
    writer.close()
    return True, ""


async def _http(action: Json, container: Json, address: str, timeout: float) -> tuple[bool, str]:
    host, port = action.get("host") or address, port_number(action["port"], container)
    url = f"{action.get('scheme', 'HTTP').lower()}://{host}:{port}/{action.get('path', '/').lstrip('/')}"
    headers = {"User-Agent": "kube-probe/1.37", "Accept": "*/*"}
    headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, headers=headers, ssl=False, allow_redirects=False) as reply,
    ):
        good = 200 <= reply.status < 400
        return good, "" if good else f"HTTP probe failed with statuscode: {reply.status}"
