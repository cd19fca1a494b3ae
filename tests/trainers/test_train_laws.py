"""Laws of training: what may change without changing the result, and what every schedule and order keeps to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trainer_worlds import IMAGES, TEXT, a_pod, a_task, write_dataset

from gentrainers import model, rng
from gentrainers.checkpoint import Part, write_parts
from gentrainers.dist import World
from gentrainers.errors import JobError
from gentrainers.families import Config, configure, family, names
from gentrainers.flops import count
from gentrainers.jobs import train
from gentrainers.nets.latent import LatentDecoder, LatentUnet
from gentrainers.optim import rate

DIALS: dict[str, Any] = {"steps": 8, "batch": 16, "width": 32, "depth": 1, "warmup": 2}
few = settings(max_examples=40, deadline=None)


@few
@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 200), st.integers(1, 60), st.integers(1, 60))
def test_an_order_read_in_parts_is_the_order_read_at_once(seed: int, n: int, start: int, a: int, b: int) -> None:
    whole = rng.visits(seed, n, start, a + b)
    parts = (rng.visits(seed, n, start, a), rng.visits(seed, n, start + a, b))
    for one, two in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(one, np.concatenate(two))


@few
@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 5))
def test_every_epoch_visits_every_sample_once(seed: int, n: int, epoch: int) -> None:
    which, epochs = rng.visits(seed, n, epoch * n, n)
    assert sorted(which.tolist()) == list(range(n))
    assert set(epochs.tolist()) == {epoch}


@few
@given(st.integers(1, 12), st.integers(1, 4))
def test_processes_together_draw_the_noise_of_one(each: int, size: int) -> None:
    total = each * size
    whole = rng.noise("here", total=total).normal(3)
    worlds = [World(torch.device("cpu"), rank, size) for rank in range(size)]
    parts = [rng.noise("here", total=total, rows=w.rows(total)).normal(3) for w in worlds]
    assert torch.equal(whole, torch.cat(parts))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(JobError, match=r"hyperparameters\.batch = 10 cannot be shared by 3 processes"):
        World(torch.device("cpu"), 0, 3).rows(10)


@few
@given(st.sampled_from(["cosine", "wsd", "constant"]), st.integers(1, 300), st.integers(0, 400), st.floats(0, 1))
def test_a_rate_rises_to_its_peak_and_never_above(schedule: Any, steps: int, warmup: int, final: float) -> None:
    config = Config(steps=steps, warmup=warmup, schedule=schedule, final_lr=final)
    rates = [rate(config, step) for step in range(steps)]
    assert all(0 <= r <= 1 for r in rates)
    risen = rates[warmup:]
    assert risen == sorted(risen, reverse=True)


SAME = {
    "accumulated in four parts": {"accumulate": 4},
    "compiled": {"compile": True},
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.slow
def test_these_change_how_and_not_what(name: str, tmp_path: Path) -> None:
    """The same weights within rounding."""
    write_dataset(tmp_path / "data", IMAGES)
    one = _weights(tmp_path, "one", DIALS)
    other = _weights(tmp_path, "other", {**DIALS, **SAME[name]})
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, atol=2e-5, rtol=2e-4)


def _weights(folder: Path, name: str, dials: dict[str, Any]) -> dict[str, torch.Tensor]:
    task = a_task(folder, hyperparameters=dials, output=str(folder / name))
    checkpoint = task.checkpoint.model_copy(update={"uri": str(folder / f"{name}-checkpoints")})
    train.run(task.model_copy(update={"checkpoint": checkpoint}), a_pod())
    return model.load(str(folder / name)).nets["model"].state_dict()


WAYS = {
    "bf16": {"precision": "bf16"},
    "Muon": {"optimizer": "muon"},
    "warm-up, stable, decay": {"schedule": "wsd", "finalLr": 0.1},
    "no average, no clipping": {"ema": 0, "clip": 0},
    "looking at validation": {"evaluateEvery": 4},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_way_to_train_learns(way: dict[str, Any], tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", IMAGES)
    report = train.run(a_task(tmp_path, hyperparameters={**DIALS, "steps": 60, "lr": 3e-3, **way}), a_pod())
    rows = [r for r in (tmp_path / "checkpoints" / "history.jsonl").read_text().splitlines() if "velocity" in r]
    assert report.artifact
    losses = [float(r.split('"velocity": ')[1].split(",")[0]) for r in rows if '"velocity"' in r]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    if "evaluateEvery" in way:
        assert "validation.velocity" in (tmp_path / "checkpoints" / "history.jsonl").read_text()


def test_every_family_has_every_size() -> None:
    for name in names():
        kind = family(name)
        sizes = [configure(kind, size, {}) for size in ("xs", "s", "m", "l")]
        widths = [getattr(config, "width") for config in sizes]  # noqa: B009  (each family has its own config type)
        assert widths == sorted(widths)


def test_a_dial_may_be_named_as_in_yaml_or_as_in_python() -> None:
    kind = family("flow")
    assert configure(kind, "xs", {"weightDecay": 0.1}) == configure(kind, "xs", {"weight_decay": 0.1})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
def test_a_file_written_from_memory_is_read_by_safetensors(dtype: torch.dtype, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = {
        "a": torch.randn(3, 4).to(dtype),
        "scalar": torch.ones(()).to(dtype),
        "empty": torch.ones(0, 4).to(dtype),
    }
    parts = {name: Part(tuple(t.shape), (0,) * t.dim(), t) for name, t in tensors.items()}
    write_parts(tmp_path / "x.safetensors", parts)
    for name, value in load_file(tmp_path / "x.safetensors").items():
        assert torch.equal(value, tensors[name])


def test_utilisation_is_told_where_the_peak_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The net of the test does about 6 FLOPs per weight and sample in a step; the counter agrees within a half."""
    from gentrainers import flops, loop

    write_dataset(tmp_path / "data", IMAGES)
    monkeypatch.setattr(flops, "peak", lambda device, precision: 1e12)
    meters: list[flops.Meter] = []
    monkeypatch.setattr(loop.Meter, "mfu", lambda self, pace: meters.append(self) or 0.5)
    pod = a_pod()
    train.run(a_task(tmp_path, hyperparameters=DIALS), pod)
    weights = sum(p.numel() for net in model.load(str(tmp_path / "model")).nets.values() for p in net.parameters())
    assert meters[0].flops == pytest.approx(6 * weights * DIALS["batch"], rel=0.5)
    assert pod.screen.shown[-1].mfu == 0.5  # type: ignore[attr-defined]


def test_flops_are_those_of_the_matrix_product() -> None:
    assert count(lambda: torch.ones(4, 8) @ torch.ones(8, 16)) == 2 * 4 * 8 * 16


def test_the_latent_net_has_the_published_size() -> None:
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in net.parameters()) for net in (LatentUnet(), LatentDecoder())]
    assert sizes == [859_520_964, 49_490_199]


def test_text_is_not_learnt_from_one_token_at_a_time(tmp_path: Path) -> None:
    """A window longer than the whole text wraps around it."""
    write_dataset(tmp_path / "data", TEXT.model_copy(update={"block": 64}), n=1)
    dials = {"steps": 2, "batch": 4, "width": 32, "depth": 1, "heads": 2, "block": 500, "length": 4}
    assert train.run(a_task(tmp_path, family="gpt", hyperparameters=dials), a_pod()).step == 2
