"""The prepare job from task to artifact: what it writes, that it writes the same anywhere, and what it refuses."""

import csv
import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from gencontract.codes import Code
from gencontract.report import Report
from gencontract.task import PrepareTask
from gencontract.wire import decode_report, encode_report
from gentrainers.data import open_dataset
from gentrainers.data.builtin import markov, sprites
from gentrainers.errors import JobError
from gentrainers.jobs.prepare import run
from gentrainers.pod import Lines, Pod

DIGITS = {"kind": "builtin", "name": "digits"}


def a_pod() -> Pod:
    return Pod(Lines(io.StringIO()))


def prepare(output: Path, source: dict[str, Any], format_: str, **fields: Any) -> Report:
    """Run the job on a task given as a user would write it."""
    whole = {"source": source, "format": format_, "output": str(output), **fields}
    return run(PrepareTask.model_validate(whole), a_pod())


def path(folder: Path) -> dict[str, Any]:
    return {"kind": "path", "path": str(folder)}


def picture(path_: Path, seed: int, size: tuple[int, int] = (12, 10), **how: Any) -> Path:
    """Write a picture with something in it."""
    path_.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path_, **how)
    return path_


def folders(root: Path, each: int = 20) -> Path:
    """Write two classes of pictures."""
    for seed in range(each):
        picture(root / "cats" / f"{seed}.png", seed)
        picture(root / "dogs" / f"{seed}.png", 1000 + seed)
    return root


def table(path_: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a CSV file."""
    path_.parent.mkdir(parents=True, exist_ok=True)
    with path_.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path_


def people(count: int = 60) -> list[dict[str, Any]]:
    return [
        {"age": 20 + i % 50, "height": 1.5 + i / 100, "city": ("Oslo", "Rome")[i % 2], "ok": i % 3 == 0}
        for i in range(count)
    ]


def left_behind(output: Path) -> list[str]:
    """List what lies where an artifact would be."""
    return sorted(p.name for p in output.parent.iterdir() if p.name.startswith((output.name, ".writing", ".preparing")))


# --- what is written ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    output = tmp_path_factory.mktemp("digits") / "out"
    checks = [{"name": "enough", "kind": "rows", "threshold": 1000}, {"name": "apart", "kind": "overlap"}]
    return output, prepare(output, DIGITS, "images", checks=checks)


def test_digits_become_a_dataset_that_says_all_about_itself(digits: tuple[Path, Report]) -> None:
    output, report = digits
    data = open_dataset(str(output), report.artifact.digest if report.artifact else None)
    assert data.body["image"] == {"height": 8, "width": 8, "channels": 1, "classes": list("0123456789"), "levels": 16}
    assert report.samples == 1797 == sum(s.samples for s in report.splits)
    assert [s.name for s in report.splits] == ["train", "validation", "test"]
    assert [c.passed for c in report.checks] == [True, True]
    train = data.split("train")
    assert train.arrays["x"].shape == (len(train), 8, 8, 1)
    assert train.arrays["x"].dtype == np.uint8
    assert train.arrays["keys"].shape == (len(train), 32)
    batch = train.batch(np.array([3, 1, 3]))
    assert np.array_equal(batch["x"][0], train.arrays["x"][3])
    assert (report.bytes or 0) >= sum(p.stat().st_size for p in output.rglob("*.npy"))
    assert report.reference == f"{output}/reference.json"


def test_the_levels_of_digits_come_back_exactly(digits: tuple[Path, Report]) -> None:
    from sklearn.datasets import load_digits

    train = open_dataset(str(digits[0])).split("train")
    back = np.rint(train.arrays["x"] * (16 / 255)).astype(int)
    known = {tuple(d.astype(int).ravel()): int(t) for d, t in zip(*load_digits(return_X_y=True), strict=True)}
    assert all(known[tuple(x.ravel())] == y for x, y in zip(back, train.arrays["y"], strict=True))


def test_the_report_fits_a_termination_message(digits: tuple[Path, Report]) -> None:
    text = encode_report(digits[1])
    assert len(text.encode()) <= 4096
    assert decode_report(text) == digits[1]


def test_croissant_accepts_the_description(digits: tuple[Path, Report]) -> None:
    found = mlcroissant.Dataset(jsonld=str(digits[0] / "croissant.json"))
    assert found.metadata.name == "digits"
    assert not found.metadata.issues.errors
    assert {f.name for f in found.metadata.distribution} >= {"train/x.npy", "reference.json"}


def test_the_card_shows_what_there_is_and_loads_nothing(digits: tuple[Path, Report]) -> None:
    page = (digits[0] / "card.html").read_text()
    assert "data:image/png;base64," in page
    assert "<svg" in page
    assert "CC-BY-4.0" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert Image.open(digits[0] / "samples.png").mode == "RGB"


def test_the_reference_counts_the_train_split(digits: tuple[Path, Report]) -> None:
    data = open_dataset(str(digits[0]))
    drift = data.json("reference.json")
    assert drift["samples"] == len(data.split("train"))
    assert {"brightness", "contrast", "entropy", "class"} <= set(drift["features"])
    for feature in drift["features"].values():
        assert sum(feature["counts"]) == drift["samples"]
    bright = drift["features"]["brightness"]
    assert len(bright["counts"]) == len(bright["edges"]) + 1


def test_the_same_input_gives_the_same_digest_whatever_the_order_place_and_time(tmp_path: Path) -> None:
    first = folders(tmp_path / "a" / "source")
    second = tmp_path / "b" / "other"
    files = list(first.rglob("*.png"))
    random.Random(7).shuffle(files)
    for file in files:
        target = second / file.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
        os.utime(target, (1, 1))
    found = [prepare(tmp_path / f"out{n}", path(root), "images") for n, root in enumerate((first, second))]
    assert found[0].artifact
    assert found[1].artifact
    assert found[0].artifact.digest == found[1].artifact.digest
    names = [sorted(p.relative_to(tmp_path / f"out{n}") for p in (tmp_path / f"out{n}").rglob("*")) for n in range(2)]
    assert names[0] == names[1]


def test_one_changed_byte_gives_another_digest(tmp_path: Path) -> None:
    root = folders(tmp_path / "source", 8)
    before = prepare(tmp_path / "out", path(root), "images").artifact
    picture(root / "cats" / "3.png", 777)
    after = prepare(tmp_path / "out", path(root), "images").artifact
    assert before
    assert after
    assert before.digest != after.digest


def test_new_data_does_not_move_old_samples(tmp_path: Path) -> None:
    root = folders(tmp_path / "source", 30)
    prepare(tmp_path / "one", path(root), "images")
    for seed in range(50):
        picture(root / "cats" / f"new-{seed}.png", 5000 + seed)
    prepare(tmp_path / "two", path(root), "images")
    old, new = (open_dataset(str(tmp_path / n)) for n in ("one", "two"))
    for split in ("train", "validation", "test"):
        before, after = ({k.tobytes() for k in d.split(split).arrays["keys"]} for d in (old, new))
        assert before <= after


def test_folders_become_classes_and_archives_are_opened(tmp_path: Path) -> None:
    plain = folders(tmp_path / "plain", 10)
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "set.zip", "w") as z:
        for file in plain.rglob("*.png"):
            z.write(file, file.relative_to(plain))
    tarball = tmp_path / "tarball"
    tarball.mkdir()
    with tarfile.open(tarball / "set.tar.gz", "w:gz") as t:
        t.add(plain, "top")
    bodies = []
    for number, source in enumerate((plain, packed, tarball)):
        prepare(tmp_path / f"out{number}", path(source), "images")
        bodies.append(open_dataset(str(tmp_path / f"out{number}")).body)
    assert all(b["image"]["classes"] == ["cats", "dogs"] for b in bodies)
    assert bodies[0]["splits"] == bodies[1]["splits"] == bodies[2]["splits"]


def test_metadata_gives_labels_captions_licences_and_keys(tmp_path: Path) -> None:
    rows = []
    for seed in range(40):
        picture(tmp_path / "source" / f"{seed}.png", seed)
        licence = "CC0-1.0" if seed % 4 else "CC-BY-NC-4.0"
        rows.append(
            {
                "file": f"{seed}.png",
                "label": "ab"[seed % 2],
                "caption": f"mail a{seed}@x.org",
                "license": licence,
                "patient": seed // 8,
            }
        )
    table(tmp_path / "source" / "metadata.csv", rows)
    fields = {
        "licenses": ["CC0-1.0"],
        "pii": "redact",
        "splits": {"train": 0.6, "validation": 0.2, "test": 0.2, "key": "patient"},
    }
    report = prepare(tmp_path / "out", path(tmp_path / "source"), "images", **fields)
    data = open_dataset(str(tmp_path / "out"))
    assert report.samples == 30
    assert data.body["image"]["classes"] == ["a", "b"]
    assert set(data.split("train").captions or []) == {"mail [EMAIL]"}
    assert all(s.samples % 6 == 0 for s in report.splits)


def test_near_duplicates_go_and_the_rest_stays(tmp_path: Path) -> None:
    for seed in range(12):
        big = picture(tmp_path / "source" / f"{seed}.png", seed, (64, 64))
        soft = Image.open(big).resize((8, 8)).resize((64, 64))
        soft.save(tmp_path / "source" / f"{seed}.png")
        soft.save(tmp_path / "source" / f"{seed}-again.jpg", quality=85)
    report = prepare(tmp_path / "out", path(tmp_path / "source"), "images", dedup={"near": {"threshold": 0.9}})
    assert report.samples == 12
    assert open_dataset(str(tmp_path / "out")).body["counts"]["near"] == 12


def test_pictures_are_turned_laid_on_white_and_resized(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    tall = Image.new("RGB", (20, 10), "red")
    tall.paste("blue", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    tall.save(root / "turned.jpg", exif=exif, quality=95)
    Image.new("RGBA", (10, 20), (0, 0, 0, 0)).save(root / "clear.png")
    Image.new("I;16", (10, 20), 0xFF00).save(root / "deep.png")
    prepare(
        tmp_path / "out",
        path(root),
        "images",
        options={"size": [20, 10]},
        splits={"train": 1, "validation": 0, "test": 0},
    )
    x = open_dataset(str(tmp_path / "out")).split("train").arrays["x"]
    assert x.shape == (2, 20, 10, 3)  # the clear and the deep one are both white, and so one is a duplicate
    turned = next(v for v in x if v.std() > 10)
    assert turned[0, 0, 2] > 200
    assert turned[-1, 0, 0] > 200
    assert any((v == 255).all() for v in x)


TEXT = "The quick brown fox jumps over the lazy dog, and then number {n} of them sleeps till {n} o'clock."


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet", "csv"])
def test_text_comes_from_any_kind_of_file(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    texts = [TEXT.format(n=n) for n in range(100)]
    write = {
        "txt": lambda f: f.write_text("\n".join(texts)),
        "jsonl": lambda f: f.write_text("\n".join(json.dumps({"text": t, "id": 1}) for t in texts)),
        "parquet": lambda f: pyarrow.parquet.write_table(pyarrow.table({"text": texts}), f),
        "csv": lambda f: table(f, [{"text": t} for t in texts]),
    }
    write[kind](root / f"data.{kind}")
    report = prepare(tmp_path / "out", path(root), "text", options={"document": "line"})
    data = open_dataset(str(tmp_path / "out"))
    assert report.samples == 100
    from gentrainers.data.tokenizers import from_json

    tokenizer = from_json(data.json("tokenizer.json"))
    train = data.split("train")
    back = {tokenizer.decode(train.document(i).tolist()) for i in range(len(train))}
    assert back <= set(texts)
    assert data.body["tokens"]["vocab"] == tokenizer.vocab
    assert train.arrays["tokens"].dtype == np.uint16


def test_a_long_text_is_cut_and_stays_in_order(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    whole = "\n".join(TEXT.format(n=n) for n in range(500)) + "\n"
    (root / "book.txt").write_bytes(b"\xef\xbb\xbf" + whole.replace("\n", "\r\n").encode())
    prepare(
        tmp_path / "out", path(root), "text", options={"chunk": 500}, splits={"train": 1, "validation": 0, "test": 0}
    )
    data = open_dataset(str(tmp_path / "out"))
    from gentrainers.data.tokenizers import END, from_json

    tokens = data.split("train").arrays["tokens"]
    assert (tokens == END).sum() == 1
    assert from_json(data.json("tokenizer.json")).decode(tokens.tolist()) == whole
    assert data.split("train").windows(np.array([0, 5]), 10).shape == (2, 10)


def test_text_near_duplicates_and_personal_data(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    words = [f"word{n}" for n in range(2000)]
    random.Random(1).shuffle(words)
    documents = [" ".join(words[i : i + 100]) for i in range(0, 2000, 100)]
    near = [d.replace(d.split()[50], "changed") for d in documents[:5]]
    personal = "Ring me: +44 20 7946 0958 or ada@example.org, card 4111 1111 1111 1111."
    (root / "a.txt").write_text("\n".join([*documents, *near, personal]))
    options = {"document": "line"}
    fields = {"dedup": {"near": {"threshold": 0.7}}, "pii": "redact"}
    report = prepare(
        tmp_path / "out", path(root), "text", options=options, checks=[{"name": "p", "kind": "pii"}], **fields
    )
    assert report.samples == 21
    assert report.checks[0].passed
    flagged = prepare(
        tmp_path / "out",
        path(root),
        "text",
        options=options,
        pii="flag",
        checks=[{"name": "p", "kind": "pii", "action": "Warn"}],
    )
    assert flagged.code is Code.DONE
    assert not flagged.checks[0].passed
    dropped = prepare(tmp_path / "out", path(root), "text", options=options, pii="drop")
    assert dropped.samples == 25


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_table_becomes_numbers_and_says_how(kind: str, tmp_path: Path) -> None:
    rows = people()
    rows[5]["height"] = None
    target = tmp_path / "source" / f"people.{kind}"
    if kind == "csv":
        table(target, rows)
    else:
        target.parent.mkdir()
        if kind == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), target)
        else:
            target.write_text("\n".join(map(json.dumps, rows)))
    report = prepare(tmp_path / "out", path(target), "tabular", options={"label": "city"})
    data = open_dataset(str(tmp_path / "out"))
    assert [c["type"] for c in data.body["columns"]] == ["integer", "number", "category", "boolean"]
    assert data.body["classes"] == ["Oslo", "Rome"]
    fitted = {c["name"]: c for c in data.json("columns.json")}
    x = data.split("train").arrays["x"]
    assert fitted["city"]["categories"] == ["Oslo", "Rome"]
    assert fitted["age"]["mean"] == pytest.approx(x[:, 0].mean())
    assert fitted["age"]["scale"] == pytest.approx(x[:, 0].std())
    assert report.samples == 60


def test_declared_columns_rename_and_hold_the_rows_to_types(tmp_path: Path) -> None:
    rows = people()
    rows[7]["age"] = "old"
    source = path(table(tmp_path / "people.csv", rows))
    columns = [{"name": "age", "type": "integer", "mapTo": "years"}, {"name": "height", "type": "number"}]
    with pytest.raises(JobError, match=r"people\.csv line 9, column 'age': 'old' is not of type integer"):
        prepare(tmp_path / "out", source, "tabular", columns=columns)
    check = [{"name": "fits", "kind": "schema", "threshold": 0.05}]
    report = prepare(tmp_path / "out", source, "tabular", columns=columns, checks=check)
    assert report.samples == 59
    assert open_dataset(str(tmp_path / "out")).body["columns"][0]["name"] == "years"


def test_music_from_midi_and_musicxml_is_one_grammar(tmp_path: Path) -> None:
    from music21 import converter

    from gentrainers.data.formats import music

    root = tmp_path / "source"
    root.mkdir()
    score = converter.parse("tinynotation: 4/4 c4 e8 g8 c'2 r4 d4 f2")
    score.write("musicxml", root / "a.musicxml")
    score.transpose(3).write("midi", root / "b.mid")
    splits = {"train": 1, "validation": 0, "test": 0}
    report = prepare(tmp_path / "out", path(root), "music", options={"voices": 2}, splits=splits)
    assert report.samples == 2
    train = open_dataset(str(tmp_path / "out")).split("train")
    tunes = [music.parse_tokens(train.document(i)[:-2], 2) for i in range(2)]
    shape = [[(n.start, n.end, n.pitch - tune[0].pitch) for n in tune] for tune in tunes]
    assert shape[0] == shape[1] == [(0, 4, 0), (4, 6, 4), (6, 8, 7), (8, 16, 12), (20, 24, 2), (24, 32, 5)]
    again = prepare(tmp_path / "out", path(root), "music", options={"voices": 2}, splits=splits, dedup={"near": {}})
    assert again.samples == 1  # the same tune in another key


def test_the_oracles_can_be_read_back_from_their_datasets(tmp_path: Path) -> None:
    prepare(tmp_path / "s", {"kind": "builtin", "name": "sprites", "samples": 60}, "images")
    shown = open_dataset(str(tmp_path / "s")).split("train")
    for x, caption in zip(shown.arrays["x"], shown.captions or [], strict=True):
        found = sprites.parse(x)
        assert found
        assert found.caption == caption
    prepare(
        tmp_path / "m",
        {"kind": "builtin", "name": "markov", "samples": 2, "seed": 5},
        "text",
        splits={"train": 1, "validation": 0, "test": 0},
    )
    data = open_dataset(str(tmp_path / "m"))
    assert data.body["oracle"]["entropyRate"] == markov.Chain(5).entropy_rate


def test_chorales_are_four_voices_on_a_grid(tmp_path: Path) -> None:
    report = prepare(
        tmp_path / "out",
        {"kind": "builtin", "name": "chorales", "samples": 3},
        "music",
        splits={"train": 1, "validation": 0, "test": 0},
    )
    tokens = open_dataset(str(tmp_path / "out")).body["tokens"]
    assert report.samples == 3
    assert (tokens["voices"], tokens["vocab"], tokens["kind"]) == (4, 131, "events")
    assert 36 <= tokens["lowest"] < tokens["highest"] <= 84


# --- checks ------------------------------------------------------------------------------------------------------------


def test_a_check_that_blocks_leaves_its_verdicts_and_no_artifact(tmp_path: Path) -> None:
    checks = [
        {"name": "many", "kind": "rows", "threshold": 1_000_000},
        {"name": "even", "kind": "balance", "threshold": 0.5},
        {"name": "hint", "kind": "rows", "threshold": 1e9, "action": "Warn"},
    ]
    report = prepare(tmp_path / "out", DIGITS, "images", checks=checks)
    assert report.code is Code.CHECK_BLOCKED
    assert [c.passed for c in report.checks] == [False, True, False]
    assert "many" in report.message
    assert "hint" not in report.message
    assert report.artifact is None
    assert not left_behind(tmp_path / "out")


def test_a_damaged_picture_is_counted_where_a_check_bounds_it(tmp_path: Path) -> None:
    root = folders(tmp_path / "source", 10)
    (root / "cats" / "3.png").write_bytes((root / "cats" / "3.png").read_bytes()[:100])
    check = {"name": "whole", "kind": "decodable", "threshold": 0.1}
    assert prepare(tmp_path / "out", path(root), "images", checks=[check]).samples == 19
    refused = prepare(tmp_path / "no", path(root), "images", checks=[{**check, "threshold": 0}])
    assert refused.code is Code.CHECK_BLOCKED
    assert "cats/3.png" in refused.message


def test_overlap_is_measured_where_near_duplicates_stay(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    words = [f"word{n}" for n in range(4000)]
    lines = [" ".join(words[i : i + 100]) for i in range(0, 4000, 100)]
    (root / "a.txt").write_text("\n".join(line + f" end{k}" for line in lines for k in range(3)))
    options, check = {"document": "line"}, [{"name": "apart", "kind": "overlap", "action": "Warn"}]
    report = prepare(tmp_path / "out", path(root), "text", options=options, checks=check)
    assert report.checks[0].value
    assert report.checks[0].value > 0.3
    clean = prepare(tmp_path / "out", path(root), "text", options=options, checks=check, dedup={"near": {}})
    assert clean.checks[0].value == 0
    assert clean.samples == 40


# --- bad input ---------------------------------------------------------------------------------------------------------


def corrupt_picture(root: Path) -> dict[str, Any]:
    folders(root, 5)
    file = root / "dogs" / "2.png"
    file.write_bytes(file.read_bytes()[:-60])
    return {}


def not_a_picture(root: Path) -> dict[str, Any]:
    (folders(root, 5) / "cats" / "x.png").write_text("hello")
    return {}


def no_files(root: Path) -> dict[str, Any]:
    root.mkdir()
    return {}


def other_files(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "readme.doc").write_text("x")
    return {}


def mixed_sizes(root: Path) -> dict[str, Any]:
    picture(root / "a.png", 1, (8, 8))
    picture(root / "b.png", 2, (9, 8))
    return {}


def huge_picture(root: Path) -> dict[str, Any]:
    root.mkdir()
    Image.new("1", (9000, 9000)).save(root / "huge.png")
    return {}


def some_unlabelled(root: Path) -> dict[str, Any]:
    picture(folders(root, 5) / "loose.png", 99)
    return {}


def binary_text(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.txt").write_bytes(b"fine\0not")
    return {"format": "text"}


def latin_text(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.txt").write_bytes("naïve".encode("latin-1"))
    return {"format": "text"}


def cut_text(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.txt").write_bytes("naï".encode()[:-1])
    return {"format": "text"}


def blank_text(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.txt").write_text(" \n \n")
    return {"format": "text"}


def wrong_column(root: Path) -> dict[str, Any]:
    table(root / "a.csv", [{"body": "x"}])
    return {"format": "text"}


def bad_json(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.jsonl").write_text('{"text": "x"}\n{"text": \n')
    return {"format": "text"}


def deep_json(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.jsonl").write_text("[" * 100_000)
    return {"format": "text"}


def fake_parquet(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.parquet").write_bytes(b"PAR1" + b"junk" * 20 + b"PAR1")
    return {"format": "tabular"}


def missing_column(root: Path) -> dict[str, Any]:
    table(root / "a.csv", people())
    return {"format": "tabular", "columns": [{"name": "weight", "type": "number"}]}


def ragged(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a,b\n1,2\n3\n")
    return {"format": "tabular"}


def twice_named(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a,a\n1,2\n")
    return {"format": "tabular"}


def infinite(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a\n1\ninf\n")
    return {"format": "tabular", "columns": [{"name": "a", "type": "number"}]}


def too_large(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a\n1\n1e39\n")
    return {"format": "tabular", "columns": [{"name": "a", "type": "number"}]}


def empty_cell(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a,b\n1,2\n,2\n")
    return {"format": "tabular", "columns": [{"name": "a", "type": "number"}]}


def all_strings(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a\nx\ny\n")
    return {"format": "tabular", "columns": [{"name": "a", "type": "string"}]}


def no_rows(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.csv").write_text("a,b\n")
    return {"format": "tabular"}


def bad_midi(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.mid").write_bytes(b"MThd" + b"\0" * 30)
    return {"format": "music"}


def bad_xml(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.musicxml").write_text("<score-partwise><part>")
    return {"format": "music"}


def too_many_notes(root: Path) -> dict[str, Any]:
    from music21 import chord, stream

    root.mkdir()
    stream.Stream([chord.Chord(["C4", "E4", "G4"])]).write("midi", root / "a.mid")
    return {"format": "music", "options": {"voices": 2}}


def link_out(root: Path) -> dict[str, Any]:
    folders(root, 3)
    (root / "cats" / "link.png").symlink_to("/etc/hostname")
    return {}


def hostile_zip(root: Path) -> dict[str, Any]:
    root.mkdir()
    with zipfile.ZipFile(root / "a.zip", "w") as z:
        z.writestr("../../x.png", b"")
    return {}


def lying_gz(root: Path) -> dict[str, Any]:
    root.mkdir()
    (root / "a.tar.gz").write_bytes(gzip.compress(b"hello"))
    return {}


def metadata_of_nothing(root: Path) -> dict[str, Any]:
    table(folders(root, 3) / "metadata.csv", [{"file": "cats/99.png", "label": "x"}])
    return {}


def metadata_without_file(root: Path) -> dict[str, Any]:
    table(folders(root, 3) / "metadata.csv", [{"name": "cats/1.png", "label": "x"}])
    return {}


def a_pipe(root: Path) -> dict[str, Any]:
    folders(root, 2)
    os.mkfifo(root / "pipe.png")
    return {}


def output_inside(root: Path) -> dict[str, Any]:
    folders(root, 2)
    return {"source": path(root.parent)}


def with_fields(**fields: Any) -> Callable[[Path], dict[str, Any]]:
    def write(root: Path) -> dict[str, Any]:
        folders(root, 5)
        return fields

    return write


def builtin(**source: Any) -> Callable[[Path], dict[str, Any]]:
    return with_fields(source={"kind": "builtin", **source})


BAD, DATA, GONE, NO, CANNOT = (
    Code.BAD_CONFIG,
    Code.BAD_DATA,
    Code.MISSING_INPUT,
    Code.FORBIDDEN,
    Code.UNSUPPORTED,
)
REFUSALS: list[tuple[str, Callable[[Path], dict[str, Any]], Code, str]] = [
    ("a corrupt picture", corrupt_picture, DATA, r"dogs/2\.png: is a damaged picture"),
    ("a text called .png", not_a_picture, DATA, r"cats/x\.png: is not a picture"),
    ("an empty folder", no_files, DATA, "the source is empty; put files of format images"),
    ("only other files", other_files, DATA, "none of the 1 files"),
    ("pictures of two sizes", mixed_sizes, DATA, r"b\.png is 9x8x3 and a\.png is 8x8x3; set options\.size"),
    ("a picture with too many pixels", huge_picture, DATA, r"huge\.png: has 9000x9000 pixels, options\.maxPixels"),
    ("some pictures without a class", some_unlabelled, DATA, "1 samples have no label"),
    ("a folder that is not there", with_fields(source=path(Path("/nowhere"))), GONE, "source.path /nowhere does not"),
    ("no path", with_fields(source={"kind": "path"}), BAD, "source.path is empty"),
    ("no urls", with_fields(source={"kind": "http"}), BAD, "source.urls is empty"),
    (
        "a digest of another url",
        with_fields(source={"kind": "http", "urls": ["http://a.example/x"], "sha256": {"http://b.example": "0"}}),
        BAD,
        "source.sha256",
    ),
    ("an url inward", with_fields(source={"kind": "http", "urls": ["http://127.0.0.1/x"]}), NO, "loopback"),
    ("an OCI image", with_fields(source={"kind": "oci", "uri": "oci://x"}), CANNOT, "source.kind 'oci'"),
    ("a hub without its library", with_fields(source={"kind": "huggingFace", "name": "a/b"}), CANNOT, "datasets"),
    ("a hub name that is a path", with_fields(source={"kind": "huggingFace", "name": "../x"}), BAD, "owner/repository"),
    ("a bucket that is none", with_fields(source={"kind": "s3", "uri": "/tmp"}), BAD, "s3://"),
    ("a git host inward", with_fields(source={"kind": "git", "uri": "https://10.0.0.1/x"}), NO, "private"),
    (
        "a git transport that runs programs",
        with_fields(source={"kind": "git", "uri": "ext::sh -c id"}),
        NO,
        "git sources",
    ),
    (
        "a git revision that is an option",
        with_fields(source={"kind": "git", "uri": "file:///x", "revision": "--upload-pack=id"}),
        BAD,
        "revision",
    ),
    (
        "a git repository that is not there",
        with_fields(source={"kind": "git", "uri": "file:///nowhere"}),
        GONE,
        "nowhere",
    ),
    ("an unknown set", builtin(name="digit"), BAD, "did you mean 'digits'"),
    (
        "a set of another format",
        builtin(name="markov"),
        BAD,
        "format is images, the built-in set markov is of format text",
    ),
    ("an unknown option", with_fields(options={"sise": 8}), BAD, r"options\.sise is not known.*did you mean 'size'"),
    ("an option of wrong type", with_fields(options={"size": "big"}), BAD, "options: size"),
    ("an option out of range", with_fields(options={"size": 0}), BAD, "options: size"),
    (
        "an unknown filter",
        with_fields(filters=[{"name": "contrst", "min": 1}]),
        BAD,
        r"filters\.0\.name.*did you mean 'contrast'",
    ),
    ("a filter without bounds", with_fields(filters=[{"name": "contrast"}]), BAD, r"filters\.0"),
    (
        "a filter upside down",
        with_fields(filters=[{"name": "contrast", "min": 2, "max": 1}]),
        BAD,
        "min 2 is above max 1",
    ),
    (
        "a filter that nothing passes",
        with_fields(filters=[{"name": "contrast", "max": 0}]),
        DATA,
        "no sample is left of 10; left out: filter contrast 10",
    ),
    ("shares that are not one whole", with_fields(splits={"train": 0.9}), BAD, "splits"),
    ("a negative share", with_fields(splits={"train": 1.2, "validation": -0.2, "test": 0}), BAD, "splits"),
    ("nothing for train", with_fields(splits={"train": 0, "validation": 0, "test": 1}), DATA, "fell into train"),
    ("a split key that the data lacks", with_fields(splits={"key": "patient"}), BAD, r"splits\.key 'patient'"),
    (
        "a licence that is not allowed",
        with_fields(source={**DIGITS, "license": "CC-BY-NC-4.0"}, licenses=["MIT"]),
        NO,
        "CC-BY-NC-4.0",
    ),
    ("no licence where one is asked", with_fields(licenses=["MIT"]), DATA, "license 10"),
    ("a licence that is no identifier", with_fields(licenses=["free for all!"]), BAD, "licenses"),
    (
        "near-duplicates of rows",
        lambda root: {**missing_column(root), "columns": [], "dedup": {"near": {}}},
        BAD,
        r"dedup\.near",
    ),
    ("a binary file as text", binary_text, DATA, r"a\.txt: holds the control character"),
    ("a text in Latin-1", latin_text, DATA, r"a\.txt: is not UTF-8"),
    ("a text cut within a character", cut_text, DATA, r"a\.txt: is not UTF-8"),
    ("a text of nothing", blank_text, DATA, "no sample is left of 1; left out: empty 1"),
    (
        "a wrong column",
        wrong_column,
        DATA,
        r"a\.csv line 2: has no text in column 'text'; it has body; set options\.column",
    ),
    ("a broken line of JSON", bad_json, DATA, r"a\.jsonl line 2: is not JSON"),
    ("JSON without a bottom", deep_json, DATA, r"a\.jsonl line 1: is not JSON"),
    ("a false Parquet file", fake_parquet, DATA, r"a\.parquet: is not a Parquet file"),
    ("a missing column", missing_column, DATA, r"a\.csv has no column weight; it has age, city, height, ok"),
    ("a row that is too short", ragged, DATA, r"a\.csv line 3: has more or fewer fields"),
    ("a column named twice", twice_named, DATA, r"a\.csv line 1: names a column twice"),
    ("infinity", infinite, DATA, r"a\.csv line 3, column 'a': 'inf' is not of type number"),
    ("a number beyond what is stored", too_large, DATA, "'1e39' is not of type number"),
    ("a required cell left empty", empty_cell, DATA, r"a\.csv line 3, column 'a': is empty"),
    ("nothing but strings", all_strings, DATA, "columns: all are strings"),
    ("a table without rows", no_rows, DATA, r"a\.csv: has no rows"),
    ("a broken MIDI file", bad_midi, DATA, r"a\.mid: "),
    ("a broken MusicXML file", bad_xml, DATA, r"a\.musicxml: is not MIDI or MusicXML"),
    ("more notes than voices", too_many_notes, DATA, r"a\.mid: has 1 notes beyond the voices.*options\.voices"),
    ("a link out of the source", link_out, NO, r"cats/link\.png is a link"),
    ("a named pipe", a_pipe, DATA, r"pipe\.png is not a plain file"),
    ("an output inside the source", output_inside, BAD, "output lies inside source.path"),
    ("a hostile archive", hostile_zip, DATA, r"a\.zip: member '\.\./\.\./x\.png' climbs out"),
    ("gzip that is no tar", lying_gz, DATA, r"a\.tar\.gz: is not a zip or tar"),
    (
        "metadata of a file that is not there",
        metadata_of_nothing,
        GONE,
        r"metadata\.csv line 2: the file 'cats/99\.png'",
    ),
    ("metadata without files", metadata_without_file, DATA, r"metadata\.csv line 2: the column 'file'"),
]


@pytest.mark.parametrize(("world", "code", "says"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_bad_input_ends_in_one_clear_error_and_leaves_nothing(
    world: Callable[[Path], dict[str, Any]], code: Code, says: str, tmp_path: Path
) -> None:
    fields = {"source": path(tmp_path / "source"), "format": "images", **world(tmp_path / "source")}
    output = tmp_path / "out"
    with pytest.raises(JobError, match=says) as caught:
        prepare(output, fields.pop("source"), fields.pop("format"), **fields)
    assert caught.value.code is code
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not left_behind(output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    root = folders(tmp_path / "source", 2)
    (root / "cats").chmod(0)
    with pytest.raises(JobError) as caught:
        prepare(tmp_path / "out", path(root), "images")
    assert caught.value.code is Code.FORBIDDEN


def test_being_asked_to_stop_leaves_nothing(tmp_path: Path) -> None:
    pod = a_pod()
    pod.stop()
    task = PrepareTask.model_validate({"source": DIGITS, "format": "images", "output": str(tmp_path / "out")})
    with pytest.raises(JobError) as caught:
        run(task, pod)
    assert caught.value.code is Code.PREEMPTED
    assert not left_behind(tmp_path / "out")


def test_what_a_killed_try_left_is_removed(tmp_path: Path) -> None:
    old = tmp_path / ".preparing-out-dead"
    old.mkdir()
    (old / "samples.spool").write_text("x")
    prepare(tmp_path / "out", {"kind": "builtin", "name": "arpeggios", "samples": 20}, "music")
    assert left_behind(tmp_path / "out") == ["out"]


def test_a_failed_run_does_not_touch_what_was_there(tmp_path: Path) -> None:
    source = {"kind": "builtin", "name": "arpeggios", "samples": 20}
    before = prepare(tmp_path / "out", source, "music").artifact
    with pytest.raises(JobError):
        prepare(tmp_path / "out", source, "music", options={"voices": 3})
    assert before
    assert open_dataset(str(tmp_path / "out")).digest == before.digest


def test_a_card_shows_what_samples_say_and_runs_nothing(tmp_path: Path) -> None:
    root = tmp_path / "source"
    root.mkdir()
    evil = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>"
    (root / "a.txt").write_text("\n".join(f"{evil} {n}" for n in range(10)))
    prepare(tmp_path / "out", path(root), "text", options={"document": "line"})
    page = (tmp_path / "out" / "card.html").read_text()
    assert "<script" not in page
    assert "onerror=alert(1)&gt;" in page
    assert "default-src 'none'" in page
