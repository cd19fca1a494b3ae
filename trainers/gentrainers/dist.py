"""Several processes as one trainer: ranks from the environment, data parallel or sharded nets, agreed decisions.

Ranks come as torchrun names them (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT); an indexed Job that gives
only its own index is understood too. This module knows processes and devices, nothing of steps, losses or files.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as td
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gencontract.codes import Code
from gencontract.layout import PORT_RENDEZVOUS
from gentrainers.errors import JobError
from gentrainers.pod import rank_in, whole_number

PATIENCE = timedelta(minutes=15)  # the first step may compile


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def rows(self, batch: int) -> slice:
        """Name this process' rows of a global batch. Raises JobError(BAD_CONFIG) where it cannot be shared evenly."""
        if batch % self.size:
            raise JobError(
                Code.BAD_CONFIG, f"hyperparameters.batch = {batch} cannot be shared by {self.size} processes evenly"
            )
        each = batch // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def check_parts(self, batch: int, parts: int) -> None:
        """See that this process' rows can be cut into equal parts. Raises JobError(BAD_CONFIG)."""
        rows = self.rows(batch)
        if (rows.stop - rows.start) % parts:
            raise JobError(
                Code.BAD_CONFIG,
                f"hyperparameters.accumulate = {parts} does not divide the {rows.stop - rows.start} samples of a step "
                f"in each process (batch = {batch}, {self.size} processes)",
            )

    def any(self, *flags: bool) -> list[bool]:
        """Agree on flags: each is true for all where it is true for one."""
        if self.size == 1:
            return list(flags)
        mine = torch.tensor(flags, dtype=torch.int32)
        td.all_reduce(mine, op=td.ReduceOp.MAX)
        return [bool(f) for f in mine.tolist()]

    def mean(self, value: Tensor) -> Tensor:
        """Average a small tensor over all processes."""
        if self.size == 1:
            return value
        value = value.detach().float().cpu()
        td.all_reduce(value)
        return value / self.size

    def gather(self, value: Any) -> list[Any]:
        """Collect a small value from every process, in all of them."""
        out = [value] * self.size
        if self.size > 1:
            td.all_gather_object(out, value)
        return out

    def token(self) -> str:
        """Return a random word that is the same in all processes."""
        mine: list[Any] = [secrets.token_hex(8)]
        if self.size > 1:
            td.broadcast_object_list(mine, src=0)
        return str(mine[0])

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            td.barrier()


@contextmanager
def joined(device: torch.device, environ: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Join the other processes for the time of the block; alone where the environment names no others."""
    size = whole_number(environ, "WORLD_SIZE", 1)
    if size == 1:
        yield World(device)
        return
    place = _own_device(device, environ)
    _start(rank_in(environ), size, place, environ)
    try:
        yield World(place, rank_in(environ), size)
    finally:
        td.destroy_process_group()


def _own_device(device: torch.device, environ: Mapping[str, str]) -> torch.device:
    """Give each process of a machine its own GPU. Raises JobError(NO_DEVICE) where there are too few."""
    if device.type != "cuda":
        return device
    local = whole_number(environ, "LOCAL_RANK", 0)
    if local >= torch.cuda.device_count():
        raise JobError(
            Code.NO_DEVICE,
            f"process {local} of this pod has no GPU, {torch.cuda.device_count()} are there; lower procsPerNode",
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _start(rank: int, size: int, device: torch.device, environ: Mapping[str, str]) -> None:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    host, port = environ.get("MASTER_ADDR", "127.0.0.1"), whole_number(environ, "MASTER_PORT", PORT_RENDEZVOUS)
    try:
        td.init_process_group(backend, init_method=f"tcp://{host}:{port}", rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, td.DistError) as error:
        first = str(error).splitlines()[0]
        raise JobError(
            Code.SOURCE_UNAVAILABLE, f"process {rank} of {size} did not meet the others at {host}:{port}: {first}"
        ) from None


def spread(net: nn.Module, world: World, parallel: str, precision: str) -> nn.Module:
    """Return the net as it is to be called in training: itself, a data parallel wrapper, or itself with shards."""
    if world.size == 1:
        return net
    if parallel == "fsdp":
        return _sharded(net, precision)
    ids = [world.device.index] if world.device.type == "cuda" else None
    return DistributedDataParallel(net, device_ids=ids, gradient_as_bucket_view=True)


def _sharded(net: nn.Module, precision: str) -> nn.Module:
    """Shard each repeated block, then the rest: a block is gathered just before it is used (FSDP2)."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # seconds, and only shards need it

    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None, reduce_dtype=torch.float32
    )
    for child in net.modules():
        if isinstance(child, nn.ModuleList):
            for block in child:
                fully_shard(block, mp_policy=policy)
    fully_shard(net, mp_policy=policy)
    return net


def unsynced(net: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Keep gradients here until the last part of an accumulated batch."""
    if isinstance(net, DistributedDataParallel) and not last:
        return net.no_sync()
    if hasattr(net, "set_requires_gradient_sync"):
        cast(Any, net).set_requires_gradient_sync(last)
    return nullcontext()


def local(t: Tensor) -> Tensor:
    """Return this process' part of a tensor; the tensor itself where it is whole."""
    return cast(Tensor, cast(Any, t).to_local()) if hasattr(t, "to_local") else t


def region(t: Tensor) -> tuple[int, ...]:
    """Say where this process' part begins in the whole: FSDP2 shards the first axis in chunks of equal height."""
    first = [0] * t.dim()
    if hasattr(t, "to_local") and t.dim():
        mesh = cast(Any, t).device_mesh
        first[0] = min(mesh.get_local_rank() * -(-t.shape[0] // mesh.size()), t.shape[0])
    return tuple(first)


def whole(t: Tensor) -> Tensor:
    """Gather a tensor from all processes; the tensor itself where it is whole."""
    return cast(Tensor, cast(Any, t).full_tensor()) if hasattr(t, "full_tensor") else t
