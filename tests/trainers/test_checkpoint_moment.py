"""A checkpoint is of one moment: what training does while it is written does not reach it."""

import threading
from pathlib import Path

import torch

from gentrainers.checkpoint import Checkpoints


def test_a_checkpoint_holds_the_counters_and_tensors_of_the_step_it_was_taken_at(tmp_path: Path) -> None:
    checkpoints = Checkpoints(uri=str(tmp_path / "run"), keep=2, token="t")
    checkpoints.open()
    counters, weights, held = {"step": 7, "skipped": [3]}, torch.zeros(4), threading.Event()
    checkpoints._pool.submit(held.wait)  # the disk is slow
    checkpoints.save(7, {"w": weights}, {"counters": counters})
    counters["step"] = 8
    counters["skipped"].append(7)  # type: ignore[attr-defined]
    weights += 1
    held.set()
    checkpoints.wait()
    found = checkpoints.newest()
    assert found is not None
    assert found.body["counters"] == {"step": 7, "skipped": [3]}
    into = torch.empty(4)
    found.read_into(into, "w")
    assert torch.equal(into, torch.zeros(4))
    checkpoints.close()
