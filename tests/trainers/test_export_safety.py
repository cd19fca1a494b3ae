"""An ONNX file takes its weights from nowhere but plain files beside it."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.exporters._graph import refuse_foreign_data


def a_file(folder: Path, location: str) -> Path:
    """Write a model with one weight that is said to lie at `location`."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [y], [tensor])
    path = folder / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_the_library_is_new_enough_to_have_its_holes_mended() -> None:
    assert tuple(int(n) for n in onnx.__version__.split(".")[:2]) >= (1, 21)


def test_weights_beside_the_file_are_taken(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(16))
    refuse_foreign_data(a_file(tmp_path, "w.bin"))


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "sub/w.bin", "gone.bin"])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/w.bin").write_bytes(bytes(16))
    (tmp_path / "w.bin").write_bytes(bytes(16))
    with pytest.raises(JobError, match="not a plain file") as caught:
        refuse_foreign_data(a_file(folder, location))
    assert caught.value.code == Code.BAD_DATA


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_are_refused(tmp_path: Path, link: object) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    link(tmp_path / "secret", folder / "w.bin")  # type: ignore[operator]
    with pytest.raises(JobError, match=r"w\.bin"):
        refuse_foreign_data(a_file(folder, "w.bin"))
