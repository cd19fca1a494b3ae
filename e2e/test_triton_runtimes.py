"""Triton serves engines of every runtime, by a back end of its own where it has one."""

import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from served import PYTHON, serving
from tiny_engines import an_engine

from gentrainers.serving.backend import engine as engines
from gentrainers.serving.client import Client, difference

pytestmark = pytest.mark.xdist_group("triton")

WHEEL = PYTHON.parent.parent / "lib/python{}.{}/site-packages".format(*sys.version_info[:2])

# A back end named `onnxruntime`, in Python: Triton takes such a file in place of a library. It stands in for the one in
# NVIDIA's image, which the wheel lacks, and shows that the friendly model finds the bare one behind it.
ONNXRUNTIME = """
import json, pathlib
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        folder = pathlib.Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(str(folder / config["default_model_filename"]))
        self.scalars = {i["name"] for i in config["input"] if "reshape" in i}

    def execute(self, requests):
        return [self.answer(r) for r in requests]

    def answer(self, request):
        feeds = {t.name(): t.as_numpy() for t in request.inputs()}
        feeds = {n: x.reshape(-1) if n in self.scalars else x for n, x in feeds.items()}
        names = [o.name for o in self.session.get_outputs()]
        outputs = self.session.run(names, feeds)
        tensors = [pb_utils.Tensor(n, y) for n, y in zip(names, outputs)]
        return pb_utils.InferenceResponse(output_tensors=tensors)
"""


def an_image(folder: Path) -> Path:
    """Lay a server out as NVIDIA's image does, with a back end `onnxruntime`; return its folder of programs."""
    triton = WHEEL / "pytriton/tritonserver"
    for name in ("bin", "backends/python", "backends/onnxruntime"):
        (folder / name).mkdir(parents=True)
    for file in (triton / "backends/python").iterdir():
        shutil.copy(file, folder / "backends/python")
    stub = triton / "python_backend_stubs" / "{}.{}".format(*sys.version_info[:2]) / "triton_python_backend_stub"
    shutil.copy(stub, folder / "backends/python")
    (folder / "backends/onnxruntime/model.py").write_text(ONNXRUNTIME)
    program = folder / "bin/tritonserver"
    libraries = WHEEL / "nvidia_pytriton.libs"
    program.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {triton}/bin/tritonserver "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder / "bin"


def test_a_native_back_end_is_taken_where_the_server_has_it(tmp_path: Path) -> None:
    built = an_engine(tmp_path)
    path = f"{an_image(tmp_path / 'image')}:/usr/bin:/bin"
    with serving(built, tmp_path / "served", {"PATH": path}) as served:
        served.wait_ready()
        status, answer = served.infer(seed=[7, 8], label=[1, 2])
        assert served.get("/v2/models/generator_engine/ready")[0] == 200
    got = np.array(answer["outputs"][0]["data"], np.uint8).reshape(2, 8, 8, 1)
    engine = engines.load(Path(built.uri) / "generator/1", threads=1)
    assert status == 200
    assert difference(got, engine.generate([7, 8], {"label": np.array([1, 2])}), levels=16) == ""


@pytest.mark.parametrize("runtime", ["torchscript", "tvm", pytest.param("torch", marks=pytest.mark.slow)])
def test_an_engine_is_served_by_the_python_back_end(runtime: str, tmp_path: Path) -> None:
    if runtime == "tvm" and not list(WHEEL.glob("apache_tvm-*")):
        pytest.skip("the server's environment has no apache-tvm")
    built = an_engine(tmp_path, targets=[runtime], fallback=False)
    with serving(built, tmp_path / "served") as served:
        served.wait_ready()
        client = Client(f"{served.address}:{served.task.grpc_port}", "generator")
        got = client.generate(np.array([[3], [4]], dtype=np.int64))
    engine = engines.load(Path(built.uri) / "generator/1", threads=1)
    assert difference(got, engine.generate([3, 4]), levels=16) == ""
