"""Extractors: deterministic, frozen, in float32, blind to their batch; and a registry that is the folder."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from gentrainers import metrics
from gentrainers.errors import JobError
from gentrainers.metrics.kit.extractors import FEATURE_VARIANCE, Extractor, Material, make

FOLDER = Path(metrics.__file__).parent


@pytest.fixture(scope="module")
def digits() -> Material:
    found = load_digits()
    x = np.rint(found.images * 255 / 16).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(x))
    return Material(x[order], found.target[order].astype(np.int64), "images", {}, "sha256:digits")


@pytest.fixture(scope="module")
def learned(digits: Material, tmp_path_factory: pytest.TempPathFactory) -> Extractor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("first")))
        return make("learned", train_of(digits))


def train_of(digits: Material) -> Material:
    assert digits.labels is not None
    return replace(digits, rows=digits.rows[:1437], labels=digits.labels[:1437])


def test_the_learned_extractor_knows_digits(digits: Material, learned: Extractor) -> None:
    """Its 64 features tell held-out digits apart as well as the classifier that the gates are stated for: 98 %."""
    assert digits.labels is not None
    seen, held_out = learned.features(digits.rows[:1437]), learned.features(digits.rows[1437:])
    probe = KNeighborsClassifier(5).fit(seen, digits.labels[:1437])
    assert seen.shape == (1437, 64)
    assert probe.score(held_out, digits.labels[1437:]) >= 0.98
    assert seen.var(axis=0).mean() == pytest.approx(FEATURE_VARIANCE)
    assert seen.mean(axis=0) == pytest.approx(0, abs=1e-9)


def test_fitting_again_gives_the_same_bits_and_leaves_the_global_generator_alone(
    digits: Material, learned: Extractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = make("learned", train_of(digits))
    assert again.digest == learned.digest
    assert (again.features(digits.rows[:50]) == learned.features(digits.rows[:50])).all()
    assert (torch.get_rng_state() == before).all()
    cached = make("learned", train_of(digits))
    assert (cached.features(digits.rows[:50]) == again.features(digits.rows[:50])).all()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_features_do_not_depend_on_the_batch(digits: Material, learned: Extractor) -> None:
    together = learned.features(digits.rows[:40])
    alone = np.concatenate([learned.features(digits.rows[i : i + 1]) for i in range(40)])
    assert together == pytest.approx(alone, abs=1e-4)
    assert together.dtype == np.float64


def test_training_mode_and_half_precision_are_refused(digits: Material, learned: Extractor) -> None:
    trap = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    with pytest.raises(AssertionError, match="eval mode"):
        Extractor("random", trap, "").features(digits.rows[:4])
    half = nn.Sequential(nn.Flatten(), nn.Linear(64, 64)).to(torch.bfloat16).eval()
    with pytest.raises(AssertionError, match="float32"):
        Extractor("random", half, "").features(digits.rows[:4])


def test_autocast_around_an_evaluation_does_not_reach_the_features(digits: Material, learned: Extractor) -> None:
    plain = learned.features(digits.rows[:8])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (learned.features(digits.rows[:8]) == plain).all()


def test_the_random_opinion_needs_no_fitting_and_differs_from_the_learned(
    digits: Material, learned: Extractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    random = make("random", train_of(digits))
    other_labels = make("random", replace(train_of(digits), labels=None, digest="sha256:other"))
    assert random.digest == other_labels.digest != learned.digest


@pytest.mark.parametrize("path", sorted(FOLDER.glob("[!_]*.py")), ids=lambda p: p.stem)
def test_each_file_is_one_metric_that_says_what_it_is(path: Path) -> None:
    words = path.stem.split("_")
    name = words[0] + "".join(w.capitalize() for w in words[1:])
    metric = metrics.all_metrics()[name]
    assert metric.modalities
    assert metric.source
    assert not metric.says.endswith(".")
    assert len(ast.get_docstring(ast.parse(path.read_text())) or "") > 40
    docs = Path(__file__).parents[2] / "docs/explanation/evaluation.md"
    assert f"`{name}`" in docs.read_text(), f"{docs} does not tell of {name}"


def test_every_metric_of_the_api_is_there() -> None:
    asked = "fid kid precision recall density coverage novelty nll bitsPerByte clip latencyP95 throughput"
    assert set(asked.split()) <= set(metrics.all_metrics())


def test_an_unknown_metric_names_the_closest() -> None:
    with pytest.raises(JobError, match=r"metrics\.name = 'coverge' is not a metric; did you mean coverage\? Known: "):
        metrics.find("coverge")
