"""What a training run refuses before it starts: places it would spoil, data that is not what it says, wrong shapes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainer_worlds import IMAGES, PICTURES, ROWS, TEXT, a_pod, a_task, write_dataset

from gencontract.codes import Code
from gencontract.task import Checkpointing, Input
from gentrainers import artifact
from gentrainers.artifact import open_artifact
from gentrainers.dist import World
from gentrainers.errors import JobError
from gentrainers.families import DataShape
from gentrainers.jobs import train
from gentrainers.nets.unet import Unet

SMALL = {"steps": 2, "batch": 8, "width": 32, "depth": 1, "warmup": 0}


def refused(folder: Path, code: Code, says: str, **changes: Any) -> None:
    """Train, and see one clear error and nothing that looks finished."""
    task = a_task(folder, **{"hyperparameters": SMALL, **changes})
    with pytest.raises(JobError, match=says) as caught:
        train.run(task, a_pod())
    assert caught.value.code == code
    assert not (folder / "model").exists()


# --- places


def test_an_artifact_of_another_kind_is_never_replaced(tmp_path: Path) -> None:
    """A run whose output is its own dataset would destroy what it was made of."""
    write_dataset(tmp_path / "data", IMAGES)
    before = artifact.digest_of(str(tmp_path / "data"))
    refused(tmp_path, Code.BAD_CONFIG, "holds a dataset, which a model would replace", output=str(tmp_path / "data"))
    assert open_artifact(str(tmp_path / "data"), "dataset").digest == before


def test_a_folder_of_somebody_s_files_is_never_replaced(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", IMAGES)
    mine = tmp_path / "home" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("years of work")
    refused(tmp_path, Code.BAD_CONFIG, "holds a folder with thesis.txt in it", output=str(mine.parent))
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize("manifest", ["{", "[]", '{"kind": "dataset"}'])
def test_an_artifact_is_written_over_its_own_kind_only(manifest: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    with artifact.writing(str(place), "model", {}) as folder:
        (folder / "x").write_text("1")
    with artifact.writing(str(place), "model", {}) as folder:
        (folder / "x").write_text("2")
    assert (place / "x").read_text() == "2"
    (place / "manifest.json").write_text(manifest)
    with pytest.raises(JobError, match="which a model would replace"), artifact.writing(str(place), "model", {}):
        pass
    assert (place / "x").read_text() == "2"


def test_stores_far_away_are_looked_at_too() -> None:
    with artifact.writing("memory://refusals/data", "dataset", {}) as folder:
        (folder / "x").write_text("1")
    with (
        pytest.raises(JobError, match="holds a dataset, which a model"),
        artifact.writing("memory://refusals/data", "model", {}),
    ):
        pass


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", IMAGES)
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "x")
    refused(tmp_path, Code.BAD_CONFIG, r"/file is a file where a folder is needed", output=below)
    refused(tmp_path, Code.BAD_CONFIG, r"/file is a file where a folder is needed", checkpoint=Checkpointing(uri=below))
    refused(tmp_path, Code.MISSING_INPUT, r"file/x has no manifest", dataset=Input(uri=below))


# --- data


Spoil = Callable[[Path, dict[str, Any]], object]


def replaced(name: str, values: Any) -> Spoil:
    return lambda folder, body: np.save(folder / "train" / f"{name}.npy", values)


def column(index: int, value: float) -> Spoil:
    def spoil(folder: Path, body: dict[str, Any]) -> None:
        x = np.load(folder / "train" / "x.npy")
        x[:, index] = value
        np.save(folder / "train" / "x.npy", x)

    return spoil


SPOILT: dict[str, tuple[DataShape, Spoil, str]] = {
    "pictures of another size": (
        IMAGES,
        replaced("x", np.zeros((64, 9, 8, 1), np.uint8)),
        r"x\.npy holds uint8 \[64, 9, 8, 1\], wanted are uint8 \[64, 8, 8, 1\]",
    ),
    "pictures as floats": (IMAGES, replaced("x", np.zeros((64, 8, 8, 1), np.float32)), "holds float32"),
    "fewer samples than it says": (IMAGES, replaced("x", np.zeros((3, 8, 8, 1), np.uint8)), r"holds uint8 \[3,"),
    "no array": (IMAGES, lambda f, b: (f / "train" / "x.npy").unlink(), r"train/x\.npy is missing"),
    "objects": (IMAGES, replaced("x", np.array([{}], dtype=object)), "is not an array that can be read"),
    "no size": (IMAGES, lambda f, b: b.pop("image"), r"does not say image\.height"),
    "a class that is not listed": (IMAGES, replaced("y", np.full(64, 77)), "up to 77, wanted are 64 classes below 2"),
    "a number that is infinite": (ROWS, column(2, np.inf), "column 'c2' of train holds an infinite number"),
    "a column of nothing": (ROWS, column(3, np.nan), "column 'c3' of train holds no number at all"),
    "columns that are not listed": (
        ROWS,
        replaced("x", np.zeros((64, 9), np.float32)),
        r"wanted are float32 \[64, 5\]",
    ),
    "a token outside of the vocabulary": (
        TEXT,
        replaced("tokens", np.full(64 * 16, 5000, np.uint16)),
        "holds uint16 up to 5000, wanted are unsigned ones below 7",
    ),
    "documents that end elsewhere": (TEXT, replaced("offsets", np.arange(65)), "wanted are 65 rising from 0 to 1024"),
}


@pytest.mark.parametrize("case", SPOILT.values(), ids=SPOILT)
def test_data_that_is_not_what_its_manifest_says_is_refused(case: tuple[DataShape, Spoil, str], tmp_path: Path) -> None:
    shape, spoil, says = case
    write_dataset(tmp_path / "good", shape)
    body = dict(open_artifact(str(tmp_path / "good"), "dataset").body)
    with artifact.writing(str(tmp_path / "data"), "dataset", body) as folder:
        for name in ("train", "validation"):
            shutil.copytree(tmp_path / "good" / name, folder / name)
        spoil(folder, body)
    family = {"text": "gpt"}.get(shape.format, "flow")
    refused(tmp_path, Code.BAD_DATA, says, family=family)


# --- dials, processes


@pytest.mark.parametrize(
    ("shape", "family", "dials", "says"),
    [
        (IMAGES, "flow", {"lr": float("inf")}, "lr: Input should be a finite number"),
        (IMAGES, "flow", {"accumulate": 3}, "accumulate = 3 does not divide the 8 samples"),
        (TEXT, "gpt", {"width": 30, "heads": 4}, "width = 30 must be a multiple of 8: two per head"),
        (PICTURES, "flow", {"width": 30}, "width = 30 must be a multiple of 4 where captions are read"),
        (PICTURES, "flow", {"net": "dit", "patch": 5}, "patch = 5 must divide 12x12"),
    ],
)
def test_dials_that_do_not_go_together_are_named(
    shape: DataShape, family: str, dials: dict[str, Any], says: str, tmp_path: Path
) -> None:
    write_dataset(tmp_path / "data", shape)
    refused(tmp_path, Code.BAD_CONFIG, says, family=family, hyperparameters={**SMALL, **dials})


def test_a_base_of_another_family_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", IMAGES)
    train.run(a_task(tmp_path, hyperparameters=SMALL, output=str(tmp_path / "base")), a_pod())
    shutil.rmtree(tmp_path / "checkpoints")
    says = "is a model of family flow, this run trains vae"
    refused(tmp_path, Code.WRONG_CHECKPOINT, says, family="vae", base=Input(uri=str(tmp_path / "base")))


@pytest.mark.parametrize("channels", [16, 82, 104, 136])
def test_a_u_net_of_any_width_attends(channels: int) -> None:
    net = Unet((3, 8, 8), 16, channels, 1, 16)
    assert net(torch.zeros(1, 3, 8, 8), torch.zeros(1, 16)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two' is not a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "rank 2 is not below WORLD_SIZE = 2"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "p"}, "MASTER_PORT = 'p' is not a whole number"),
    ],
)
def test_an_environment_that_names_no_processes_is_refused(
    environ: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "data", IMAGES)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    refused(tmp_path, Code.BAD_CONFIG, says)


def test_parts_are_those_of_one_process() -> None:
    World(torch.device("cpu"), 0, 2).check_parts(16, 4)
    with pytest.raises(JobError, match="accumulate = 16 does not divide the 8 samples of a step in each process"):
        World(torch.device("cpu"), 0, 2).check_parts(16, 16)
