"""A real Triton whose traffic is recorded: what reaches the store, and what it costs those who ask."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from operators import until
from served import Served, serving
from tiny_engines import an_engine

from gencontract.codes import Code
from gencontract.report import Artifact
from gencontract.task import Capture
from gentrainers import captured

pytestmark = pytest.mark.xdist_group("triton")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return an_engine(tmp_path_factory.mktemp("engine"), batch_sizes=[1, 8])


def counted(served: Served) -> dict[str, float]:
    """Samples to record, by what became of them."""
    _, text = served.get("/metrics", served.task.metrics_port)
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("genops_captured_total"))
    return {name.split('outcome="')[1].split('"')[0]: float(value) for name, value in lines}


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def recording(built: Artifact, store: str, tmp_path: Path) -> Iterator[Served]:
    task = Capture(uri=store, rate=1, per_minute=20, rotate_seconds=1)
    with serving(built, tmp_path / "served", capture=task) as served:
        yield served.wait_ready()


def rows(store: str) -> list[tuple[int, int, object]]:
    """Read all records: seed, class, class that was asked for."""
    found = [row for r in captured.records(store) for row in captured.read(store, r).rows]
    return sorted((row["seed"], row["label"], row.get("asked")) for row in found)


def test_what_was_served_stands_in_the_store_and_what_is_over_the_rate_does_not(
    recording: Served, store: str, built: Artifact
) -> None:
    answers = {seed: recording.infer(seed=[seed], label=[seed % 10])[1] for seed in range(100, 120)}
    recording.infer(seed=[7])
    until(lambda: len(rows(store)) == 20, 20, lambda: f"20 rows: {rows(store)}")
    until(lambda: counted(recording)["limited"] == 1, 20, lambda: f"1 over the rate: {counted(recording)}")
    assert recording.stop() == Code.DONE
    assert rows(store) == [(seed, seed % 10, seed % 10) for seed in range(100, 120)]
    for record in captured.records(store):
        assert record.engine == captured.short(built.digest)
        read = captured.read(store, record)
        assert read.samples is not None
        for row, sample in zip(read.rows, read.samples, strict=True):
            assert sample.reshape(-1).tolist() == answers[row["seed"]]["outputs"][0]["data"]


def test_a_stop_loses_no_record(recording: Served, store: str) -> None:
    recording.infer(seed=[1], label=[3])
    recording.infer(seed=[2])
    assert recording.stop() == Code.DONE
    found = rows(store)
    assert [(seed, asked) for seed, _, asked in found] == [(1, 3), (2, None)]
    assert 0 <= found[1][1] < 10


def test_a_store_that_is_gone_fails_no_request(built: Artifact, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    task = Capture(uri=str(tmp_path / "store"), rate=1, rotate_seconds=1)
    with serving(built, tmp_path / "served", capture=task) as served:
        served.wait_ready()
        assert {served.infer(seed=[n])[0] for n in range(30)} == {200}
        until(lambda: "records wait for the store" in served.log, 20, "the trouble to be said")
        assert served.ready()
        assert served.stop() == Code.DONE


def test_without_capture_nothing_is_kept(built: Artifact, tmp_path: Path) -> None:
    with serving(built, tmp_path / "served") as served:
        served.wait_ready()
        served.infer(seed=[1])
        time.sleep(2)  # numbers are told once a second
        assert set(counted(served).values()) == {0.0}
