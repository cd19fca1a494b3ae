"""The model repository says what the engine is, and Triton's words are spelled right."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from gencontract.codes import Code
from gentrainers import artifact
from gentrainers.errors import JobError
from gentrainers.serving import assemble, config, repository
from gentrainers.serving.config import Enum, Port
from gentrainers.serving.repository import Served

SPEC: dict[str, Any] = {
    "inputs": [
        {"name": "noise", "dtype": "float32", "shape": [-1, 1, 8, 8], "draw": "normal", "high": 0},
        {"name": "label", "dtype": "int64", "shape": [-1], "draw": "label", "high": 10},
    ],
    "outputs": [{"name": "image", "dtype": "float32", "shape": [-1, 1, 8, 8], "draw": "", "high": 0}],
    "sample": {"format": "images", "levels": 16, "shape": [8, 8, 1], "dtype": "uint8"},
    "runtime": "onnx",
    "native": {"backend": "onnxruntime", "inputs": ["noise", "label"], "outputs": ["image"]},
}


def a_served(folder: Path, native: str | None = "onnxruntime", **server: Any) -> Served:
    (folder / "engine").mkdir(parents=True)
    (folder / "engine/model.onnx").write_text("onnx")
    (folder / "engine/manifest.json").write_text("{}")
    dials = repository.dials(server)
    return Served("generator", 3, folder / "engine", SPEC, native, "model.onnx", 16, dials)


def fields(text: str, name: str) -> list[str]:
    return re.findall(rf"^\s*{name}: (.*)$", text, re.MULTILINE)


def test_text_format_quotes_strings_and_not_words() -> None:
    assert config.text({"name": 'a"b', "kind": Enum("KIND_GPU"), "yes": True}) == (
        'name: "a\\"b"\nkind: KIND_GPU\nyes: true\n'
    )


def test_the_friendly_model_takes_a_seed_and_a_condition(tmp_path: Path) -> None:
    repository.write(tmp_path / "out", a_served(tmp_path, instances=2))
    text = (tmp_path / "out/generator/config.pbtxt").read_text()
    assert fields(text, "name")[:4] == ['"generator"', '"seed"', '"label"', '"sample"']
    assert fields(text, "data_type")[:3] == ["TYPE_INT64", "TYPE_INT64", "TYPE_UINT8"]
    assert fields(text, "dims")[:3] == ["[1]", "[1]", "[8, 8, 1]"]
    assert fields(text, "optional") == ["true"]
    assert fields(text, "max_batch_size") == ["16"]
    assert fields(text, "count") == ["2"]
    assert fields(text, "batch_size") == ["1", "16"]
    assert "dynamic_batching {" in text


def test_the_bare_engine_is_what_its_own_back_end_wants(tmp_path: Path) -> None:
    repository.write(tmp_path / "out", a_served(tmp_path))
    text = (tmp_path / "out/generator/native.pbtxt").read_text()
    assert fields(text, "name")[:4] == ['"generator_engine"', '"noise"', '"label"', '"image"']
    assert fields(text, "backend") == ['"onnxruntime"']
    assert fields(text, "default_model_filename") == ['"model.onnx"']
    assert fields(text, "shape") == ["[]"]  # one label per sample has no dimension inside the model


def test_pytorch_goes_by_numbers_behind_underscores() -> None:
    inputs, outputs = repository.native_ports(SPEC, "pytorch")
    assert [p.name for p in [*inputs, *outputs]] == ["noise__0", "label__1", "image__0"]


@pytest.mark.parametrize(
    ("given", "says"),
    [(True, "dynamic_batching {"), ({"preferredBatchSizes": [4, 8]}, "preferred_batch_size: [4, 8]")],
)
def test_requests_are_put_together_as_asked(tmp_path: Path, given: Any, says: str) -> None:
    repository.write(tmp_path / "out", a_served(tmp_path, dynamicBatching=given))
    assert says in (tmp_path / "out/generator/config.pbtxt").read_text()


def test_requests_are_not_put_together_when_that_is_off(tmp_path: Path) -> None:
    repository.write(tmp_path / "out", a_served(tmp_path, dynamicBatching=False))
    assert "dynamic_batching" not in (tmp_path / "out/generator/config.pbtxt").read_text()


@pytest.mark.parametrize("draw", ["caption", "prompt"])
def test_text_conditions_may_be_left_out(draw: str) -> None:
    (port,) = repository.conditions([{"name": draw, "draw": draw}])
    assert port == Port(draw, "BYTES" if draw == "caption" else "INT64", (1,) if draw == "caption" else (-1,), True)


def test_what_runs_in_triton_imports_nothing_of_ours() -> None:
    """It is copied into the repository, where gentrainers need not be."""
    for path in repository.BACKEND.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [n for n in names if n.startswith(("gen", "pydantic"))], path


def an_artifact(tmp_path: Path) -> artifact.Opened:
    with artifact.writing(str(tmp_path / "sealed"), "engines", {"model": "generator", "version": 3}) as folder:
        repository.write(folder, a_served(tmp_path))
    return artifact.open_artifact(str(tmp_path / "sealed"), "engines")


def test_a_server_without_the_back_end_runs_the_engine_in_python(tmp_path: Path) -> None:
    laid = assemble.lay(an_artifact(tmp_path), {"python"}, tmp_path / "scratch")
    assert laid.native is None
    assert [p.name for p in laid.path.iterdir()] == ["generator"]
    version = laid.path / "generator/3"
    assert (version / "model.onnx").resolve() == (laid.home / "model.onnx").resolve()
    assert 'name: "generator"' in (laid.path / "generator/config.pbtxt").read_text()


@pytest.mark.parametrize("backends", [{"python"}, {"python", "onnxruntime"}])
def test_byte_code_beside_what_is_served_never_gets_into_the_artifact(tmp_path: Path, backends: set[str]) -> None:
    """Triton's Python writes it whatever its environment says, and a file that is not listed is refused."""
    opened = an_artifact(tmp_path)
    laid = assemble.lay(opened, backends, tmp_path / "scratch")
    for folder in ("generator/3", "generator/3/genops_backend", "generator/3/genops_backend/runners"):
        (laid.path / folder / "__pycache__").mkdir()
        (laid.path / folder / "__pycache__/x.pyc").write_bytes(b"code")
    assert artifact.open_artifact(str(opened.path), "engines").digest == opened.digest


def test_a_server_with_the_back_end_gets_two_models(tmp_path: Path) -> None:
    laid = assemble.lay(an_artifact(tmp_path), {"python", "onnxruntime"}, tmp_path / "scratch")
    assert laid.native == "onnxruntime"
    assert sorted(p.name for p in laid.path.iterdir()) == ["generator", "generator_engine"]
    assert 'string_value: "generator_engine"' in (laid.path / "generator/config.pbtxt").read_text()
    assert (laid.path / "generator_engine/3/model.onnx").read_text() == "onnx"


def test_an_artifact_without_its_engine_is_refused(tmp_path: Path) -> None:
    with artifact.writing(str(tmp_path / "empty"), "engines", {"model": "generator", "version": 1}) as folder:
        (folder / "note").write_text("nothing here")
    opened = artifact.open_artifact(str(tmp_path / "empty"), "engines")
    with pytest.raises(JobError, match=r"generator/1/engine\.json") as caught:
        assemble.lay(opened, {"python"}, tmp_path)
    assert caught.value.code == Code.BAD_DATA
