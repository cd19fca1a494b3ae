"""Text, music and sprites: evaluated on procedural sets, whose truth is known."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gencontract.report import Report
from gencontract.task import EvaluateTask, Input, MetricGate, PrepareTask, Source
from gentrainers.data import Dataset, open_dataset
from gentrainers.data.builtin import arpeggios, markov, sprites
from gentrainers.data.tokenizers import from_json
from gentrainers.errors import JobError
from gentrainers.jobs import evaluate, prepare
from gentrainers.pod import Lines, Pod


def pod() -> Pod:
    return Pod(Lines(io.StringIO()))


def prepared(path: Path, name: str, format: Any, samples: int, **options: Any) -> Dataset:
    splits = {"train": 0.6, "validation": 0.2, "test": 0.2}
    source = Source(kind="builtin", name=name, samples=samples)
    task = PrepareTask.model_validate(
        {"source": source, "format": format, "output": str(path), "splits": splits, "options": options}
    )
    prepare.run(task, pod())
    return open_dataset(str(path))


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def fake(dataset: Dataset, sample: Callable[..., Any], nll: Any = lambda split: None, told: str = "") -> Any:
    image = dataset.body.get("image", {})
    shape = {k: image[k] for k in ("height", "width", "channels") if k in image}
    return SimpleNamespace(
        family="fake",
        digest="sha256:" + "1" * 64,
        body={"config": {}},
        data=SimpleNamespace(format=dataset.body["format"], vocab=dataset.body.get("tokens", {}).get("vocab"), **shape),
        sample=sample,
        nll=nll,
        generation=lambda: SimpleNamespace(inputs=[SimpleNamespace(name=told)] if told else []),
    )


def evaluated(
    dataset: Dataset, model: Any, out: Path, *gates: MetricGate, split: Any = "test"
) -> tuple[Report, dict[str, Any]]:
    task = EvaluateTask(
        subject=Input(uri="subject"),
        dataset=Input(uri=str(dataset.path)),
        samples=16,
        split=split,
        metrics=list(gates),
        output=str(out),
    )
    report = evaluate.run(task, pod(), lambda *_: model)
    return report, json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("markov") / "data", "markov", "text", 12, blockSize=64)


def true_nats(dataset: Dataset) -> Callable[[Any], Any]:
    """The likelihood of a perfect model of the Markov set."""
    chain, tokenizer = markov.Chain(0), from_json(dataset.json("tokenizer.json"))

    def nll(split: Any) -> Any:
        documents = (split.document(i) for i in range(len(split.arrays["offsets"]) - 1))
        return np.array([chain.nats(tokenizer.decode(d.tolist())).sum() + 2 * chain.entropy_rate for d in documents])

    return nll


def test_the_likelihood_of_a_perfect_model_is_the_entropy_rate(text: Dataset, tmp_path: Path) -> None:
    tokens = np.asarray(text.split("train").arrays["tokens"])
    model = fake(
        text, lambda n, seed, condition=None: list(tokens[seed * 999 :][: n * 48].reshape(n, 48)), true_nats(text)
    )
    gates = [
        MetricGate(name="nll", op="<=", threshold=1.9),
        MetricGate(name="oracleGap", op="<=", threshold=0.008),
        MetricGate(name="bitsPerByte"),
        MetricGate(name="novelty", op=">=", threshold=0.5),
        MetricGate(name="longestCopy"),
        MetricGate(name="fid"),
    ]
    report, record = evaluated(text, model, tmp_path / "report", *gates, split="train")
    by_name = {m.name: m for m in report.metrics}
    rate = markov.Chain(0).entropy_rate
    assert by_name["nll"].value == pytest.approx(rate, abs=0.01)
    assert by_name["bitsPerByte"].value == pytest.approx(rate / np.log(2), abs=0.02)
    assert by_name["oracleGap"].value == pytest.approx(0, abs=1e-4)
    assert (by_name["nll"].passed, by_name["oracleGap"].passed) == (True, True)
    assert (by_name["novelty"].value, by_name["novelty"].passed) == (0, False)  # these samples are the train split
    assert by_name["longestCopy"].value == 48
    floors = {m["name"]: m["floor"] and m["floor"]["value"] for m in record["metrics"]}
    assert floors["novelty"] > 0.9
    assert floors["longestCopy"] < 12
    assert set(record["exhibits"]) == {"samples", "real"}
    assert len(record["exhibits"]["real"][0]) == 48


def test_a_model_that_lacks_a_hundredth_of_a_nat_fails_the_oracle(text: Dataset, tmp_path: Path) -> None:
    perfect = true_nats(text)

    def nll(split: Any) -> Any:
        return perfect(split) + 0.01 * np.diff(split.arrays["offsets"].astype(np.int64))

    model = fake(text, lambda n, seed, condition=None: [], nll)
    model.sample = lambda n, seed, condition=None: [np.full(20, 2 + seed) for _ in range(n)]
    report, _ = evaluated(
        text, model, tmp_path / "report", MetricGate(name="oracleGap", op="<=", threshold=0.008), split="train"
    )
    assert report.verdict == "Failed"
    assert report.metrics[0].value == pytest.approx(0.01, abs=1e-3)


def test_empty_sequences_are_refused(text: Dataset, tmp_path: Path) -> None:
    model = fake(text, lambda n, seed, condition=None: [np.zeros(0, np.int64)] * n)
    with pytest.raises(JobError, match="subject: subject makes empty sequences"):
        evaluated(text, model, tmp_path / "report", MetricGate(name="fid"))
    assert not list(tmp_path.iterdir())


def test_music_is_read_back_by_its_grammar_and_drawn(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", "arpeggios", "music", 200, blockSize=516)

    def sample(n: int, seed: int, condition: Any = None) -> Any:
        pieces = [arpeggios.write(arpeggios.sample(77, 1000 * seed + i)) for i in range(n)]
        for piece in pieces[::4]:
            piece[0] = 3 + 127  # a wrong note
        return pieces

    gates = [MetricGate(name="oracleAccuracy", op=">=", threshold=0.9), MetricGate(name="kid")]
    report, record = evaluated(data, fake(data, sample), tmp_path / "report", *gates)
    assert report.metrics[0].value == pytest.approx(0.75)
    assert report.verdict == "Failed"
    assert record["metrics"][0]["floor"]["value"] == 1
    assert (tmp_path / "report/samples.png").stat().st_size > 500
    short = fake(data, lambda n, seed, condition=None: [np.full(64, 3 + seed)] * n)
    with pytest.raises(JobError, match=r"samples have 64 tokens and a piece has 512; .*blockSize of at least 516"):
        evaluated(data, short, tmp_path / "short", gates[0])


def test_sprites_must_show_what_their_caption_says(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", "sprites", "images", 300)

    def sample(n: int, seed: int, condition: Any = None) -> Any:
        index = {sprites.sample(0, i).caption: i for i in range(300)}
        shown = [index[c] for c in condition]
        shown[0] = shown[1]  # the wrong picture
        return np.stack([sprites.draw(sprites.sample(0, i)) for i in shown]) ^ np.uint8(seed & 1)

    gates = [MetricGate(name="oracleAccuracy", op=">=", threshold=0.7)]
    report, record = evaluated(data, fake(data, sample, told="caption"), tmp_path / "report", *gates)
    assert report.metrics[0].value == pytest.approx(15 / 16, abs=0.02)
    assert report.verdict == "Passed"
    assert record["metrics"][0]["floor"]["value"] == 1
