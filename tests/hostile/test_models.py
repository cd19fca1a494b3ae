"""Files that pretend to be weights, arrays or graphs: whatever is in them, nothing of it runs and no file elsewhere is read.

Each is put into an artifact whose digests are right, as somebody could who may write to the store.
"""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from trainer_worlds import IMAGES, write_dataset

from gencontract.codes import Code
from gentrainers import artifact, model
from gentrainers.data import open_dataset
from gentrainers.errors import JobError
from gentrainers.exporters._graph import refuse_foreign_data
from gentrainers.families import configure, family

SENTINEL = "GENOPS_HOSTILE_SENTINEL"


class Touch:
    """An object that writes the sentinel when it is unpickled, by one of several ways in."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.how = (call, arguments)

    def __reduce__(self) -> Any:
        return self.how


def payloads() -> dict[str, Touch]:
    """Pickles that scanners were shown to miss, and plain ones. Each would create the file that the sentinel names."""
    target = os.environ[SENTINEL]
    code = f"open({target!r}, 'w').close()"
    return {
        "os.system": Touch(os.system, f"touch {target}"),
        "exec": Touch(exec, code),
        "eval": Touch(eval, f"open({target!r}, 'w').close()"),
        "open": Touch(open, target, "w"),
        "mknod": Touch(os.mknod, target),
        "subprocess": Touch(__import__("subprocess").call, ["touch", target]),
    }


@pytest.fixture
def sentinel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "it-ran"
    monkeypatch.setenv(SENTINEL, str(path))
    return path


def pickled(name: str, protocol: int) -> bytes:
    return pickle.dumps(payloads()[name], protocol=protocol)


def torch_zip(name: str) -> bytes:
    out = io.BytesIO()
    torch.save({"model.w": payloads()[name]}, out)
    return out.getvalue()


def torch_old(name: str) -> bytes:
    out = io.BytesIO()
    torch.save({"model.w": payloads()[name]}, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with a header of our own making."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], at: list[int], kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": at}


WEIGHTS: dict[str, Callable[[], bytes]] = {
    **{f"pickle of {n}, protocol {p}": lambda n=n, p=p: pickled(n, p) for n in ("os.system", "exec", "eval") for p in (0, 2, 5)},
    **{f"torch zip of {n}": lambda n=n: torch_zip(n) for n in ("os.system", "open", "mknod", "subprocess")},
    **{f"old torch file of {n}": lambda n=n: torch_old(n) for n in ("os.system", "eval")},
    "empty": lambda: b"",
    "seven bytes": lambda: b"\0" * 7,
    "no header": lambda: struct.pack("<Q", 0),
    "header of 2**63 bytes": lambda: tensors({}, length=2**63),
    "header of 100 MB that is not there": lambda: tensors({}, length=100_000_000),
    "header is no JSON": lambda: tensors(b"{'a': 1}"),
    "header is deep": lambda: tensors(b"[" * 100_000),
    "header is a list": lambda: tensors([1, 2]),
    "unknown type": lambda: tensors({"a": entry([1], [0, 4], "PICKLE")}, b"\0" * 4),
    "offsets beyond the file": lambda: tensors({"a": entry([1 << 20], [0, 1 << 22])}, b"\0" * 4),
    "offsets that overlap": lambda: tensors({"a": entry([1], [0, 4]), "b": entry([1], [0, 4])}, b"\0" * 4),
    "offsets that leave a hole": lambda: tensors({"a": entry([1], [4, 8])}, b"\0" * 8),
    "negative offsets": lambda: tensors({"a": entry([1], [-4, 0])}, b"\0" * 4),
    "size that overflows": lambda: tensors({"a": entry([2**32, 2**32], [0, 0])}),
    "another shape": lambda: tensors({"model.w": entry([1], [0, 4])}, b"\0" * 4),
    "zip archive": lambda: zipped("archive/data.pkl"),
    "ELF": lambda: b"\x7fELF" + b"\0" * 100,
    "shell": lambda: b"#!/bin/sh\ntouch $GENOPS_HOSTILE_SENTINEL\n",
}  # fmt: skip


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, pickled("exec", 2))
    return out.getvalue()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that opens."""
    place = tmp_path_factory.mktemp("honest") / "model"
    kind = family("flow")
    config = configure(kind, "xs", {"width": 8, "depth": 1})
    body = {"family": "flow", "size": "xs", "config": {"width": 8, "depth": 1}, "data": vars(IMAGES)}
    with artifact.writing(str(place), "model", body) as folder:
        model.save(folder, kind(config, IMAGES).build(), [])
    assert model.load(str(place)).family == "flow"
    return place


def forged(source: Path, place: Path, name: str, data: bytes) -> str:
    """Copy an artifact, put other bytes in the place of a file, and seal it anew, so that every digest is right."""
    shutil.copytree(source, place)
    manifest = json.loads((place / "manifest.json").read_bytes())
    (place / name).write_bytes(data)
    (place / "manifest.json").unlink()
    artifact.seal(place, manifest["kind"], manifest["body"])
    return str(place)


@pytest.mark.parametrize("make", WEIGHTS.values(), ids=WEIGHTS)
def test_what_pretends_to_be_weights_is_refused_and_never_run(
    make: Callable[[], bytes], honest: Path, tmp_path: Path, sentinel: Path
) -> None:
    uri = forged(honest, tmp_path / "model", model.WEIGHTS, make())
    with pytest.raises(JobError) as caught:
        model.load(uri)
    assert caught.value.code in (Code.BAD_DATA, Code.WRONG_CHECKPOINT)
    assert model.WEIGHTS in str(caught.value)
    assert not sentinel.exists()


@pytest.mark.parametrize("name", ["os.system", "exec", "eval", "open", "mknod", "subprocess"])
def test_the_payloads_would_have_run(name: str, sentinel: Path) -> None:
    """The corpus is worth something: an ordinary loader falls for it."""
    pickle.loads(pickled(name, 2))  # noqa: S301
    assert sentinel.exists()


def npy(header: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    size = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + size + header + data


def objects(name: str) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([payloads()[name]], dtype=object), allow_pickle=True)
    return out.getvalue()


ARRAYS: dict[str, Callable[[], bytes]] = {
    "objects that run os.system": lambda: objects("os.system"),
    "objects that run exec": lambda: objects("exec"),
    "a bare pickle": lambda: pickled("os.system", 2),
    "a torch file": lambda: torch_zip("os.system"),
    "a header that is code": lambda: npy(b"__import__('os').mknod('x')" + b" " * 60 + b"\n"),
    "a header that never ends": lambda: npy(b"(" * 9000),
    "a header of 4 GiB": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "a shape beyond the file": lambda: npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }\n"),
    "a negative shape": lambda: npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", b"\0" * 8),
    "a type that is an object": lambda: npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", pickled("exec", 2)),
    "an archive of arrays": lambda: zipped("x.npy"),
    "nothing": lambda: b"",
}  # fmt: skip


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_what_pretends_to_be_an_array_is_refused_and_never_run(
    make: Callable[[], bytes], tmp_path: Path, sentinel: Path
) -> None:
    write_dataset(tmp_path / "honest", IMAGES, n=8)
    uri = forged(tmp_path / "honest", tmp_path / "data", "train/x.npy", make())
    with pytest.raises(JobError, match=r"train/x\.npy") as caught:
        _ = open_dataset(uri).split("train").arrays["x"]
    assert caught.value.code is Code.BAD_DATA
    assert not sentinel.exists()


def external(location: str) -> TensorProto:
    """A tensor that says its bytes lie in a file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def graph(*nodes: onnx.NodeProto, weights: list[TensorProto] | None = None) -> onnx.GraphProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph(list(nodes), "g", [], [y], weights or [])


def in_initializer(t: TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph(helper.make_node("Identity", ["w"], ["y"]), weights=[t]))


def in_constant(t: TensorProto) -> onnx.ModelProto:
    return helper.make_model(graph(helper.make_node("Constant", [], ["y"], value=t)))


def in_branch(t: TensorProto) -> onnx.ModelProto:
    inner = graph(helper.make_node("Identity", ["w"], ["y"]), weights=[t])
    return helper.make_model(graph(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)))


def in_function(t: TensorProto) -> onnx.ModelProto:
    made = helper.make_model(graph(helper.make_node("F", [], ["y"], domain="d")))
    constant = helper.make_node("Constant", [], ["y"], value=t)
    made.functions.append(helper.make_function("d", "F", [], ["y"], [constant], [helper.make_opsetid("", 18)]))
    return made


def in_sparse(t: TensorProto) -> onnx.ModelProto:
    made = helper.make_model(graph(helper.make_node("Identity", ["w"], ["y"])))
    made.graph.sparse_initializer.add(values=t, indices=t, dims=[4])
    return made


PLACES = {f.__name__: f for f in (in_initializer, in_constant, in_branch, in_function, in_sparse)}
LOCATIONS = [
    "/etc/passwd",
    "../secret",
    "sub/../../secret",
    "sub/w.bin",
    "./w.bin",
    "file:///etc/passwd",
    "",
    ".",
    "..",
    "gone",
]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_graph_takes_bytes_from_nowhere_else(
    place: Callable[[TensorProto], onnx.ModelProto], location: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for file in (tmp_path / "secret", folder / "w.bin", folder / "sub/w.bin"):
        file.write_bytes(bytes(16))
    path = folder / "model.onnx"
    path.write_bytes(place(external(location)).SerializeToString())
    with pytest.raises(JobError, match="not a plain file beside it") as caught:
        refuse_foreign_data(path)
    assert caught.value.code is Code.BAD_DATA


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_graph_may_keep_bytes_beside_itself(place: Callable[[TensorProto], onnx.ModelProto], tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = tmp_path / "model.onnx"
    path.write_bytes(place(external("w.bin")).SerializeToString())
    refuse_foreign_data(path)


def test_there_are_enough_hostile_files() -> None:
    assert len(WEIGHTS) + len(ARRAYS) + len(PLACES) * len(LOCATIONS) >= 30
