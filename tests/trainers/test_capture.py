"""Traffic on its way to the store: what is kept, what is dropped and counted, and what is never written."""

import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gencontract.codes import Code
from gencontract.task import Capture as Task
from gencontract.task import PrepareTask
from gentrainers import artifact, captured
from gentrainers.data.tokenizers import Characters
from gentrainers.errors import JobError
from gentrainers.jobs import prepare
from gentrainers.pod import Lines, Pod
from gentrainers.serving.assemble import Laid
from gentrainers.serving.backend import capture
from gentrainers.serving.backend.capture import Capture
from gentrainers.serving.recording import Recorder

ENGINE = "sha256:" + "e" * 64
DIGITS: dict[str, Any] = {
    "inputs": [
        {"name": "noise", "draw": "normal", "high": 0},
        {"name": "label", "draw": "label", "high": 10},
        {"name": "caption", "draw": "caption", "high": 0},
    ],
    "sample": {"format": "images", "levels": 16, "shape": [4, 4, 1], "dtype": "uint8"},
}
LETTERS = Characters("abcdefghijklmnopqrstuvwxyz@. 0123456789ACEMOILNT[]")
TALK: dict[str, Any] = {
    "inputs": [{"name": "prompt", "draw": "prompt", "high": LETTERS.vocab}],
    "sample": {"format": "text", "shape": [40], "dtype": "int64"},
}


class Spool:
    """A back end's spool and what it counted."""

    def __init__(self, folder: Path, rate: float = 1.0, per_minute: int = 1000, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.counts = folder, Counter[str]()
        self.capture = Capture(folder, rate, per_minute, self._tell, **more)

    def _tell(self, outcome: str, samples: int) -> None:
        self.counts[outcome] += samples

    def pictures(self, n: int = 2, **given: Any) -> None:
        """Offer one request for pictures, with classes that were drawn where none are given."""
        samples = np.arange(n * 16, dtype=np.uint8).reshape(n, 4, 4, 1)
        self.capture.offer(list(range(n)), given, {"label": np.arange(n)}, samples)

    def words(self, prompt: str, answer: str) -> None:
        """Offer one request for text."""
        tokens, asked = (np.zeros((1, 40), np.int64) for _ in range(2))
        for row, text in ((tokens, prompt + answer), (asked, prompt)):
            row[0, : len(text)] = LETTERS.encode(text)
        self.capture.offer([7], {"prompt": asked}, {}, tokens)

    def files(self) -> list[Path]:
        self.capture.close()
        return sorted(self.folder.iterdir())


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool")
    yield made
    made.capture.close()


def test_a_share_of_the_requests_is_kept_and_nothing_of_the_others(tmp_path: Path) -> None:
    made = Spool(tmp_path, rate=0.25)
    for _ in range(400):
        made.pictures()
    assert 120 < 2 * len(made.files()) < 300
    assert made.counts == {"kept": 2 * len(made.files())}


def test_a_minute_has_so_many_requests_and_the_next_has_them_again(tmp_path: Path) -> None:
    now = [0.0]
    made = Spool(tmp_path, per_minute=3, clock=lambda: now[0])
    for _ in range(5):
        made.pictures()
    now[0] = 60.0
    made.pictures()
    assert len(made.files()) == 4
    assert made.counts == {"kept": 8, "limited": 4}


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "SPOOL_BYTES", 3000)
    made = Spool(tmp_path)
    for _ in range(20):
        made.pictures()
    assert 0 < len(made.files()) < 20
    assert made.counts["kept"] + made.counts["dropped"] == 40
    monkeypatch.setattr(capture, "HELD_BYTES", 10)
    made.pictures()
    assert made.counts["kept"] + made.counts["dropped"] == 42


def test_a_spool_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    made = Spool(tmp_path / "spool")
    made.pictures()
    shutil.rmtree(tmp_path / "spool")
    made.pictures()
    made.capture.close()
    assert made.counts["dropped"] >= 2


def test_inputs_are_copied_for_the_server_uses_their_memory_again(spool: Spool) -> None:
    label = np.array([[3], [4]])
    spool.pictures(label=label)
    label[:] = 9
    with np.load(spool.files()[0]) as arrays:
        assert arrays["given-label"].reshape(-1).tolist() == [3, 4]


# --- the other end ---------------------------------------------------------------------------------------------------


def a_laid(folder: Path, spec: dict[str, Any]) -> Laid:
    """An engine's folder, as far as records go by it."""
    home = folder / "engine/1"
    (home / "genops_backend").mkdir(parents=True, exist_ok=True)
    (home / "genops_backend/capture.py").touch()
    if spec is TALK:
        (home / "tokenizer.json").write_text(json.dumps(LETTERS.to_json()))
    return Laid(folder, "generator", "1", home, spec, None)


class Desk:
    """A spool, a recorder and a store, by a clock of their own."""

    def __init__(self, folder: Path, spec: dict[str, Any] = DIGITS, **task: Any) -> None:
        self.now = 1_000_000.0
        self.store = str(folder / "store")
        self.spool = Spool(folder / "spool")
        given = {"rotate_seconds": 60, "keep_seconds": 600, **task}
        asked = Task(uri=self.store, rate=1, **given)
        self.recorder = Recorder(asked, ENGINE, a_laid(folder, spec), folder / "spool", lambda: self.now)

    def records(self) -> list[captured.Read]:
        return [captured.read(self.store, r) for r in captured.records(self.store)]

    def closed(self) -> list[captured.Read]:
        self.spool.capture.close()
        self.recorder.close()
        return self.records()


def test_a_record_is_finished_when_it_is_old_and_holds_what_was_served(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.spool.pictures(label=np.array([[3], [4]]), caption=np.array([b"a cat", b"a dog"], object))
    desk.spool.pictures(n=1)
    desk.spool.capture.close()
    desk.recorder.look()
    assert desk.records() == []
    desk.now += 60
    desk.recorder.look()
    (record,) = desk.records()
    assert record.samples is not None
    assert record.samples.shape == (3, 4, 4, 1)
    said = [{k: v for k, v in row.items() if k != "at"} for row in record.rows]
    assert said == [
        {"seed": 0, "label": 0, "asked": 3, "caption": "a cat"},
        {"seed": 1, "label": 1, "asked": 4, "caption": "a dog"},
        {"seed": 0, "label": 0},
    ]
    assert list(desk.spool.folder.iterdir()) == []


PRIVATE = "mail ada@example.org "


@pytest.mark.parametrize(
    ("redact", "prompt", "left_out"), [("redact", "mail [EMAIL] ", 0), ("drop", None, 1), ("keep", PRIVATE, 0)]
)
def test_personal_data_are_treated_before_anything_leaves_the_pod(
    tmp_path: Path, redact: Any, prompt: str | None, left_out: int
) -> None:
    desk = Desk(tmp_path, TALK, redact=redact)
    desk.spool.words(PRIVATE, "now")
    desk.spool.words("hi ", "there")
    (record,) = desk.closed()
    said = [(row["prompt"], row["text"]) for row in record.rows]
    assert said == [*([(prompt, f"{prompt}now")] if prompt else []), ("hi ", "hi there")]
    (name,) = artifact.listing(desk.store)
    body = artifact.open_artifact(f"{desk.store}/{name}", "capture").body
    assert (body["leftOut"], body["engine"], body["samples"]) == (left_out, ENGINE, len(said))
    if redact != "keep":
        assert not [p for p in Path(desk.store).rglob("*") if p.is_file() and b"ada@example" in p.read_bytes()]
        assert body["personal"] == {"EMAIL": 2}


def test_old_records_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for moment in (100.0, 999_900.0):
        folder = f"{desk.store}/{captured.name_of(moment, moment + 1, ENGINE)}"
        with artifact.writing(folder, "capture", {}) as scratch:
            (scratch / "rows.jsonl").write_text("")
    Path(desk.store, "notes.txt").write_text("mine")
    desk.spool.pictures()
    desk.closed()
    firsts = [r.first for r in captured.records(desk.store)]
    assert firsts[0] == 999_900
    assert len(firsts) == 2
    assert Path(desk.store, "notes.txt").exists()


def test_a_store_that_takes_nothing_is_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    Path(desk.store).write_text("a file where a folder should be")
    desk.spool.pictures()
    desk.spool.capture.close()
    for _ in range(3):
        desk.recorder.look()
        desk.now += 60
    assert capfd.readouterr().out.count("records wait for the store") == 1
    Path(desk.store).unlink()
    desk.recorder.look()
    assert [len(r.rows) for r in desk.records()] == [2]


def test_a_damaged_file_of_the_spool_is_passed_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (desk.spool.folder / "0-0-0.npz").write_bytes(b"PK\x03\x04 not a zip")
    desk.spool.pictures()
    assert [len(r.rows) for r in desk.closed()] == [2]


def test_before_the_recorder_starts_nothing_is_kept(tmp_path: Path) -> None:
    """The server's own warm-ups are no requests."""
    desk = Desk(tmp_path)
    desk.spool.folder.rmdir()
    desk.spool.pictures()
    desk.recorder.start()
    desk.spool.pictures(n=1)
    assert [len(r.rows) for r in desk.closed()] == [1]
    assert desk.spool.counts == {"kept": 1}


@pytest.mark.parametrize(("gone", "says"), [("tokenizer.json", "tokenizer"), ("genops_backend/capture.py", "again")])
def test_an_engine_that_cannot_be_recorded_is_refused(tmp_path: Path, gone: str, says: str) -> None:
    laid = a_laid(tmp_path, TALK)
    (laid.home / gone).unlink()
    with pytest.raises(JobError, match=says) as caught:
        Recorder(Task(uri=str(tmp_path), rate=1), ENGINE, laid, tmp_path / "spool")
    assert caught.value.code == Code.UNSUPPORTED


# --- what becomes of records -----------------------------------------------------------------------------------------


def a_pod() -> Pod:
    return Pod(Lines(io.StringIO()))


def a_task(desk: Desk, folder: Path, **fields: Any) -> PrepareTask:
    said = {"kind": "capture", "uri": desk.store, "license": "CC-BY-4.0"}
    splits = {"train": 1.0, "validation": 0.0, "test": 0.0}
    body = {"source": said, "output": str(folder / "out"), "splits": splits, "licenses": ["CC-BY-4.0"], **fields}
    return PrepareTask.model_validate(body)


def test_captured_pictures_become_a_dataset_with_their_classes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(3):
        desk.spool.pictures()
    desk.closed()
    report = prepare.run(a_task(desk, tmp_path, format="images", options={"channels": 1}), a_pod())
    assert report.samples == 2, "equal samples count once"
    opened = artifact.open_artifact(str(tmp_path / "out"), "dataset")
    assert opened.body["image"]["classes"] == ["0", "1"]
    assert opened.body["license"] == "CC-BY-4.0"
    np.testing.assert_array_equal(np.sort(np.load(opened.path / "train/x.npy"), axis=0)[0].reshape(-1), np.arange(16))


def test_captured_text_becomes_a_dataset(tmp_path: Path) -> None:
    desk = Desk(tmp_path, TALK)
    desk.spool.words("mail ada@example.org ", "now")
    desk.closed()
    report = prepare.run(a_task(desk, tmp_path, format="text"), a_pod())
    assert report.samples == 1


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"format": "images"}, Code.MISSING_INPUT, "no finished record"),
        ({"format": "music"}, Code.UNSUPPORTED, "format music"),
        ({"format": "images", "licenses": ["MIT"]}, Code.FORBIDDEN, "licence is CC-BY-4.0"),
    ],
)
def test_records_that_are_no_dataset_say_why(tmp_path: Path, fields: dict[str, Any], code: Code, says: str) -> None:
    desk = Desk(tmp_path)
    if "licenses" in fields:
        desk.spool.pictures()
    desk.closed()
    with pytest.raises(JobError, match=says) as caught:
        prepare.run(a_task(desk, tmp_path, **fields), a_pod())
    assert caught.value.code == code
