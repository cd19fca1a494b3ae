"""Keep a share of the answered requests in a spool on this pod's own disk, from which another process takes them.

Asking for a request to be kept never waits and never raises: what is over the rate, or does not fit into memory or the
spool, is dropped and counted. Must not know where records go, what is personal in them, or Triton.
"""

import json
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tell = Callable[[str, int], None]

ENVIRONMENT = "GENOPS_CAPTURE"  # JSON of folder, rate and perMinute; not set: nothing is kept
SUFFIX = ".npz"
OUTCOMES = ("kept", "limited", "dropped")
HELD_BYTES = 16 << 20  # in memory, until the disk has taken them
SPOOL_BYTES = 64 << 20  # on disk, until the other process has taken them
MINUTE = 60.0


@dataclass(frozen=True)
class Kept:
    """One request and its answer: arrays by name, one row per sample."""

    arrays: Mapping[str, Array]
    rows: int

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(a.nbytes for a in self.arrays.values())


class Capture:
    """The spool's writing end. `tell` is told of samples by what became of them.

    Nothing is kept until the folder is there: the server's own warm-ups are nobody's requests.
    """

    def __init__(
        self, folder: Path, rate: float, per_minute: int, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._rate, self._tell, self._clock = folder, rate, tell, clock
        self._per_minute, self._minute, self._used = per_minute, -math.inf, 0  # a minute begins with a request
        self._held: deque[Kept] = deque()
        self._bytes = 0
        self._number = 0
        self._open = self._ended = False
        self._changed = threading.Condition()
        self._writer = threading.Thread(target=self._write_on, daemon=True)
        self._writer.start()

    def offer(
        self, seeds: Sequence[int], given: Mapping[str, Array | None], drawn: Mapping[str, Array], samples: Array
    ) -> None:
        """Keep this request, or not: what it gave, and the classes that were drawn where it gave none.

        Inputs are copied, since they lie in memory that the server uses again.
        """
        if not self._opened() or random.random() >= self._rate:
            return
        if not self._within_rate():
            self._tell("limited", len(samples))
            return
        kept = Kept(_arrays(seeds, given, drawn, samples), len(samples))
        with self._changed:
            fits = self._bytes + kept.size <= HELD_BYTES
            if fits:
                self._held.append(kept)
                self._bytes += kept.size
                self._changed.notify()
        if not fits:
            self._tell("dropped", len(samples))

    def close(self) -> None:
        """Write what is held, and end."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._writer.join()

    def _opened(self) -> bool:
        self._open = self._open or self._folder.is_dir()
        return self._open

    def _within_rate(self) -> bool:
        now = self._clock()
        if now - self._minute >= MINUTE:
            self._minute, self._used = now, 0
        self._used += 1
        return self._used <= self._per_minute

    def _write_on(self) -> None:
        while (kept := self._next()) is not None:
            written = self._write(kept)
            self._tell("kept" if written else "dropped", kept.rows)

    def _next(self) -> Kept | None:
        with self._changed:
            while not self._held and not self._ended:
                self._changed.wait()
            if not self._held:
                return None
            kept = self._held.popleft()
            self._bytes -= kept.size
            return kept

    def _write(self, kept: Kept) -> bool:
        """Write one file whole or not at all."""
        self._number += 1
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}-{self._number}{SUFFIX}"
        scratch = path.with_suffix(".part")
        try:
            if sum(e.stat().st_size for e in os.scandir(self._folder)) + kept.size > SPOOL_BYTES:
                return False
            with scratch.open("wb") as file:
                np.savez(file, **kept.arrays)  # type: ignore[arg-type]
            scratch.rename(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            return False
        return True


def _arrays(
    seeds: Sequence[int], given: Mapping[str, Array | None], drawn: Mapping[str, Array], samples: Array
) -> dict[str, Array]:
    """Bring a request into arrays that numpy writes without pickle: texts as JSON in bytes."""
    out = {"at": np.full(len(seeds), time.time()), "seed": np.array(seeds, np.int64), "sample": samples}
    out |= {f"drawn-{name}": np.array(value) for name, value in drawn.items()}
    for name, value in given.items():
        if value is not None:
            out[f"given-{name}"] = _texts(value) if value.dtype == object else np.array(value)
    return out


def _texts(value: Array) -> Array:
    said = [t.decode(errors="replace") if isinstance(t, bytes) else str(t) for t in value.reshape(-1)]
    return np.frombuffer(json.dumps(said).encode(), np.uint8)


def from_environment(tell: Tell, instances: int) -> Capture | None:
    """Open the spool that the environment names, if it does; instances share the rate."""
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return None
    said = json.loads(text)
    return Capture(Path(said["folder"]), float(said["rate"]), max(1, int(said["perMinute"]) // instances), tell)
