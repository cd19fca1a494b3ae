"""Every family: it learns, it makes samples of the right shape, it exports, and it comes back from disk the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from trainer_worlds import IMAGES, MUSIC, PICTURES, ROWS, TEXT, Worlds, a_pod, a_task, write_dataset

from gentrainers import model, rng
from gentrainers.errors import JobError
from gentrainers.families import DataShape, Family, configure, family, names
from gentrainers.feed import training
from gentrainers.jobs import train
from gentrainers.loop import Trainer

SMALL = {"width": 32, "depth": 1, "steps": 4, "batch": 8, "warmup": 0}
CASES: dict[str, tuple[str, DataShape, dict[str, Any]]] = {
    "flow on images": ("flow", IMAGES, {}),
    "flow on a table": ("flow", ROWS, {}),
    "flow, U-Net, told a caption": ("flow", PICTURES, {"net": "unet", "guidance": 2.0}),
    "flow, DiT, told a caption": ("flow", PICTURES, {"net": "dit", "patch": 4}),
    "diffusion": ("diffusion", IMAGES, {"sample_steps": 3, "guidance": 1.5}),
    "vae, binomial": ("vae", IMAGES, {}),
    "vae, logistic": ("vae", PICTURES, {}),
    "vae on a table": ("vae", ROWS, {}),
    "gan": ("gan", IMAGES, {}),
    "gan on pictures": ("gan", PICTURES, {}),
    "gpt": ("gpt", TEXT, {"length": 6, "heads": 2}),
    "music": ("music", MUSIC, {"length": 6, "heads": 2}),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def made(case: tuple[str, DataShape, dict[str, Any]], **more: Any) -> Family[Any]:
    name, data, overrides = case
    kind = family(name)
    return kind(configure(kind, "xs", {**SMALL, **overrides, **more}), data)


def a_model(kind: Family[Any]) -> model.Model:
    torch.manual_seed(0)
    nets = kind.build()
    for net in nets.values():  # outputs that start at zero would hide differences
        for p in net.parameters():
            p.data.add_(0.05 * torch.randn_like(p))
    return model.Model(kind, nets, {"family": "any"})


def a_batch(kind: Family[Any], n: int = 8) -> dict[str, Tensor]:
    feed = training(Worlds(n).split(kind.data), kind.data)
    return feed.batch(*rng.visits(0, len(feed), 0, n))


def test_every_file_of_the_folder_is_a_family_that_is_tested_here() -> None:
    assert {name for name, _, _ in CASES.values()} == set(names())


@each
def test_samples_have_the_shape_of_the_data(case: tuple[str, DataShape, dict[str, Any]]) -> None:
    kind = made(case)
    data = kind.data
    samples = a_model(kind).sample(3, seed=0)
    if data.format in ("text", "music"):
        assert all(s.ndim == 1 and len(s) <= 6 and s.max(initial=0) < data.vocab for s in samples)
    elif data.format == "tabular":
        assert isinstance(samples, np.ndarray)
        assert (samples.shape, samples.dtype) == ((3, data.columns), np.float32)
    else:
        assert isinstance(samples, np.ndarray)
        assert (samples.shape, samples.dtype) == ((3, data.height, data.width, data.channels), np.uint8)


@each
def test_samples_are_a_function_of_the_seed(case: tuple[str, DataShape, dict[str, Any]]) -> None:
    it = a_model(made(case))
    one, same, other = (np.concatenate([np.ravel(s) for s in it.sample(4, seed)]) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@each
def test_it_overfits_eight_items(case: tuple[str, DataShape, dict[str, Any]]) -> None:
    """The loss on the very samples it sees falls clearly; a GAN's critic tells them from noise instead."""
    kind = made(case, lr=5e-3, width=64)
    torch.manual_seed(0)
    nets = kind.build()
    turn, batch = kind.turns[0], a_batch(kind)
    optimizer = torch.optim.AdamW(nets[turn].parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        loss = kind.loss(turn, nets, batch, rng.noise("overfit", total=8)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@each
def test_likelihoods_are_one_per_sample(case: tuple[str, DataShape, dict[str, Any]]) -> None:
    kind = made(case)
    split = Worlds(5).split(kind.data)
    nats = a_model(kind).nll(split)
    if case[0] in ("vae", "gpt", "music"):
        assert nats is not None
        assert nats.shape == (5,)
        assert np.isfinite(nats).all()
    else:
        assert nats is None


@each
def test_the_whole_generation_exports_with_a_free_batch(case: tuple[str, DataShape, dict[str, Any]]) -> None:
    fewer = {"length": 3} if case[0] in ("gpt", "music") else {"steps": 1 if "net" in case[2] else 2}
    module = a_model(made(case)).generation(**fewer)
    example = module.example(2, seed=0)
    free = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(module, example, dynamic_shapes=tuple({0: free} for _ in example)).module()
    inputs = module.example(5, seed=1)
    assert [t.shape for t in inputs] == [torch.Size([5, *s.shape[1:]]) for s in module.inputs]
    wanted, got = module(*inputs), exported(*inputs)
    for spec, a, b in zip(module.outputs, _many(wanted), _many(got), strict=True):
        assert a.shape == (5, *spec.shape[1:])
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def _many(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


@each
def test_a_trained_model_comes_back_from_disk_the_same(
    case: tuple[str, DataShape, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, data, overrides = case
    kept: list[Trainer] = []
    close = Trainer.close
    monkeypatch.setattr(Trainer, "close", lambda self: (kept.append(self), close(self))[1])
    write_dataset(tmp_path / "data", data, n=8)
    report = train.run(a_task(tmp_path, family=name, hyperparameters={**SMALL, **overrides}), a_pod())
    assert report.artifact
    again = model.load(report.artifact.uri, report.artifact.digest)
    with kept[0].averaged():
        for turn, net in kept[0].nets.items():
            for key, value in net.state_dict().items():
                assert torch.equal(value, again.nets[turn].state_dict()[key])
    assert again.body["step"] == 4
    assert again.family == name
    assert len(again.sample(2, seed=0)) == 2


def test_a_table_comes_back_in_its_own_units(tmp_path: Path) -> None:
    """Large and small numbers are learnt alike, what is missing harms nothing, and categories are whole."""
    write_dataset(tmp_path / "data", ROWS, n=256)
    dials = {**SMALL, "width": 64, "steps": 300, "batch": 64, "lr": 3e-3}
    report = train.run(a_task(tmp_path, family="flow", hyperparameters=dials), a_pod())
    assert report.artifact
    made = np.asarray(model.load(report.artifact.uri).sample(400, seed=0))
    assert np.abs((made.mean(0) - ROWS.means) / ROWS.scales).max() < 0.5
    assert np.all((made.std(0) / ROWS.scales > 0.5) & (made.std(0) / ROWS.scales < 2))
    assert set(np.unique(made[:, 3])) <= {0.0, 1.0, 2.0}
    assert set(np.unique(made[:, 4])) <= {0.0, 1.0}


def test_a_class_is_made_when_it_is_asked_for() -> None:
    module = a_model(made(CASES["flow on images"])).generation()
    assert module.example(4, 0, condition=[1, 0, 1, 1])[1].tolist() == [1, 0, 1, 1]
    with pytest.raises(JobError, match=r"condition: a class is not in 0\.\.1: \[7\]"):
        module.example(1, 0, condition=[7])


def test_guidance_changes_what_is_made() -> None:
    it = a_model(made(CASES["flow, DiT, told a caption"]))
    plain, pushed = it.sample(2, 0, "a red dot"), it.sample(2, 0, "a red dot", guidance=4.0)
    assert not np.array_equal(plain, pushed)


def test_a_prompt_leads_the_sequence() -> None:
    it = a_model(made(CASES["gpt"]))
    for tokens in it.sample(2, 0, [[1, 2, 3], [4]]):
        assert tokens[:1].tolist() in ([1], [4])


def test_sampling_token_by_token_agrees_with_the_whole_sequence() -> None:
    """What is kept of earlier tokens says the same as looking at all of them again."""
    it = a_model(made(CASES["music"]))
    module = it.generation(length=6)
    noise, prompt = module.example(3, seed=0)
    tokens, logits = module(noise, prompt)
    led = torch.cat([torch.full((3, 1), MUSIC.vocab), tokens[:, :-1]], dim=1)
    at_once = it.nets["model"](led, torch.arange(6).expand(3, 6))
    torch.testing.assert_close(logits, at_once, atol=1e-4, rtol=1e-4)


def test_the_likelihood_of_a_long_document_counts_each_token_once() -> None:
    from gentrainers.feed import Documents

    data = TEXT.model_copy(update={"block": 8})
    split = Worlds(1).split(TEXT.model_copy(update={"block": 37}))
    feed = Documents(split, data)
    batch = feed.batch(np.arange(len(feed)))
    counted = sorted((batch["places"][:, 1:][batch["score"]]).tolist())
    assert counted == list(range(1, 38))


def test_transposing_moves_pitches_and_nothing_else() -> None:
    kind = made(CASES["music"])
    tokens = torch.tensor([[131, 0, 1, 2, 43, 60, 131]])
    moved = kind.augment({"tokens": tokens.expand(64, -1)}, rng.noise("x", total=64))["tokens"]
    assert moved[:, [0, 1, 2, 3, 6]].unique(dim=0).tolist() == [[131, 0, 1, 2, 131]]
    assert sorted((moved[:, 4] - 43).unique().tolist()) == list(range(-5, 6))
    assert torch.equal(moved[:, 5] - moved[:, 4], torch.full((64,), 17))
