"""The deck that an evaluation lays out for people: every modality, no sign of a side, and the same bytes each time."""

import io
import json
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencontract.codes import Code
from gencontract.deck import DECK, Deck, size
from gencontract.task import EvaluateTask, Input, MetricGate, PrepareTask, Source
from gentrainers import artifact
from gentrainers.data import Dataset, open_dataset
from gentrainers.errors import JobError
from gentrainers.jobs import evaluate, prepare
from gentrainers.pages.sounds import RATE, STEP, notes
from gentrainers.pod import Lines, Pod

PAIRS = 12
DIGEST = "sha256:" + "0" * 64
SETS = {"images": "digits", "music": "arpeggios", "text": "markov"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Prepare each set when it is first asked for."""
    known: dict[str, str] = {}

    def of(modality: str) -> str:
        if modality not in known:
            out = str(tmp_path_factory.mktemp(modality) / "data")
            source = Source(kind="builtin", name=SETS[modality], samples=None if modality == "images" else 300)
            prepare.run(PrepareTask(source=source, format=modality, output=out), Pod(Lines(io.StringIO())))
            known[modality] = out
        return known[modality]

    return of


class Shuffled:
    """A model whose samples are training rows, turned by the seed; it can be told a label where it says so."""

    def __init__(self, dataset: Dataset, told: str = "") -> None:
        self.family, self.digest, self.body, self._told = "flow", DIGEST, {}, told
        shape = dataset.body.get("image", {"height": 0, "width": 0, "channels": 0})
        vocab = dataset.body.get("tokens", {}).get("vocab", 0)
        self.data = SimpleNamespace(
            format=dataset.body["format"], vocab=vocab, **{k: shape[k] for k in ("height", "width", "channels")}
        )
        self._split = dataset.split("train")
        self.asked: list[Any] = []

    def sample(self, n: int, seed: int, condition: Any = None) -> Any:
        self.asked.append(condition)
        at = np.random.default_rng(seed).integers(0, 200, n)
        if self.data.format == "images":
            return self._split.arrays["x"][at]
        tokens, offsets = self._split.arrays["tokens"], self._split.arrays["offsets"].astype(int)
        return [tokens[offsets[i] : offsets[i] + 32] for i in at]

    def nll(self, split: Any) -> Any:
        return None

    def generation(self) -> Any:
        return SimpleNamespace(inputs=[SimpleNamespace(name=self._told)] if self._told else [])


def dealt(place: str, out: Path, pairs: int = PAIRS, told: str = "", baseline: bool = False) -> tuple[Deck, Path, Any]:
    models = {role: Shuffled(open_dataset(place), told) for role in ("subject", "baseline")}
    task = EvaluateTask(
        subject=Input(uri="subject"),
        baseline=Input(uri="baseline") if baseline else None,
        dataset=Input(uri=place),
        samples=20,
        metrics=[MetricGate(name="novelty")],
        pairs=pairs,
        output=str(out),
    )
    evaluate.run(task, Pod(Lines(io.StringIO())), lambda uri, *_: models[uri])
    folder = artifact.open_artifact(str(out), "report").path
    return Deck.model_validate(json.loads((folder / DECK).read_bytes())), folder, models["subject"]


@pytest.mark.slow
@pytest.mark.parametrize("modality", SETS)
def test_every_card_can_be_shown(modality: str, data: Any, tmp_path: Path) -> None:
    deck, folder, _ = dealt(data(modality), tmp_path / "report")
    assert (deck.modality, len(deck.cards)) == (modality, size(PAIRS))
    kinds = [card.kind for card in deck.cards]
    assert (kinds.count("pair"), kinds.count("repeat"), kinds.count("gold")) == (PAIRS, 1, 1)
    for card in deck.cards:
        for name in (card.first, card.second):
            for media in deck.media:
                shown(media, (folder / f"{name}.{media}").read_bytes())
        if card.of is not None:
            assert (card.first, card.second) == (deck.cards[card.of].first, deck.cards[card.of].second)


def shown(media: str, data: bytes) -> None:
    if media == "png":
        assert min(Image.open(io.BytesIO(data)).size) >= 24
    elif media == "wav":
        with wave.open(io.BytesIO(data)) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (RATE, 1)
            assert np.abs(np.frombuffer(sound.readframes(sound.getnframes()), "<i2")).max() > 10_000
    else:
        assert data.decode().strip()


def test_the_same_evaluation_deals_the_same_deck_and_other_samples_another_key(data: Any, tmp_path: Path) -> None:
    first, _, _ = dealt(data("images"), tmp_path / "one")
    again, _, _ = dealt(data("images"), tmp_path / "two")
    assert first == again
    assert [c.kind for c in first.cards[-2:]] != ["repeat", "gold"]  # the number of a card does not tell its kind


def test_gold_is_a_real_sample_beside_its_own_pieces(data: Any, tmp_path: Path) -> None:
    deck, folder, _ = dealt(data("images"), tmp_path / "report")
    [gold] = [card for card in deck.cards if card.kind == "gold"]
    real, torn = (np.asarray(Image.open(folder / f"{name}.png")) for name in (gold.first, gold.second))
    assert not np.array_equal(real, torn)
    assert np.array_equal(np.sort(real, axis=None), np.sort(torn, axis=None))


def test_both_are_asked_for_the_same_and_people_see_for_what(data: Any, tmp_path: Path) -> None:
    deck, _, subject = dealt(data("images"), tmp_path / "report", told="label", baseline=True)
    labels = next(asked for asked in subject.asked if asked is not None and len(asked) == PAIRS)
    prompts = {card.first: card.prompt for card in deck.cards if card.kind == "pair"}
    assert [prompts[name] for name in sorted(prompts)] == [str(label) for label in labels]
    assert {card.prompt for card in deck.cards if card.kind == "gold"} == {""}


def test_more_pairs_than_real_rows_are_refused_by_name(data: Any, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"human\.pairs: 2000 is more than split test holds") as caught:
        dealt(data("images"), tmp_path / "report", pairs=2000)
    assert caught.value.code == Code.BAD_CONFIG
    assert not list(tmp_path.iterdir())


def test_an_evaluation_that_asks_nobody_deals_no_deck(data: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dealt(data("images"), tmp_path / "report", pairs=0)


def test_notes_are_read_from_tokens_and_what_breaks_the_grammar_is_silence() -> None:
    first, hold, rest = 2, 1, 0
    tokens = np.array([hold, 62, hold, hold, rest, 64, 64, hold])
    assert list(notes(tokens, first, hold)) == [(60, 1, 4), (62, 5, 6), (62, 6, 8)]
    assert STEP > 0
