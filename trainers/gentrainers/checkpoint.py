"""Checkpoints: what a run needs to go on, written beside the training and never half.

A checkpoint is an artifact (kind `checkpoint`) named step-<n>: one safetensors file per process that holds state, and
the manifest, written last. Saving copies the state aside, which is all that training waits for, and writes it in a
thread. Loading checks every digest; a damaged checkpoint is dropped and the one before it is used. One process at a
time may write to a folder. This module knows named tensors and a JSON body, and nothing of models or losses.
"""

import copy
import fcntl
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor

from gencontract.codes import Code
from gencontract.report import Checkpoint
from gentrainers import artifact
from gentrainers.dist import local, region
from gentrainers.errors import JobError

KIND = "checkpoint"
OWNER = "owner.json"
NAME = re.compile(r"step-(\d{10})$")
PATIENCE = 600.0  # seconds that process 0 waits for the shards of the others
TYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DAMAGED = (Code.DIGEST_MISMATCH, Code.BAD_DATA, Code.MISSING_INPUT)


@dataclass(frozen=True)
class Part:
    """One process' part of a tensor, on the CPU: the whole's shape, where the part begins, and the part."""

    shape: tuple[int, ...]
    begins: tuple[int, ...]
    data: Tensor


class Found:
    """A checkpoint that was checked."""

    def __init__(self, opened: artifact.Opened, uri: str) -> None:
        self.body, self.uri = opened.body, uri
        self.report = Checkpoint(uri=uri, step=int(opened.body["step"]), digest=opened.digest)
        self._files = [safe_open(p, framework="pt") for p in sorted(opened.path.glob("rank-*.safetensors"))]
        self._where: dict[str, list[tuple[Any, list[int], list[int]]]] = {}
        for file in self._files:
            metadata = file.metadata()  # type: ignore[no-untyped-call]
            for name, (shape, begins) in json.loads(metadata["parts"]).items():
                self._where.setdefault(name, []).append((file, shape, begins))

    def names(self) -> list[str]:
        """List the tensors."""
        return sorted(self._where)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the whole shape of a tensor."""
        return tuple(self._where[name][0][1])

    def read_into(self, target: Tensor, name: str) -> None:
        """Fill a tensor, or our shard of it, whatever processes wrote it. Raises JobError(WRONG_CHECKPOINT)."""
        if name not in self._where or self.shape(name) != tuple(target.shape):
            found = self.shape(name) if name in self._where else "nothing"
            raise JobError(
                Code.WRONG_CHECKPOINT, f"{self.uri}: {name} should have shape {tuple(target.shape)}, found {found}"
            )
        mine, first = local(target), (region(target) or (0,))[0]
        with torch.no_grad():
            for file, _, begins in self._where[name]:
                _fill(mine, first, file, name, (begins or [0])[0])


def _fill(mine: Tensor, first: int, file: Any, name: str, begins: int) -> None:
    """Copy the rows that a shard of a file and a shard in memory have in common."""
    if mine.dim() == 0:
        mine.copy_(file.get_tensor(name))
        return
    rows = file.get_slice(name)
    low, high = max(first, begins), min(first + mine.shape[0], begins + rows.get_shape()[0])
    if low < high:
        mine[low - first : high - first].copy_(rows[low - begins : high - begins])


@dataclass
class Checkpoints:
    """The checkpoints of one run at one place. `keep` newest are kept; `token` is the same in all processes."""

    uri: str
    keep: int
    token: str
    rank: int = 0
    size: int = 1
    sharded: bool = False  # does every process hold a part of its own?
    blocked: float = 0.0  # seconds that training has waited for saving
    last_blocked: float = 0.0
    last: Checkpoint | None = None
    _lock: BinaryIO | None = None
    _aside: dict[str, Tensor] = field(default_factory=dict)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "checkpoint"))
    _writing: "Future[Checkpoint | None] | None" = None

    @property
    def root(self) -> Path:
        return artifact.local_path(self.uri)

    def open(self) -> None:
        """Take the folder for this run alone. Raises JobError(SOURCE_UNAVAILABLE) where another process has it."""
        if artifact.is_remote(self.uri):
            if self.sharded:
                raise JobError(
                    Code.UNSUPPORTED, f"checkpoint.uri {self.uri}: shards of several processes need a volume"
                )
            return
        if self.rank:
            return
        with artifact.store_errors(self.uri):
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = (self.root / "LOCK").open("ab")
            _take(self._lock, self.uri)
            for left in self.root.glob(".*-*"):
                shutil.rmtree(left, ignore_errors=True)
            (self.root / OWNER).write_text(json.dumps({"token": self.token, "host": socket.gethostname()}))

    def close(self) -> None:
        """Wait for what is being written, and give the folder back."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()
            if self._lock:
                self._lock.close()
                self._lock = None

    # -- load

    def newest(self) -> Found | None:
        """Open the newest checkpoint that is whole. Damaged ones are told of and, by process 0, removed."""
        for step in sorted(self._steps(), reverse=True):
            uri = self._place(step)
            try:
                found = Found(artifact.open_artifact(uri, KIND), uri)
            except JobError as error:
                if error.code not in DAMAGED:
                    raise
                print(f"checkpoint {uri} is damaged and passed over: {error}", file=sys.stderr, flush=True)
                if self.rank == 0:
                    artifact.remove(uri)
                continue
            self.last = found.report
            return found
        return None

    def clear(self) -> None:
        """Remove all checkpoints of earlier runs."""
        if self.rank == 0:
            for step in self._steps():
                artifact.remove(self._place(step))

    def _place(self, step: int) -> str:
        return f"{self.uri.rstrip('/')}/step-{step:010d}"

    def _steps(self) -> list[int]:
        return [int(m[1]) for name in artifact.listing(self.uri) if (m := NAME.search(name))]

    # -- save

    def save(self, step: int, tensors: Mapping[str, Tensor], body: dict[str, Any]) -> None:
        """Copy the state aside and write it in a thread. Raises what the save before this one ran into."""
        began = time.monotonic()
        self.wait()
        parts = self._copied(tensors)
        self.last_blocked = time.monotonic() - began
        self.blocked += self.last_blocked
        self._writing = self._pool.submit(self._write, step, parts, {**copy.deepcopy(body), "step": step})

    def wait(self) -> Checkpoint | None:
        """Wait for the save that is under way; raises what it ran into."""
        writing, self._writing = self._writing, None
        if writing:
            self.last = writing.result() or self.last
        return self.last

    def settled(self) -> None:
        """Take note of a save that has ended, without waiting for one that has not."""
        if self._writing and self._writing.done():
            self.wait()

    def _copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Part]:
        """Copy tensors to memory that training does not touch, kept from save to save."""
        if self.rank and not self.sharded:
            return {}
        parts = {}
        for name, t in tensors.items():
            source, begins = local(t.detach()), region(t)
            parts[name] = Part(tuple(t.shape), begins, self._buffer(name, source))
            parts[name].data.copy_(source, non_blocking=True)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return parts

    def _buffer(self, name: str, like: Tensor) -> Tensor:
        kept = self._aside.get(name)
        if kept is None or kept.shape != like.shape:
            kept = torch.empty(like.shape, dtype=like.dtype, pin_memory=like.is_cuda)
            self._aside[name] = kept
        return kept

    def _write(self, step: int, parts: dict[str, Part], body: dict[str, Any]) -> Checkpoint | None:
        if self.rank:
            if self.sharded:
                self._hand_in(step, parts)
            return None
        self._still_ours()
        with artifact.writing(self._place(step), KIND, body) as folder:
            write_parts(folder / "rank-00000.safetensors", parts)
            if self.sharded:
                self._collect(step, folder)
        self._prune()
        return Checkpoint(uri=self._place(step), step=step, digest=artifact.digest_of(self._place(step)))

    def _hand_in(self, step: int, parts: dict[str, Part]) -> None:
        """Leave this process' shard for process 0 to take into the checkpoint; the rename says that it is whole."""
        folder = self._desk(step)
        with artifact.store_errors(self.uri):
            folder.mkdir(parents=True, exist_ok=True)
            write_parts(folder / f"{self.rank}.tmp", parts)
            (folder / f"{self.rank}.tmp").rename(folder / f"rank-{self.rank:05d}.safetensors")

    def _collect(self, step: int, folder: Path) -> None:
        until = time.monotonic() + PATIENCE
        for rank in range(1, self.size):
            shard = self._desk(step) / f"rank-{rank:05d}.safetensors"
            while not shard.exists():
                if time.monotonic() > until:
                    raise JobError(Code.STALLED, f"{self.uri}: process {rank} did not save its part of step {step}")
                time.sleep(0.02)
            shard.rename(folder / shard.name)
        shutil.rmtree(self._desk(step), ignore_errors=True)

    def _desk(self, step: int) -> Path:
        return self.root / f".shards-{step}-{self.token}"

    def _still_ours(self) -> None:
        """Stop a writer that was frozen while another took its place (a lock may not reach across machines)."""
        if artifact.is_remote(self.uri):
            return
        owner = json.loads((self.root / OWNER).read_text())
        if owner["token"] != self.token:
            raise JobError(
                Code.SOURCE_UNAVAILABLE, f"checkpoint.uri {self.uri} was taken over by a process on {owner['host']}"
            )

    def _prune(self) -> None:
        for step in sorted(self._steps())[: -self.keep]:
            artifact.remove(self._place(step))


def _take(lock: BinaryIO, uri: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JobError(
            Code.SOURCE_UNAVAILABLE,
            f"checkpoint.uri {uri} is in use by another process; give each run a folder of its own",
        ) from None


def write_parts(path: Path, parts: Mapping[str, Part]) -> None:
    """Write tensors as safetensors, straight from their memory: the library's own writer would copy them once more."""
    header: dict[str, Any] = {"__metadata__": {"parts": json.dumps({n: (p.shape, p.begins) for n, p in parts.items()})}}
    at = 0
    for name, part in parts.items():
        size = part.data.numel() * part.data.element_size()
        header[name] = {
            "dtype": TYPES[part.data.dtype],
            "shape": list(part.data.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for part in parts.values():
            file.write(part.data.reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
