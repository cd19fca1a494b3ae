"""What training promises, each shown on a real run: killed, stopped, damaged, starved and resumed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainer_worlds import (
    IMAGES,
    StopsAt,
    a_pod,
    a_task,
    report_of,
    saved_steps,
    spawn,
    wait_until,
    weights,
    write_dataset,
)

from gencontract.codes import Code
from gencontract.task import Checkpointing, TrainTask
from gentrainers import artifact, model
from gentrainers.checkpoint import Checkpoints
from gentrainers.errors import JobError
from gentrainers.families import Loss
from gentrainers.families.flow import Flow
from gentrainers.jobs import train

DIALS = {"steps": 20, "batch": 16, "width": 32, "depth": 1, "warmup": 2, "dropout": 0.1}
LONG = {**DIALS, "steps": 100_000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a dataset in it."""
    write_dataset(tmp_path / "data", IMAGES)
    return tmp_path


def a_run(
    folder: Path, name: str, hyperparameters: dict[str, Any] = DIALS, every: float = 60, **more: Any
) -> TrainTask:
    """A task with checkpoints and output of its own."""
    checkpoint = Checkpointing(uri=str(folder / name / "checkpoints"), every_seconds=every)
    return a_task(
        folder, checkpoint=checkpoint, output=str(folder / name / "model"), hyperparameters=hyperparameters, **more
    )


# --- P1 to P3: nothing is lost, and what goes on goes on bit for bit


@pytest.mark.parametrize("family", ["flow", "gan", "vae", "diffusion"])
def test_p3_stopped_and_resumed_training_ends_in_the_same_bits(folder: Path, family: str) -> None:
    """Weights, averages, optimizer and history are those of a run that was never stopped."""
    dials = {k: v for k, v in DIALS.items() if k != "dropout" or family != "gan"}
    whole, parts = (a_run(folder, n, dials, family=family) for n in ("whole", "parts"))
    train.run(whole, a_pod())
    for step in (7, 13):
        stopped = train.run(parts, StopsAt(step))
        assert (stopped.code, stopped.step) == (Code.PREEMPTED, step)
    assert train.run(parts, a_pod()).code == Code.DONE
    assert weights(whole.output) == weights(parts.output)
    assert artifact.digest_of(whole.output) == artifact.digest_of(parts.output)
    ends = [sorted((folder / n / "checkpoints").glob("step-*20"))[0] for n in ("whole", "parts")]
    assert len({artifact.sha256_file(e / "rank-00000.safetensors") for e in ends}) == 1


def test_p3_a_history_does_not_show_where_its_run_was_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are means over steps; a stop in the middle of a row loses nothing of it, nor of the model's digest."""
    monkeypatch.setattr("gentrainers.loop.LOOKS", 2)
    whole, parts = (a_run(folder, n) for n in ("whole", "parts"))
    train.run(whole, a_pod())
    for step in (4, 7, 13):
        train.run(parts, StopsAt(step))
    train.run(parts, a_pod())
    histories = [(folder / n / "checkpoints" / "history.jsonl").read_text() for n in ("whole", "parts")]
    assert len(histories[0].splitlines()) == 2
    assert histories[0] == histories[1]
    assert artifact.digest_of(whole.output) == artifact.digest_of(parts.output)


def test_p1_a_killed_run_loses_no_more_than_what_came_after_its_last_checkpoint(folder: Path) -> None:
    """A real SIGKILL. The next process goes on from the newest whole checkpoint, and ends in the same bits."""
    task = a_task(
        folder, hyperparameters=LONG, checkpoint=Checkpointing(uri=str(folder / "checkpoints"), every_seconds=0.2)
    )
    process = spawn(folder, task)
    wait_until(lambda: len([s for s in saved_steps(folder) if s > 0]) >= 1)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = saved_steps(folder)[-1]
    assert train.run(task, StopsAt(kept + 2)).step == kept + 2


def test_p2_sigterm_saves_at_the_step_it_is_at_and_exits_143_in_time(folder: Path) -> None:
    process = spawn(folder, a_task(folder, hyperparameters=LONG))
    wait_until(lambda: saved_steps(folder) == [0])
    line = process.stdout.readline() if process.stdout else ""
    assert json.loads(line)["stage"] == "training"
    asked = time.monotonic()
    process.terminate()
    process.communicate()
    assert time.monotonic() - asked < 30
    assert process.returncode == 143
    report = report_of(folder)
    assert report.code == Code.PREEMPTED
    assert report.checkpoint
    assert report.checkpoint.step == report.step == saved_steps(folder)[-1] > 0


# --- P4: other processes, same samples


def test_p4_two_processes_see_the_samples_of_one_in_the_same_order(folder: Path) -> None:
    """Started alone, gone on with two processes: the loss of every step agrees with that of one process."""
    dials = {**DIALS, "dropout": 0.0, "steps": 12}
    alone, elastic = a_run(folder, "alone", dials), a_run(folder, "elastic", dials)
    train.run(alone, a_pod())
    train.run(elastic, StopsAt(5))
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": "2"}
    both = [spawn(folder, elastic, RANK=str(rank), **port) for rank in (0, 1)]
    outputs = [p.communicate(timeout=240) for p in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    one, two = (model.load(t.output).nets["model"].state_dict() for t in (alone, elastic))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=2e-4)


def test_p4_shards_of_two_processes_are_taken_up_by_one(folder: Path) -> None:
    """FSDP2 saves a part per process; one process alone reads the parts as a whole."""
    dials = {**DIALS, "dropout": 0.0, "steps": 12}
    alone, sharded = a_run(folder, "alone", dials), a_run(folder, "sharded", {**dials, "parallel": "fsdp"})
    train.run(alone, a_pod())
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": "2"}
    both = [spawn(folder, sharded, JOB_COMPLETION_INDEX=str(rank), RANK=str(rank), **port) for rank in (0, 1)]
    outputs = [p.communicate(timeout=240) for p in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    found = folder / "sharded" / "checkpoints" / "step-0000000012"
    assert len(list(found.glob("rank-*.safetensors"))) == 2
    artifact.remove(sharded.output)
    assert train.run(sharded, a_pod()).step == 12
    one, two = (model.load(t.output).nets["model"].state_dict() for t in (alone, sharded))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=2e-4)


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


# --- P5: what is damaged is never loaded


@pytest.mark.parametrize("damage", ["torn", "flipped", "no manifest", "manifest torn"])
def test_p5_a_damaged_checkpoint_is_passed_over_for_the_one_before(folder: Path, damage: str) -> None:
    task = a_run(folder, "run")
    train.run(task, StopsAt(6))
    train.run(task, StopsAt(11))
    newest = folder / "run" / "checkpoints" / "step-0000000011"
    _damage(newest, damage)
    assert train.run(task, StopsAt(8)).step == 8
    assert train.run(task, a_pod()).step == 20
    whole = a_run(folder, "whole")
    train.run(whole, a_pod())
    assert weights(task.output) == weights(whole.output)


def _damage(checkpoint: Path, how: str) -> None:
    shard, manifest = checkpoint / "rank-00000.safetensors", checkpoint / "manifest.json"
    data = bytearray(shard.read_bytes())
    if how == "torn":
        shard.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        data[-100] ^= 4
        shard.write_bytes(data)
    elif how == "no manifest":
        manifest.unlink()
    else:
        manifest.write_bytes(manifest.read_bytes()[:-20])


def test_p5_a_checkpoint_of_another_run_is_refused_by_name(folder: Path) -> None:
    task = a_run(folder, "run")
    train.run(task, StopsAt(5))
    other = task.model_copy(update={"seed": 1, "hyperparameters": {**DIALS, "lr": 0.5}})
    with pytest.raises(JobError, match=r"config is .*; seed is 0, this run has 1; use another uri") as caught:
        train.run(other, a_pod())
    assert caught.value.code == Code.WRONG_CHECKPOINT
    assert train.run(other.model_copy(update={"resume": "Never"}), StopsAt(3)).step == 3


def test_p5_one_process_at_a_time_writes_to_a_folder(folder: Path) -> None:
    mine, other = (Checkpoints(str(folder / "c"), 2, token) for token in ("a", "b"))
    mine.open()
    with pytest.raises(JobError, match="is in use by another process") as caught:
        other.open()
    assert caught.value.code == Code.SOURCE_UNAVAILABLE
    (folder / "c" / "LOCK").unlink()  # the other sits on another machine, where the lock does not reach
    other.open()
    mine.save(1, {"x": torch.ones(3)}, {})
    with pytest.raises(JobError, match="was taken over"):
        mine.wait()
    assert other.newest() is None
    other.close()


def test_p5_two_checkpoints_are_kept_and_no_scraps(folder: Path) -> None:
    task = a_run(folder, "run", every=0.0)
    train.run(task, a_pod())
    names = sorted(p.name for p in (folder / "run" / "checkpoints").iterdir())
    assert len(saved_steps(folder / "run")) == 2
    assert saved_steps(folder / "run")[-1] == 20
    assert not [n for n in names if n.startswith(".")]


# --- P6: nothing diverges in silence


def test_p6_a_batch_that_breaks_is_left_out_after_a_reload(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _break_steps(monkeypatch, {9})
    task = a_run(folder, "run")
    report = train.run(task, a_pod())
    assert report.step == 20
    body = artifact.open_artifact(report.checkpoint.uri, "checkpoint").body if report.checkpoint else {}
    assert body["counters"]["skipped"] == [9]
    for net in model.load(task.output).nets.values():
        assert all(bool(p.isfinite().all()) for p in net.parameters())


def test_p6_a_run_that_keeps_breaking_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _break_steps(monkeypatch, set(range(9, 20)))
    with pytest.raises(JobError, match="not finite at step 12, after 3 reloads; lower") as caught:
        train.run(a_run(folder, "run"), a_pod())
    assert caught.value.code == Code.NON_FINITE
    assert not (folder / "run" / "model").exists()


def _break_steps(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make the loss of some steps infinite: the batch's own data is at fault, so a reload alone does not help."""
    from gentrainers.loop import Trainer

    loss, advance, now = Flow.loss, Trainer.advance, [0]

    def noted(self: Trainer) -> None:
        now[0] = self.counters.step
        advance(self)

    def broken(self: Flow, *args: Any) -> Loss:
        found = loss(self, *args)
        return Loss(velocity=found["velocity"] * float("inf")) if now[0] in steps and torch.is_grad_enabled() else found

    monkeypatch.setattr(Trainer, "advance", noted)
    monkeypatch.setattr(Flow, "loss", broken)


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a small disk: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(folder: Path, small_disk: Path) -> None:
    task = a_run(folder, "run", every=0.0).model_copy(
        update={"checkpoint": Checkpointing(uri=str(small_disk / "c"), every_seconds=0)}
    )
    train.run(task, StopsAt(5))
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize - 65536))
    with pytest.raises(JobError, match="without room") as caught:
        train.run(task, a_pod())
    assert caught.value.code == Code.STORE_FULL
    filler.unlink()
    assert train.run(task, StopsAt(7)).step == 7


# --- P7 and P9: seen from outside


def test_p7_heartbeats_say_how_far_and_how_fast(folder: Path) -> None:
    pod = a_pod()
    train.run(a_run(folder, "run"), pod)
    shown = pod.screen.shown  # type: ignore[attr-defined]
    last = shown[-1]
    assert [p.step for p in shown] == list(range(1, 21))
    assert (last.stage, last.step, last.total) == ("training", 20, 20)
    assert last.samples_per_second > 0
    assert np.isfinite(last.metrics["loss"])
    assert last.checkpoint.step == 0
    assert list((folder / "run" / "checkpoints" / "tensorboard").glob("events.*"))
    rows = [json.loads(r) for r in (folder / "run" / "checkpoints" / "history.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(1, 21))


BAD = {
    "a dial that does not exist": ({"hyperparameters": {"stepz": 5}}, Code.BAD_CONFIG, "did you mean steps?"),
    "a value out of range": ({"hyperparameters": {"ema": 2}}, Code.BAD_CONFIG, "ema: Input should be less than 1"),
    "a family for other data": ({"family": "gpt"}, Code.BAD_CONFIG, "gpt learns text, the dataset holds images"),
    "a family of one's own": ({"family": "custom"}, Code.UNSUPPORTED, "runs the image that the training job names"),
    "a GPU that is not there": ({"device": "cuda"}, Code.NO_DEVICE, "no GPU is there"),
    "a dataset that is not there": ({"dataset": {"uri": "/nowhere"}}, Code.MISSING_INPUT, "/nowhere has no manifest"),
    "a dataset with another digest": (
        {"dataset": {"digest": "sha256:" + "0" * 64}},
        Code.DIGEST_MISMATCH,
        "recorded was",
    ),
    "adapters without a base": ({"hyperparameters": {"lora": 4}}, Code.BAD_CONFIG, "needs a base model"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_p9_a_mistake_is_named_has_its_code_and_leaves_nothing(folder: Path, case: tuple[Any, Code, str]) -> None:
    changes, code, says = case
    if code == Code.NO_DEVICE and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    task = a_task(folder)
    dataset = task.dataset.model_copy(update=changes.pop("dataset", {}))
    task = task.model_copy(update={"dataset": dataset, **changes})
    with pytest.raises(JobError) as caught:
        train.run(task, a_pod())
    assert caught.value.code == code
    assert says in str(caught.value)
    assert not (folder / "model").exists()


def test_p9_a_process_exits_by_the_table_and_says_why(folder: Path) -> None:
    process = spawn(folder, a_task(folder, hyperparameters={"stepz": 5}))
    out, _ = process.communicate()
    assert process.returncode == Code.BAD_CONFIG
    report = report_of(folder)
    assert report.code == Code.BAD_CONFIG
    assert report.message.startswith("hyperparameters.stepz = 5 is not a dial, did you mean steps?")
    assert json.loads(out.splitlines()[-1])["code"] == 64


def test_p9_the_last_step_is_not_trained_twice(folder: Path) -> None:
    """A pod that died between its last checkpoint and its report only writes the model again."""
    task = a_run(folder, "run")
    first = train.run(task, a_pod())
    artifact.remove(task.output)
    again = train.run(task, a_pod())
    assert (again.step, again.artifact) == (20, first.artifact)


def test_a_corrupt_array_stops_training_before_it_begins(folder: Path) -> None:
    (folder / "data" / "train" / "x.npy").write_bytes(b"not an array")
    with pytest.raises(JobError, match=r"train/x\.npy has digest") as caught:
        train.run(a_task(folder), a_pod())
    assert caught.value.code == Code.DIGEST_MISMATCH


# --- fine-tuning


def test_adapters_change_a_base_model_and_leave_no_trace_of_themselves(folder: Path) -> None:
    base = a_run(folder, "base")
    made = train.run(base, a_pod()).artifact
    assert made
    tuned = a_run(folder, "tuned", {**DIALS, "lora": 2}, base={"uri": made.uri, "digest": made.digest})
    train.run(tuned, StopsAt(9))
    train.run(tuned, a_pod())
    before, after = (model.load(uri).nets["model"].state_dict() for uri in (base.output, tuned.output))
    assert before.keys() == after.keys()
    change = after["core.blocks.0.up.weight"] - before["core.blocks.0.up.weight"]
    assert torch.linalg.matrix_rank(change, rtol=1e-3) == 2
    assert torch.equal(after["core.blocks.0.up.bias"], before["core.blocks.0.up.bias"])
    assert model.load(tuned.output).body["baseDigest"] == made.digest
