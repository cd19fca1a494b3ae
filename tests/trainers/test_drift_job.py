"""Drift by embeddings: how often the test is right, and the job from records to a report."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gencontract.codes import Code
from gencontract.report import Report
from gencontract.task import DriftTask, Input
from gentrainers import artifact, captured
from gentrainers.data.tokenizers import Characters
from gentrainers.errors import JobError
from gentrainers.jobs import drift
from gentrainers.metrics.kit.two_samples import compare, gaussian
from gentrainers.pod import Lines, Pod

ENGINE, OTHER = ("sha256:" + c * 64 for c in "ef")
RUNS, ALPHA, DIMS = 200, 0.05, 8


def p_of(seed: int, shift: float, n: int, m: int) -> float:
    """Compare n rows with m of a standard normal in 8 dimensions, one of them shifted."""
    random = np.random.default_rng(seed)
    live, known = random.normal(size=(n, DIMS)), random.normal(size=(m, DIMS))
    live[:, 0] += shift
    return compare(live, known, 199, seed + 100_000).p


@pytest.mark.slow
def test_false_alarms_are_no_more_than_alpha_over_200_runs_without_a_drift() -> None:
    """A watch asks for two windows in a row; a single one may be wrong as often as alpha says."""
    alarms = [[p_of(2 * run + window, 0, 100, 200) < ALPHA for window in range(2)] for run in range(RUNS)]
    assert sum(map(all, alarms)) <= ALPHA * RUNS
    assert 0 < sum(map(sum, alarms)) <= ALPHA * 2 * RUNS


@pytest.mark.slow
def test_a_shift_of_a_third_of_a_deviation_in_one_of_eight_numbers_is_found_within_two_windows() -> None:
    runs = 25
    found = sum(all(p_of(1000 + 2 * r + w, 1 / 3, 500, 1000) < ALPHA for w in range(2)) for r in range(runs))
    assert found >= 0.9 * runs


def test_the_statistic_is_what_the_formula_says() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(7, 3)), random.normal(size=(5, 3)) + 1
    k = gaussian(np.concatenate([a, b]))
    own = sum(k[i, j] for i in range(7) for j in range(7) if i != j) / 42
    other = sum(k[i, j] for i in range(7, 12) for j in range(7, 12) if i != j) / 20
    across = sum(k[i, j] for i in range(7) for j in range(7, 12)) / 35
    assert compare(a, b, 19, 0).value == pytest.approx(own + other - 2 * across)


def test_rows_that_are_all_the_same_are_no_drift() -> None:
    same = np.ones((20, 3))
    assert compare(same, same, 99, 0).p == 1.0


# --- the job ---------------------------------------------------------------------------------------------------------


def a_dataset(folder: Path, body: dict[str, Any], **files: Any) -> Input:
    body = {"splits": {"train": {"samples": 0, "digest": ENGINE}}, **body}
    with artifact.writing(str(folder), "dataset", body) as scratch:
        (scratch / "train").mkdir()
        for name, value in files.items():
            if isinstance(value, np.ndarray):
                np.save(scratch / f"train/{name}.npy", value)
            else:
                (scratch / ("tokenizer.json" if name == "tokenizer" else f"train/{name}.json")).write_text(
                    json.dumps(value)
                )
    return Input(uri=str(folder), digest=artifact.digest_of(str(folder)))


def record(store: Path, rows: list[dict[str, Any]], samples: Any = None, engine: str = ENGINE) -> None:
    """Write a record of samples that were served a second apart, from second 1000 on."""
    rows = [{"at": 1000.0 + n, **row} for n, row in enumerate(rows)]
    with artifact.writing(f"{store}/{captured.name_of(1000, 1000 + len(rows), engine)}", "capture", {}) as folder:
        (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        if samples is not None:
            np.save(folder / "samples.npy", samples)


def measure(store: Path, data: Input, of: Any, **fields: Any) -> Report:
    task = DriftTask(reference=data, captured=str(store), engine=ENGINE, of=of, since=0, until=10_000, **fields)
    return drift.run(task, Pod(Lines(io.StringIO())))


def p_in(report: Report) -> float:
    return next(float(m.value or 0) for m in report.metrics if m.name == "pValue")


def labels(shares: list[float], n: int, seed: int = 0) -> list[int]:
    return [int(v) for v in np.random.default_rng(seed).choice(len(shares), n, p=shares)]


EVEN, UNEVEN = [0.25] * 4, [0.4, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(("shares", "drifts"), [(EVEN, False), (UNEVEN, True)])
def test_classes_that_are_asked_for_are_compared(tmp_path: Path, shares: list[float], drifts: bool) -> None:
    y = np.array(labels(EVEN, 1000, 1))
    data = a_dataset(tmp_path / "data", {"format": "images"}, x=np.zeros((1000, 4, 4, 1), np.uint8), y=y)
    record(tmp_path / "store", [{"asked": v, "label": v} for v in labels(shares, 400)])
    report = measure(tmp_path / "store", data, "input")
    assert (p_in(report) < 0.01) is drifts
    assert report.samples == 400


@pytest.mark.parametrize(("lighter", "drifts"), [(0, False), (20, True)])
def test_pictures_are_compared_by_features(tmp_path: Path, lighter: int, drifts: bool) -> None:
    random = np.random.default_rng(0)
    x, live = (np.clip(random.normal(100 + add, 60, (400, 8, 8, 1)), 0, 255).astype(np.uint8) for add in (0, lighter))
    data = a_dataset(tmp_path / "data", {"format": "images"}, x=x)
    record(tmp_path / "store", [{"label": 0}] * 400, live)
    assert (p_in(measure(tmp_path / "store", data, "output")) < 0.01) is drifts


WORDS = ["a red circle", "a blue square", "a green star"]


@pytest.mark.parametrize(("said", "drifts"), [(WORDS, False), ([*WORDS, "my phone number"], True)])
def test_captions_are_compared_by_the_letters_they_are_made_of(tmp_path: Path, said: list[str], drifts: bool) -> None:
    random = np.random.default_rng(0)
    known = [WORDS[i] for i in random.integers(0, 3, 300)]
    data = a_dataset(tmp_path / "data", {"format": "images"}, x=np.zeros((300, 4, 4, 1), np.uint8), captions=known)
    record(tmp_path / "store", [{"caption": said[i]} for i in random.integers(0, len(said), 300)])
    assert (p_in(measure(tmp_path / "store", data, "prompt")) < 0.01) is drifts


@pytest.mark.parametrize("of", ["prompt", "output"])
@pytest.mark.parametrize(("letters", "drifts"), [("abcd", False), ("abce", True)])
def test_text_is_compared_with_documents(tmp_path: Path, of: str, letters: str, drifts: bool) -> None:
    random = np.random.default_rng(0)
    tokenizer = Characters("abcdef")

    def text(alphabet: str) -> str:
        return "".join(random.choice(list(alphabet), 20))

    documents = [tokenizer.encode(text("abcd")) for _ in range(300)]
    tokens = np.concatenate([np.append(d, 0) for d in documents]).astype(np.uint16)
    offsets = np.arange(0, 21 * 301, 21).astype(np.uint64)
    body = {"format": "text", "tokens": {"vocab": tokenizer.vocab, "end": 0}}
    data = a_dataset(tmp_path / "data", body, tokens=tokens, offsets=offsets, tokenizer=tokenizer.to_json())
    record(tmp_path / "store", [{"prompt": text(letters), "text": text(letters)} for _ in range(300)])
    assert (p_in(measure(tmp_path / "store", data, of)) < 0.01) is drifts


def test_only_the_window_and_the_engine_that_answered_count(tmp_path: Path) -> None:
    data = a_dataset(
        tmp_path / "data", {"format": "images"}, x=np.zeros((9, 4, 4, 1), np.uint8), y=np.zeros(9, np.int64)
    )
    record(tmp_path / "store", [{"asked": 0}] * 50)
    record(tmp_path / "store", [{"asked": 0}] * 500, engine=OTHER)
    report = measure(tmp_path / "store", data, "input", min_samples=11)
    assert report.samples == 50
    task = DriftTask(
        reference=data, captured=str(tmp_path / "store"), engine=ENGINE, of="input", since=1010, until=1020
    )
    few = drift.run(task, Pod(Lines(io.StringIO())))
    assert (few.samples, few.metrics, few.message) == (10, [], "10 samples, 100 are needed")


def test_no_records_are_few_samples_and_no_error(tmp_path: Path) -> None:
    data = a_dataset(tmp_path / "data", {"format": "images"}, x=np.zeros((9, 4, 4, 1), np.uint8))
    assert measure(tmp_path / "store", data, "output").samples == 0


@pytest.mark.parametrize(
    ("of", "row", "says"),
    [
        ("input", {"asked": 1}, "has no classes"),
        ("prompt", {"caption": "a"}, "has no captions"),
        ("output", {"label": 1}, r"samples are \(2, 2, 1\)"),
    ],
)
def test_data_that_cannot_be_compared_say_why(tmp_path: Path, of: str, row: dict[str, Any], says: str) -> None:
    data = a_dataset(tmp_path / "data", {"format": "images"}, x=np.zeros((9, 4, 4, 1), np.uint8))
    record(tmp_path / "store", [row] * 20, np.zeros((20, 2, 2, 1), np.uint8))
    with pytest.raises(JobError, match=says) as caught:
        measure(tmp_path / "store", data, of, min_samples=10)
    assert caught.value.code == Code.UNSUPPORTED
