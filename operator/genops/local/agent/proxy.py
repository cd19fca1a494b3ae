"""A small TCP proxy for service addresses: round robin over the pods behind. Knows sockets, nothing of services."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from genops.local.agent.endpoints import Address, Listener

log = logging.getLogger(__name__)
Complaint = Callable[[Listener, OSError], None]


@dataclass
class _Open:
    """A listening address and where its next connection goes."""

    listener: Listener
    server: asyncio.Server | None = None
    turn: int = 0
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    def next_backends(self) -> list[Address]:
        """Return all backends, beginning with the one whose turn it is."""
        self.turn += 1
        backends = list(self.listener.backends)
        start = self.turn % len(backends)
        return backends[start:] + backends[:start]


class Proxy:
    """Listens where it is told, and changes as it is told again."""

    def __init__(self, complain: Complaint) -> None:
        self._open: dict[Address, _Open] = {}
        self._complain = complain

    async def set(self, listeners: Iterable[Listener]) -> None:
        """Listen on exactly these addresses; connections that are open stay."""
        wanted = {listener.at: listener for listener in listeners}
        for address in set(self._open) - set(wanted):
            self._close(address)
        for address, listener in wanted.items():
            await self._ensure(address, listener)

    def close(self) -> None:
        """Stop listening and drop all connections."""
        for place in self._open.values():
            for task in place.connections:
                task.cancel()
        for address in list(self._open):
            self._close(address)

    def _close(self, address: Address) -> None:
        server = self._open.pop(address).server
        if server is not None:
            server.close()

    async def _ensure(self, address: Address, listener: Listener) -> None:
        place = self._open.setdefault(address, _Open(listener))
        new = place.listener != listener or place.server is None
        place.listener = listener
        if place.server is None and new:
            await self._listen(place)

    async def _listen(self, place: _Open) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            place.connections.add(task)
            task.add_done_callback(place.connections.discard)
            await _forward(place, reader, writer)

        try:
            place.server = await asyncio.start_server(serve, *place.listener.at)
        except OSError as error:
            self._complain(place.listener, error)


async def _forward(place: _Open, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.CancelledError):
        there = await _connect(place.next_backends())
        if there is not None:
            await _both_ways((reader, writer), there)
    writer.transport.abort() if writer.transport.get_write_buffer_size() == 0 else writer.close()


async def _connect(backends: Iterable[Address]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect to the first backend that takes the connection."""
    for host, port in backends:
        with suppress(OSError, TimeoutError):
            return await asyncio.wait_for(asyncio.open_connection(host, port), 5)
    return None


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(here: Pair, there: Pair) -> None:
    try:
        await asyncio.gather(_copy(here[0], there[1]), _copy(there[0], here[1]))
    finally:
        there[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
