"""Optimize builds what it can, says why it could not, never builds twice, and chooses by what was asked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_engines import a_dataset, a_model, a_pod, a_task

from gencontract.codes import Code
from gencontract.report import EngineReport
from gencontract.task import Input, Tolerance
from gentrainers.artifact import open_artifact
from gentrainers.errors import JobError
from gentrainers.exporters._attempt import Candidate, attempt, engine_key
from gentrainers.exporters._subject import open_subject
from gentrainers.jobs import optimize
from gentrainers.serving.backend import engine as engines


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("optimize")


@pytest.fixture(scope="module")
def subject(home: Path) -> Input:
    return a_model(home / "model")


@pytest.fixture(scope="module")
def first(home: Path, subject: Input) -> Any:
    """One run with a target that cannot be built here, and two that can."""
    return optimize.run(a_task(home, model=subject, targets=["tensorrt", "onnx", "torchscript"]), a_pod())


def test_the_report_tells_of_every_target(first: Any) -> None:
    rows = {e.target: e for e in first.engines}
    assert list(rows) == ["tensorrt", "onnx", "torchscript"]
    assert "tensorrt" in rows["tensorrt"].reason
    assert "tensorrt was not" in first.message
    assert sum(e.chosen for e in first.engines) == 1
    for target in ("onnx", "torchscript"):
        assert rows[target].max_abs_error < 1e-3
        assert 0 < rows[target].p50_ms <= rows[target].p95_ms
        assert rows[target].throughput > 0


def test_the_artifact_is_a_triton_repository(first: Any) -> None:
    opened = open_artifact(first.artifact.uri, "engines", first.artifact.digest)
    home = opened.path / "generator"
    assert 'backend: "python"' in (home / "config.pbtxt").read_text()
    assert (home / "1/model.py").exists()
    assert opened.body["chosen"] == next(e.target for e in first.engines if e.chosen)


def test_the_golden_generation_is_what_the_engine_answers(first: Any) -> None:
    home = Path(first.artifact.uri) / "generator/1"
    engine = engines.load(home, threads=1)
    seeds, samples = (np.load(home / f"golden-{n}.npy") for n in ("seed", "sample"))
    np.testing.assert_array_equal(engine.generate(seeds.reshape(-1)), samples)
    assert samples.std() > 10


def test_the_same_key_is_never_built_twice(first: Any, home: Path, subject: Input) -> None:
    again = optimize.run(a_task(home, model=subject, output=str(home / "again")), a_pod())
    assert again.engines[0].cached
    assert again.engines[0].key == next(e.key for e in first.engines if e.target == "onnx")


def test_a_damaged_cache_entry_is_built_again(home: Path, subject: Input) -> None:
    task = a_task(home, model=subject, targets=["torchscript"], cache=str(home / "torn"), output=str(home / "out"))
    key = optimize.run(task, a_pod()).engines[0].key
    victim = home / "torn" / key / "model.pt"
    victim.write_bytes(victim.read_bytes()[:-1] + b"?")
    assert not optimize.run(task, a_pod()).engines[0].cached
    assert optimize.run(task, a_pod()).engines[0].cached


@pytest.mark.parametrize(
    "change",
    [{"precision": "bf16"}, {"batch_sizes": [1, 2]}, {"hardware": "sm_89"}],
    ids=["precision", "shapes", "hardware"],
)
def test_a_key_names_everything_that_matters(home: Path, subject: Input, change: dict[str, Any]) -> None:
    assert key_of(home, model=subject) != key_of(home, model=subject, **change)


def test_a_key_does_not_name_what_is_the_same(home: Path, subject: Input) -> None:
    assert key_of(home, model=subject) == key_of(home, model=subject, output="elsewhere", objective="throughput")


def test_other_weights_have_another_key(home: Path, subject: Input) -> None:
    assert key_of(home, model=subject) != key_of(home, model=a_model(home / "other", seed=1))


def key_of(home: Path, **fields: Any) -> str:
    from gentrainers import exporters

    task = a_task(home, **fields)
    return engine_key(open_subject(task, home / "keys"), exporters.exporter("onnx"))


def test_out_of_tolerance_falls_back_or_ends(home: Path, subject: Input) -> None:
    strict = Tolerance(atol=0, rtol=0)
    fields: dict[str, Any] = {"model": subject, "tolerance": strict, "precision": "bf16", "targets": ["torchscript"]}
    with pytest.raises(JobError, match="torchscript: answers differ") as caught:
        optimize.run(a_task(home, fallback=False, **fields), a_pod())
    assert caught.value.code == Code.OUT_OF_TOLERANCE


def test_a_runtime_that_cannot_be_built_ends_without_fallback(home: Path, subject: Input) -> None:
    with pytest.raises(JobError, match=r"tensorrt: .*set fallback") as caught:
        optimize.run(a_task(home, model=subject, targets=["tensorrt", "onnx"], fallback=False), a_pod())
    assert caught.value.code == Code.NO_ENGINE
    assert not (home / "none").exists()


def test_a_precision_that_a_runtime_lacks_is_its_reason(home: Path, subject: Input) -> None:
    candidate = attempt(open_subject(a_task(home, model=subject, precision="int8"), home / "p"), "tvm", home / "tvm")
    assert candidate.report.reason == "tvm has fp32, not int8"


def test_an_engine_that_is_built_for_elsewhere_is_never_chosen(home: Path, subject: Input) -> None:
    report = optimize.run(
        a_task(home, model=subject, targets=["tensorrt-rtx", "onnx"], output=str(home / "rtx")), a_pod()
    )
    rtx, onnx = report.engines
    assert onnx.chosen
    assert not rtx.chosen
    assert rtx.reason


def test_quality_is_compared_with_the_models_own(home: Path, subject: Input) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
    data = a_dataset(home / "data", rows)
    report = optimize.run(a_task(home, model=subject, dataset=data, output=str(home / "judged")), a_pod())
    spec = json.loads((home / "judged/generator/1/engine.json").read_text())
    assert report.engines[0].quality > 0
    known = spec["reference"]["brightness"]
    assert len(known["le"]) + 1 == len(known["counts"])
    assert sum(known["counts"]) == spec["reference"]["samples"]


def test_the_objective_decides() -> None:
    quick = Candidate(EngineReport(target="onnx", p50_ms=1, throughput=10), engine=object())  # type: ignore[arg-type]
    broad = Candidate(EngineReport(target="tvm", p50_ms=2, throughput=90), engine=object())  # type: ignore[arg-type]
    task = a_task(Path("."), model=Input(uri="m"))
    assert optimize.choose(task, [quick, broad]) is quick
    assert optimize.choose(task.model_copy(update={"objective": "throughput"}), [quick, broad]) is broad


def test_where_none_can_be_used_each_target_says_why() -> None:
    task = a_task(Path("."), model=Input(uri="m"))
    bad = [
        Candidate(EngineReport(target="onnx")).failed("differs", Code.OUT_OF_TOLERANCE),
        Candidate(EngineReport(target="tvm")).failed("not installed"),
    ]
    with pytest.raises(JobError, match="onnx: differs; tvm: not installed") as caught:
        optimize.choose(task, bad)
    assert caught.value.code == Code.OUT_OF_TOLERANCE


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"server": {"instances": 0}}, "server: instances"),
        ({"server": {"instance": 1}}, "server: instance"),
        ({"hardware": "big"}, "hardware: 'big'"),
        ({"batch_sizes": [0, 4]}, "batchSizes"),
        ({"batch_sizes": []}, "batchSizes"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(JobError, match=says) as caught:
        optimize.run(a_task(Path("."), model=Input(uri="m"), **fields), a_pod())
    assert caught.value.code == Code.BAD_CONFIG


def test_a_model_that_was_changed_is_refused(home: Path) -> None:
    subject = a_model(home / "tampered")
    weights = home / "tampered/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(JobError, match=r"weights\.safetensors") as caught:
        optimize.run(a_task(home, model=subject), a_pod())
    assert caught.value.code == Code.DIGEST_MISMATCH


def test_a_dataset_of_other_things_is_refused(home: Path, subject: Input) -> None:
    other = a_dataset(home / "wider", np.zeros((4, 12, 8, 1), np.uint8))
    with pytest.raises(JobError, match="holds height 12, the model makes height 8") as caught:
        optimize.run(a_task(home, model=subject, dataset=other), a_pod())
    assert caught.value.code == Code.BAD_CONFIG


@pytest.mark.parametrize("fields", [{"model_name": "../x"}, {"tolerance": {"atol": float("nan")}}])
def test_a_task_that_could_do_harm_is_no_task(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_task(Path("."), model=Input(uri="m"), **fields)
