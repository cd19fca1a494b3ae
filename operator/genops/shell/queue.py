"""The work queue, with the rules of client-go's.

A key waits at most once; a key that is being worked on is never given out a second time, and runs once more afterwards
when it was added meanwhile; a key that failed comes back after a delay that doubles up to a cap, with jitter; a key
may ask to come back later, and the earliest such wish counts. It knows nothing of Kubernetes.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BASE_SECONDS = 0.5
CAP_SECONDS = 300.0


class WorkQueue(Generic[K]):
    """Keys to look at. One event loop, any number of workers."""

    def __init__(self, clock: Callable[[], float] | None = None, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._jitter = jitter
        self._waiting: deque[K] = deque()
        self._since: dict[K, float] = {}  # when each waiting key was added
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, tuple[float, asyncio.TimerHandle]] = {}
        self._takers: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_age(self) -> float:
        """Seconds that the first waiting key has waited."""
        return self._clock() - self._since[self._waiting[0]] if self._waiting else 0.0

    @property
    def idle(self) -> bool:
        """Say whether nothing waits and nothing is worked on; delayed keys do not count."""
        return not self._waiting and not self._working

    def add(self, key: K) -> None:
        """Ask for a look at `key` as soon as a worker is free."""
        self._cancel_timer(key)
        if key in self._working:
            self._again.add(key)
            return
        if key not in self._since and not self._closed:
            self._since[key] = self._clock()
            self._waiting.append(key)
            self._wake(1)

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for a look after `seconds`; an earlier wish for the same key stays."""
        due = self._clock() + seconds
        known = self._timers.get(key)
        if self._closed or (known and known[0] <= due):
            return
        self._cancel_timer(key)
        handle = asyncio.get_running_loop().call_later(seconds, self._fire, key)
        self._timers[key] = (due, handle)

    async def get(self) -> K | None:
        """Wait for a key and take it; None when the queue is closed. The taker must call `done` or `failed`."""
        while not self._waiting:
            if self._closed:
                return None
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker
        key = self._waiting.popleft()
        del self._since[key]
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Say that the look at `key` ended well: its failures are forgotten."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K) -> float:
        """Say that the look at `key` failed; it comes back by itself. Returns the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(BASE_SECONDS * 2.0 ** min(count, 20), CAP_SECONDS) * (0.5 + self._jitter() / 2)
        self._release(key)
        if key not in self._since:
            self.add_after(key, delay)
        return delay

    def close(self) -> None:
        """Give out nothing more; workers that wait get None."""
        self._closed = True
        self._waiting.clear()
        self._since.clear()
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._wake(len(self._takers))

    def _wake(self, count: int) -> None:
        while count and self._takers:
            taker = self._takers.popleft()
            if not taker.done():  # a cancelled taker waits no more
                taker.set_result(None)
                count -= 1

    def _release(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: K) -> None:
        known = self._timers.pop(key, None)
        if known:
            known[1].cancel()
