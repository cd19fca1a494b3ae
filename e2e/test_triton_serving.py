"""A real Triton serves a real engine: what it answers, what it refuses, and how it starts and ends."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, serving
from tiny_engines import a_dataset, an_engine

from gencontract.codes import Code
from gencontract.report import Artifact
from gencontract.wire import last_progress
from gentrainers import artifact
from gentrainers.serving.backend import engine as engines
from gentrainers.serving.client import Client, difference

pytestmark = pytest.mark.xdist_group("triton")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("engine")
    rows = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
    return an_engine(folder, batch_sizes=[1, 8], dataset=a_dataset(folder / "data", rows))


@pytest.fixture(scope="module")
def server(built: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(built, tmp_path_factory.mktemp("served")) as served:
        yield served.wait_ready()


@pytest.fixture(scope="module")
def in_process(built: Artifact) -> engines.Engine:
    return engines.load(Path(built.uri) / "generator/1", threads=1)


def test_a_plain_json_request_gets_pixels(server: Served, in_process: engines.Engine) -> None:
    status, answer = server.infer(seed=[7], label=[3])
    sample = answer["outputs"][0]
    assert status == 200
    assert (sample["name"], sample["datatype"], sample["shape"]) == ("sample", "UINT8", [1, 8, 8, 1])
    expected = in_process.generate([7], {"label": np.array([3])})
    assert difference(np.array(sample["data"], np.uint8).reshape(1, 8, 8, 1), expected, levels=16) == ""


def test_a_batch_equals_the_engine_in_process(server: Served, in_process: engines.Engine) -> None:
    seeds = np.arange(100, 108, dtype=np.int64)
    labels = np.arange(8, dtype=np.int64)
    client = Client(f"{server.address}:{server.task.grpc_port}", "generator")
    got = client.generate(seeds.reshape(-1, 1), {"label": labels.reshape(-1, 1)})
    np.testing.assert_array_equal(got, in_process.generate(seeds.tolist(), {"label": labels}))


def test_a_seed_gives_the_same_sample_in_any_company(server: Served) -> None:
    """Requests that Triton puts together in batches of its own choice."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: server.infer(seed=[seed % 4])[1], range(48)))
    by_seed = [np.array([a["outputs"][0]["data"] for a in answers[s::4]], np.uint8) for s in range(4)]
    for same in by_seed:
        expected = np.repeat(same[:1], len(same), axis=0)
        assert difference(same, expected, levels=16) == ""


def test_a_condition_that_is_left_out_is_drawn_from_the_seed(server: Served) -> None:
    assert server.infer(seed=[5]) == server.infer(seed=[5])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "seed"),
        ([{"name": "seed", "shape": [1, 1], "datatype": "FP32", "data": [1.5]}], "seed"),
        ([{"name": "seed", "shape": [9, 1], "datatype": "INT64", "data": list(range(9))}], "batch"),
        ([{"name": "seed", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}], "seed"),
        (
            [
                {"name": "seed", "shape": [1, 1], "datatype": "INT64", "data": [1]},
                {"name": "label", "shape": [1, 1], "datatype": "INT64", "data": [10]},
            ],
            "'label': 10 is not in 0..9",
        ),
        (
            [
                {"name": "seed", "shape": [1, 1], "datatype": "INT64", "data": [1]},
                {"name": "colour", "shape": [1, 1], "datatype": "INT64", "data": [1]},
            ],
            "colour",
        ),
    ],
    ids=["no seed", "wrong type", "too many", "wrong shape", "no such class", "no such input"],
)
def test_wrong_inputs_are_told_what_is_wrong(server: Served, inputs: list[Any], says: str) -> None:
    status, text = server.post("/v2/models/generator/infer", {"inputs": inputs})
    assert 400 <= status < 500
    assert says in json.loads(text)["error"]
    assert server.ready()


def test_one_wrong_request_does_not_spoil_the_batch_it_is_in(server: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: server.infer(seed=[n], label=[n % 20]), range(40)))
    assert [status for status, _ in answers] == [200 if n % 20 < 10 else 400 for n in range(40)]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/generator/unload",
        "/v2/repository/models/generator/load",
        "/v2/systemsharedmemory/region/x/register",
        "/v2/cudasharedmemory/region/x/register",
        "/v2/trace/setting",
        "/v2/logging",
    ],
)
def test_control_is_closed(server: Served, path: str) -> None:
    assert server.post(path, {})[0] in (400, 403, 404, 405)
    assert server.infer(seed=[1])[0] == 200


def test_metrics_tell_of_requests_and_outputs_beside_their_reference(server: Served) -> None:
    answered = 'genops_requests_total{model="generator",outcome="answered",version="1"}'
    wrong = answered.replace("answered", "wrong")
    time.sleep(2.5)  # numbers of earlier tests are told once a second
    before = series(server)
    server.infer(seed=[1, 2, 3], label=[4, 4, 4])
    server.infer(seed=[1], label=[99])
    until = time.monotonic() + 20
    while (after := series(server))[answered] == before[answered] or after[wrong] == before[wrong]:
        assert time.monotonic() < until
        time.sleep(0.1)

    def rise(name: str) -> float:
        return after[name] - before[name]

    assert rise('genops_samples_total{model="generator",version="1"}') == 3
    assert rise(answered) == rise(wrong) == 1
    assert rise('genops_observed_bin_total{bin="4",feature="label",model="generator",of="input",version="1"}') == 3
    assert rise('genops_observed_count{feature="brightness",model="generator",of="output",version="1"}') == 3
    assert rise(
        'genops_observed_bucket{feature="brightness",le="+Inf",model="generator",of="output",version="1"}'
    ) == sum(rise(n) for n in after if n.startswith("genops_observed_bin_total{") and "brightness" in n)
    pairs = (
        ("genops_reference_bin{", "genops_observed_bin_total{"),
        ("genops_reference_bucket{", "genops_observed_bucket{"),
    )
    for known, live in pairs:
        expected = {n.split("{")[1] for n in after if n.startswith(live) and "label" not in n}
        assert {n.split("{")[1] for n in after if n.startswith(known)} == expected
        assert len(expected) > 20


def series(server: Served) -> dict[str, float]:
    status, text = server.get("/metrics", server.task.metrics_port)
    assert status == 200
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("genops_")]
    return {name: float(value) for name, value in lines}


def test_probes_answer_for_people_too(server: Served) -> None:
    assert server.get("/readyz", server.task.ready_port) == (200, "ok\n")
    assert server.get("/livez", server.task.ready_port) == (200, "ok\n")
    assert server.get("/", server.task.ready_port)[0] == 404


def test_the_log_tells_what_was_measured_after_loading(server: Served) -> None:
    progress = last_progress(server.log)
    assert progress is not None
    assert progress.stage == "ready"
    assert 0 < progress.metrics["p50Ms"] <= progress.metrics["p95Ms"]


def test_a_stop_under_load_fails_no_request(built: Artifact, tmp_path: Path) -> None:
    """Clients ask as long as the pod says ready, as a balancer would, while it is asked to stop."""
    statuses: list[int] = []
    with serving(built, tmp_path) as served:
        served.wait_ready()

        def ask() -> None:
            seed = 0
            while served.ready():
                seed += 1
                statuses.append(served.infer(seed=[seed])[0])

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        while len(statuses) < 40:
            time.sleep(0.01)
        assert served.stop() == Code.DONE
        for client in clients:
            client.join()
    assert set(statuses) == {200}
    assert served.report is not None
    assert served.report.verb == "serve"


def test_an_engine_that_was_changed_is_refused_and_named(built: Artifact, tmp_path: Path) -> None:
    changed = shutil.copytree(built.uri, tmp_path / "changed")
    file = Path(changed) / "generator/1/model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with serving(Artifact(uri=str(changed), digest=built.digest), tmp_path / "served") as served:
        assert served.wait_end() == Code.DIGEST_MISMATCH
    assert served.report is not None
    assert "generator/1/model.onnx" in served.report.message
    assert not Path(tmp_path / "served/log").read_text().count("loading")


def test_an_engine_that_answers_otherwise_never_becomes_ready(built: Artifact, tmp_path: Path) -> None:
    folder, opened = Path(tmp_path / "other"), artifact.open_artifact(built.uri, "engines")
    shutil.copytree(built.uri, folder)
    golden = folder / "generator/1/golden-sample.npy"
    np.save(golden, 255 - np.load(golden))
    digest = artifact.seal(folder, "engines", opened.body)
    with serving(Artifact(uri=str(folder), digest=digest), tmp_path / "served") as served:
        seen = [served.ready()]
        while served.process.poll() is None:
            seen.append(served.ready())
        assert served.wait_end() == Code.OUT_OF_TOLERANCE, served.log
    assert not any(seen)
    assert served.report is not None
    assert "first generation" in served.report.message


def test_a_model_that_cannot_be_loaded_ends_with_tritons_words(built: Artifact, tmp_path: Path) -> None:
    folder, opened = Path(tmp_path / "broken"), artifact.open_artifact(built.uri, "engines")
    shutil.copytree(built.uri, folder)
    (folder / "generator/1/model.onnx").write_bytes(b"not a model")
    digest = artifact.seal(folder, "engines", opened.body)
    with serving(Artifact(uri=str(folder), digest=digest), tmp_path / "served") as served:
        assert served.wait_end() == Code.BAD_DATA
    assert served.report is not None
    assert "generator" in served.report.message


def test_a_stop_while_loading_ends_at_once(built: Artifact, tmp_path: Path) -> None:
    with serving(built, tmp_path) as served:
        while "loading" not in served.log:
            assert served.process.poll() is None
            time.sleep(0.01)
        assert served.stop() in (Code.PREEMPTED, Code.DONE)
