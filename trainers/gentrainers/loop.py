"""The one training loop: every family, one process or many, with what a run needs to survive.

Step s is a pure function of (state, seed, s). The loop never branches on a family, and must not know of pods (it is
given one), of artifacts, or of what a sample is.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gencontract.codes import Code
from gencontract.layout import HEARTBEAT_SECONDS
from gencontract.report import Progress
from gentrainers import rng
from gentrainers.checkpoint import Checkpoints, Found
from gentrainers.dist import World, spread, unsynced, whole
from gentrainers.ema import Ema
from gentrainers.errors import JobError
from gentrainers.families import Config, Family
from gentrainers.feed import Feed, moved
from gentrainers.flops import Meter
from gentrainers.journal import Journal, Unwritten
from gentrainers.optim import Optimizers, norm_of, rate
from gentrainers.pod import Pod

STRIKES = 3  # reloads after a non-finite step, before the run is given up
LOOKS = 200  # rows of history in a run
PATIENCE = 300.0  # seconds without a step, at least, before a run counts as stalled
AGREE = 8  # on a GPU, steps between agreements of all processes on stopping and saving


@dataclass
class Plan:
    """What a run is: fixed from its first step to its last."""

    kind: Family[Any]
    feed: Feed
    seed: int
    world: World
    identity: dict[str, Any]  # what a checkpoint must agree with
    every_seconds: float = 60
    validate: Callable[[Mapping[str, nn.Module]], dict[str, float]] | None = None

    @property
    def config(self) -> Config:
        return self.kind.config  # type: ignore[no-any-return]


@dataclass
class Counters:
    """The part of the state that is numbers. `skipped` are steps whose batch is left out."""

    step: int = 0
    strikes: int = 0
    struck: int = -1  # the last step that was not finite
    skipped: list[int] = field(default_factory=list)


class Trainer:
    """The state of a run, and the ways it changes."""

    def __init__(self, plan: Plan, nets: dict[str, nn.Module], checkpoints: Checkpoints, journal: Journal) -> None:
        self.plan, self.checkpoints, self.journal = plan, checkpoints, journal
        config, world = plan.config, plan.world
        self.nets = {turn: net.to(world.device) for turn, net in nets.items()}
        self.meter = Meter(world.device, config.precision)
        if self.meter.peak:
            self._learn_flops()
        self.running = {turn: self._prepared(net) for turn, net in self.nets.items()}
        self.trained = {
            turn: {n: p for n, p in net.named_parameters() if p.requires_grad} for turn, net in self.nets.items()
        }
        self.optimizers = {t: Optimizers(self.trained[t], config, plan.kind.learning_rate(t)) for t in plan.kind.turns}
        self.emas = {t: Ema(self.trained[t], config.ema) for t in plan.kind.turns if config.ema}
        self.counters = Counters()
        self._bad = torch.tensor(-1, device=world.device)
        self._saved_at = time.monotonic()
        self._ahead = ThreadPoolExecutor(1, "feed")
        self._next: tuple[int, Future[Any]] | None = None

    def _prepared(self, net: nn.Module) -> nn.Module:
        if self.plan.config.compile:
            net.compile()
        return spread(net, self.plan.world, self.plan.config.parallel, self.plan.config.precision)

    def _learn_flops(self) -> None:
        """Count what a step costs on a few samples, before anything is compiled or spread over processes."""
        few = min(2, self.plan.config.batch)
        which, epochs = rng.visits(self.plan.seed, len(self.plan.feed), 0, few)
        batch = moved(self.plan.feed.batch(which, epochs), self.plan.world.device)

        def work() -> None:
            for turn in self.plan.kind.turns:
                noise = rng.noise("flops", total=few, device=self.plan.world.device)
                with self._precision():
                    loss = self.plan.kind.loss(turn, self.nets, batch, noise)
                loss.total.backward()  # type: ignore[no-untyped-call]

        self.meter.learn(work, self.plan.config.batch / few)
        for net in self.nets.values():
            net.zero_grad(set_to_none=True)

    # -- a step

    def advance(self) -> None:
        """Take one step: each turn in order, then the averages."""
        step = self.counters.step
        if step not in self.counters.skipped:
            batch = self._batch(step)
            for number, turn in enumerate(self.plan.kind.turns):
                self._turn(turn, number, step, batch)
            for ema in self.emas.values():
                ema.update(step)
        self.counters.step = step + 1

    def _turn(self, turn: str, number: int, step: int, batch: dict[str, Tensor]) -> None:
        plan, optimizer = self.plan, self.optimizers[turn]
        nets = {name: self.running[name] if name == turn else self.nets[name] for name in self.nets}
        self._only(turn)
        optimizer.clear()
        torch.manual_seed(rng.mix(plan.seed, "layers", step, number, plan.world.rank))
        for part, piece in enumerate(self._parts(batch)):
            last = part + 1 == plan.config.accumulate
            with unsynced(nets[turn], last):
                with self._precision():
                    loss = plan.kind.loss(turn, nets, piece, self._noise(step, turn, part))
                (loss.total / plan.config.accumulate).backward()  # type: ignore[no-untyped-call]
            self.journal.add(turn, loss)
        norm = norm_of(self.trained[turn], plan.config.clip)
        self._bad = torch.where((self._bad < 0) & ~norm.isfinite(), step, self._bad)
        optimizer.step(rate(plan.config, step))

    def _only(self, turn: str) -> None:
        """Let gradients reach the net of this turn alone."""
        if len(self.nets) == 1:
            return
        for name, parameters in self.trained.items():
            for p in parameters.values():
                p.requires_grad_(name == turn)

    def _precision(self) -> AbstractContextManager[Any]:
        config, world = self.plan.config, self.plan.world
        if config.precision == "fp32" or (config.parallel == "fsdp" and world.size > 1):
            return nullcontext()
        return torch.autocast(world.device.type, torch.bfloat16)

    # -- what a step is fed: pure functions of the step

    def _batch(self, step: int) -> dict[str, Tensor]:
        """Return this process' rows of the global batch of a step; the next one is read meanwhile."""
        ready = self._next[1] if self._next and self._next[0] == step else self._ahead.submit(self._read, step)
        self._next = (step + 1, self._ahead.submit(self._read, step + 1))
        batch = moved(ready.result(), self.plan.world.device)
        noise = self._noise(step, "augment", 0, whole=True)
        return dict(self.plan.kind.augment(batch, noise))

    def _read(self, step: int) -> dict[str, Tensor]:
        size = self.plan.config.batch
        which, epochs = rng.visits(self.plan.seed, len(self.plan.feed), step * size, size)
        rows = self.plan.world.rows(size)
        return self.plan.feed.batch(which[rows], epochs[rows])

    def _parts(self, batch: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Cut the rows into equal parts."""
        count = self.plan.config.accumulate
        cut = {name: t.chunk(count) for name, t in batch.items()}
        return [{name: pieces[i] for name, pieces in cut.items()} for i in range(count)]

    def _noise(self, step: int, purpose: str, part: int, whole: bool = False) -> rng.Noise:
        """Return the noise of a part of this process' rows, cut from the noise of the global batch."""
        config, world = self.plan.config, self.plan.world
        rows = world.rows(config.batch)
        if not whole:
            each = (rows.stop - rows.start) // config.accumulate
            rows = slice(rows.start + part * each, rows.start + (part + 1) * each)
        return rng.noise(self.plan.seed, purpose, step, total=config.batch, rows=rows, device=world.device)

    # -- state

    def tensors(self) -> dict[str, Tensor]:
        """Name every tensor of the state, in an order that does not depend on how it came about."""
        out: dict[str, Tensor] = {}
        for turn, net in self.nets.items():
            out |= {f"net/{turn}/{n}": t for n, t in net.state_dict().items()}
        for turn, ema in self.emas.items():
            out |= {f"ema/{turn}/{n}": t for n, t in ema.average.items()}
        for turn, optimizer in self.optimizers.items():
            out |= {f"optimizer/{turn}/{n}": t for n, t in optimizer.state().items()}
        return dict(sorted(out.items()))

    def save(self) -> None:
        """Save the state at this step, not waiting for the disk."""
        self._check()
        if self.counters.struck < self.counters.step - 1:
            self.counters.strikes = 0
        unwritten = self.plan.world.gather(self.journal.unwritten())
        body = {"identity": self.plan.identity, "counters": vars(self.counters), "unwritten": unwritten}
        self.checkpoints.save(self.counters.step, self.tensors(), body)
        self._saved_at = time.monotonic()

    def newest(self) -> Found | None:
        """Open the newest good checkpoint; process 0 first, since it drops what is damaged."""
        self.checkpoints.wait()
        found = self.checkpoints.newest() if self.plan.world.rank == 0 else None
        self.plan.world.wait()
        return found if self.plan.world.rank == 0 else self.checkpoints.newest()

    def load(self, found: Found) -> None:
        """Go back to a checkpoint. Raises JobError(WRONG_CHECKPOINT) where it is of another run."""
        _same(found, self.plan.identity)
        for name, t in self.tensors().items():
            if not name.startswith("optimizer/"):
                found.read_into(t, name)
        for turn, optimizer in self.optimizers.items():
            optimizer.restore(self._optimizer_state(found, f"optimizer/{turn}/"))
        self.counters = Counters(**found.body["counters"])
        self.journal.rewind(self.counters.step)
        self.journal.take_up(_share(found.body["unwritten"], self.plan.world))

    def _optimizer_state(self, found: Found, prefix: str) -> dict[str, Tensor]:
        turn = prefix.split("/")[1]
        state = {}
        for name in found.names():
            if name.startswith(prefix):
                parameter = self.trained[turn].get(name.removeprefix(prefix).rpartition("/")[0])
                state[name.removeprefix(prefix)] = _like(found, name, parameter)
                found.read_into(state[name.removeprefix(prefix)], name)
        return state

    def whole_nets(self) -> dict[str, nn.Module]:
        """Return the nets as one process would have them; gathered from all where they are sharded."""
        if not self.checkpoints.sharded:
            return self.nets
        fresh = self.plan.kind.build()
        for turn, net in fresh.items():
            net.load_state_dict({n: whole(t).cpu() for n, t in self.nets[turn].state_dict().items()})
        return fresh

    # -- trouble

    def _check(self) -> None:
        """Raise NotFinite where a step was not finite."""
        bad = int(self._bad.item())
        if bad >= 0:
            self._bad.fill_(-1)
            raise NotFinite(bad)

    def recover(self, bad: int) -> None:
        """Go back to the last good checkpoint and leave out the batch that broke; give up after three times."""
        found = self.newest()
        strikes = self.counters.strikes + 1
        if strikes > STRIKES or not found:
            raise JobError(
                Code.NON_FINITE,
                f"The loss was not finite at step {bad}, after {STRIKES} reloads; lower hyperparameters.lr, "
                f"or use precision fp32",
            )
        skipped = [*self.counters.skipped, bad]
        self.load(found)
        self.counters.strikes, self.counters.struck, self.counters.skipped = strikes, bad, skipped

    def close(self) -> None:
        """End the threads."""
        self._ahead.shutdown(cancel_futures=True)
        self.journal.close()

    # -- the run

    def run(self, pod: Pod) -> bool:
        """Train to the end, or until asked to stop. Returns whether the end was reached; the state is saved."""
        while True:
            try:
                ended = self._run(pod)
                pod.rest()
                self.save()
                self.checkpoints.wait()
                return ended
            except NotFinite as trouble:
                self.recover(trouble.step)

    def _run(self, pod: Pod) -> bool:
        config = self.plan.config
        pace, slowest = Pace(self.counters.step), 0.0
        if self.counters.step == 0:
            self.save()  # shows at once that the store works, and is what the first reload goes back to
        while self.counters.step < config.steps:
            began = time.monotonic()
            self.advance()
            self._look()
            slowest = max(slowest, time.monotonic() - began)
            pod.alive(max(PATIENCE, 20 * slowest))
            stop, save = self._agree(pod)
            if stop:
                return False
            if save:
                self.save()
            if pod.due or self.counters.step == config.steps:
                pod.progress(self._progress(pace))
        return True

    def _look(self) -> None:
        """Check the numbers, and write a row of history from time to time."""
        step, config = self.counters.step, self.plan.config
        row = step % max(config.steps // LOOKS, 1) == 0 or step == config.steps
        if self.plan.world.device.type == "cpu" or row:
            self._check()
        if row:
            self.journal.row(step, rate(config, step - 1) * config.lr, self.plan.world.mean)
        if config.evaluate_every and step % config.evaluate_every == 0:
            self.journal.note(step, self.validated())

    def validated(self) -> dict[str, float]:
        """Look at the validation split with the averaged weights."""
        if not self.plan.validate:
            return {}
        with self.averaged():
            return self.plan.validate(self.nets)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the averages stand in for the weights."""
        with ExitStack() as stack:
            for ema in self.emas.values():
                stack.enter_context(ema.applied())
            yield

    def _agree(self, pod: Pod) -> tuple[bool, bool]:
        """Decide with all processes whether to stop, and whether to save."""
        if self.plan.world.device.type == "cuda" and self.counters.step % AGREE:
            return False, False
        interval = max(self.plan.every_seconds, 100 * self.checkpoints.last_blocked)
        due = self.plan.world.rank == 0 and time.monotonic() - self._saved_at >= interval
        stop, save = self.plan.world.any(pod.stopping, due)
        return stop, save

    def _progress(self, pace: "Pace") -> Progress:
        config, step = self.plan.config, self.counters.step
        self.checkpoints.settled()
        steps_per_second = pace.measure(step)
        return Progress(
            stage="training",
            step=step,
            total=config.steps,
            samples_per_second=_round(steps_per_second * config.batch),
            eta_seconds=_round((config.steps - step) / steps_per_second) if steps_per_second else None,
            metrics=self.journal.latest(),
            mfu=self.meter.mfu(steps_per_second / self.plan.world.size),
            checkpoint=self.checkpoints.last,
        )


def _share(unwritten: list[Unwritten], world: World) -> Unwritten:
    """Pick this process' sums; where other processes saved them, everyone takes their mean."""
    if len(unwritten) == world.size:
        return unwritten[world.rank]
    totals = {name: sum(u[name][0] for u in unwritten) / len(unwritten) for name in unwritten[0]}
    return {name: (total, unwritten[0][name][1]) for name, total in totals.items()}


def _like(found: Found, name: str, parameter: Tensor | None) -> Tensor:
    """Make room for a tensor of an optimizer's state: like its parameter, or a plain number."""
    shape = found.shape(name)
    if parameter is not None and tuple(parameter.shape) == shape:
        return torch.zeros_like(parameter.detach())
    return torch.zeros(shape)


def _same(found: Found, identity: dict[str, Any]) -> None:
    """Refuse a checkpoint of another run. Raises JobError(WRONG_CHECKPOINT) that names each difference."""
    theirs = found.body["identity"]
    wrong = [f"{k} is {theirs.get(k)!r}, this run has {v!r}" for k, v in sorted(identity.items()) if theirs.get(k) != v]
    if wrong:
        raise JobError(
            Code.WRONG_CHECKPOINT,
            f"checkpoint {found.uri} is of another run: {'; '.join(wrong)}; use another uri, or resume Never",
        )


def _round(value: float) -> float:
    return float(f"{value:.4g}")


class NotFinite(Exception):
    """A gradient was infinite or NaN at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class Pace:
    """Steps per second since the last time it was asked."""

    def __init__(self, step: int) -> None:
        self.step, self.at = step, time.monotonic()

    def measure(self, step: int) -> float:
        now = time.monotonic()
        steps, seconds = step - self.step, now - self.at
        if seconds >= min(1, HEARTBEAT_SECONDS):
            self.step, self.at = step, now
        return steps / seconds if seconds > 0 else 0.0
