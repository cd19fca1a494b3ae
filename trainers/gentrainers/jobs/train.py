"""Train a model: open the data, set up the run or take it up again, train, and write the model.

Composes dataset, family, loop and checkpoints; it must not know what happens inside any of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gencontract.codes import Code
from gencontract.report import Artifact, MetricReport, Report
from gencontract.task import TrainTask
from gencontract.wire import canonical
from gentrainers import artifact, dist, lora, model, rng
from gentrainers.checkpoint import Checkpoints
from gentrainers.data import agreement
from gentrainers.data.dataset import Dataset, open_dataset
from gentrainers.dist import World
from gentrainers.errors import JobError
from gentrainers.families import Config, Family, configure, family, shape_of
from gentrainers.feed import training
from gentrainers.journal import Journal
from gentrainers.loop import Plan, Trainer
from gentrainers.pod import Pod

FREE = {"compile", "parallel", "accumulate"}  # dials that may change between the parts of a run


def run(task: TrainTask, pod: Pod) -> Report:
    """Train the model of a task, or go on training it."""
    artifact.check_place(task.output, "model")
    data = open_dataset(task.dataset.uri, task.dataset.digest)
    kind = _family(task, data)
    if kind.config.threads:
        torch.set_num_threads(kind.config.threads)
    with dist.joined(model.device_for(task.device)) as world:
        world.check_parts(kind.config.batch, kind.config.accumulate)
        checkpoints = _checkpoints(task, kind.config, world)
        checkpoints.open()
        try:
            return _train(task, data, kind, checkpoints, world, pod)
        finally:
            checkpoints.close()


def _train(
    task: TrainTask, data: Dataset, kind: Family[Any], checkpoints: Checkpoints, world: World, pod: Pod
) -> Report:
    nets, base = _nets(task, kind)
    remote = artifact.is_remote(task.checkpoint.uri)
    journal = Journal(None if remote or world.rank else artifact.local_path(task.checkpoint.uri))
    plan = Plan(
        kind=kind,
        feed=training(data.split("train"), kind.data),
        seed=task.seed,
        world=world,
        identity=_identity(task, kind.config, data.digest, base),
        every_seconds=task.checkpoint.every_seconds,
        validate=_validation(kind, data, task),
    )
    trainer = Trainer(plan, nets, checkpoints, journal)
    try:
        _resume(task, trainer)
        ended = trainer.run(pod)
        if not ended:
            return _preempted(task, trainer)
        return _finished(task, data, trainer, base)
    finally:
        trainer.close()


def _family(task: TrainTask, data: Dataset) -> Family[Any]:
    kind = family(task.family)
    split = data.split("train")
    agreement.check(data)
    shape = shape_of(data.body, split.arrays, captions=bool(split.captions))
    if shape.format not in kind.FORMATS:
        raise JobError(
            Code.BAD_CONFIG,
            f"family {task.family} learns {' and '.join(kind.FORMATS)}, the dataset holds {shape.format}",
        )
    return kind(configure(kind, task.size, task.hyperparameters), shape)


def _nets(task: TrainTask, kind: Family[Any]) -> tuple[dict[str, nn.Module], str]:
    """Make the nets: fresh from the seed, or from a base model, with adapters where they are asked for."""
    torch.manual_seed(rng.mix(task.seed, "nets"))
    nets = kind.build()
    digest = ""
    if task.base:
        base = model.load(task.base.uri, task.base.digest)
        if base.body["family"] != task.family:
            raise JobError(
                Code.WRONG_CHECKPOINT,
                f"base {task.base.uri} is a model of family {base.body['family']}, this run trains {task.family}",
            )
        model.restore(nets, model.named(base.nets), task.base.uri)
        digest = base.digest
    if kind.config.lora:
        if not task.base:
            raise JobError(Code.BAD_CONFIG, f"hyperparameters.lora = {kind.config.lora} needs a base model")
        nets = {turn: lora.adapted(net, kind.config.lora) for turn, net in nets.items()}
    return nets, digest


def _checkpoints(task: TrainTask, config: Config, world: World) -> Checkpoints:
    return Checkpoints(
        task.checkpoint.uri,
        task.checkpoint.keep,
        token=world.token(),
        rank=world.rank,
        size=world.size,
        sharded=config.parallel == "fsdp" and world.size > 1,
    )


def _identity(task: TrainTask, config: Config, dataset: str, base: str) -> dict[str, Any]:
    """Say what may not change between the parts of a run."""
    dials = config.model_dump(mode="json", exclude=FREE)
    return {
        "family": task.family,
        "config": artifact.sha256_bytes(canonical(dials)),
        "dataset": dataset,
        "base": base,
        "seed": task.seed,
    }


def _resume(task: TrainTask, trainer: Trainer) -> None:
    """Take up the newest good checkpoint, or start anew where there is none or it is not wanted."""
    if task.resume == "Never":
        trainer.checkpoints.clear()
    found = trainer.newest()
    trainer.journal.open(found.report.step if found else 0)
    if found:
        trainer.load(found)


def _validation(kind: Family[Any], data: Dataset, task: TrainTask) -> Any:
    if not data.body["splits"].get("validation", {}).get("samples"):
        return None
    split = data.split("validation")

    def validate(nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return model.validation(kind, nets, split)

    return validate


def _preempted(task: TrainTask, trainer: Trainer) -> Report:
    return Report(
        verb=task.verb,
        code=Code.PREEMPTED,
        message=f"Asked to stop after step {trainer.counters.step}; saved, and goes on from there",
        checkpoint=trainer.checkpoints.last,
        step=trainer.counters.step,
    )


def _finished(task: TrainTask, data: Dataset, trainer: Trainer, base: str) -> Report:
    """Write the model with its averaged weights."""
    kind = trainer.plan.kind
    metrics = {**trainer.journal.latest(), **trainer.validated()}
    metrics.pop("lr", None)
    with trainer.averaged():
        nets = {turn: lora.merged(net) for turn, net in trainer.whole_nets().items()}
    body = _body(task, kind, data, base) | {"step": trainer.counters.step, "finalMetrics": metrics}
    if trainer.plan.world.rank == 0:
        with artifact.writing(task.output, "model", body) as folder:
            model.save(folder, nets, trainer.journal.rows)
            _tokenizer(data.path, folder)
    trainer.plan.world.wait()
    return Report(
        verb=task.verb,
        code=Code.DONE,
        message=f"Trained {trainer.counters.step} steps",
        artifact=Artifact(uri=task.output, digest=artifact.digest_of(task.output)),
        checkpoint=trainer.checkpoints.last,
        step=trainer.counters.step,
        samples=trainer.counters.step * kind.config.batch,
        metrics=_told(metrics | {"checkpoint.blockedSeconds": trainer.checkpoints.blocked}),
    )


def _told(metrics: dict[str, float]) -> list[MetricReport]:
    return [MetricReport(name=name, value=value) for name, value in sorted(metrics.items()) if np.isfinite(value)]


def _body(task: TrainTask, kind: Family[Any], data: Dataset, base: str) -> dict[str, Any]:
    return {
        "family": task.family,
        "size": task.size,
        "config": kind.config.model_dump(mode="json"),
        "data": kind.data.model_dump(mode="json"),
        "datasetDigest": data.digest,
        "baseDigest": base or None,
        "seed": task.seed,
        "code": f"gentrainers/1 torch/{torch.__version__}",
    }


def _tokenizer(source: Path, folder: Path) -> None:
    if (source / "tokenizer.json").is_file():
        (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
