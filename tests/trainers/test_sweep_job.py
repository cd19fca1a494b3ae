"""The sweep: what is named goes, whole; its neighbours stay; what cannot go is an error and never silence."""

import io
from pathlib import Path

import fsspec

from gencontract.codes import Code
from gencontract.task import SweepTask
from gentrainers import artifact
from gentrainers.jobs import sweep
from gentrainers.pod import Lines, Pod


def swept(*locations: str) -> None:
    report = sweep.run(SweepTask(locations=list(locations)), Pod(Lines(io.StringIO())))
    assert report.code is Code.DONE


def write(uri: str) -> str:
    with artifact.writing(uri, "dataset", {}) as folder:
        (folder / "train").mkdir()
        (folder / "train" / "data.txt").write_text("x")
    return uri


def test_every_round_goes_and_the_neighbour_whose_name_begins_alike_stays(tmp_path: Path) -> None:
    own, neighbour = tmp_path / "digits-0123456789", tmp_path / "digits-01234567890"
    for uri in (own / "1", own / "2", neighbour / "1"):
        write(str(uri))
    (own / ".preparing-1-x").mkdir()
    swept(str(own))
    assert not own.exists()
    assert artifact.open_artifact(str(neighbour / "1"), "dataset")


def test_a_folder_that_is_not_there_is_fine(tmp_path: Path) -> None:
    swept(str(tmp_path / "nobody"), "memory://nobody/at-all")


def test_a_prefix_of_a_bucket_goes_and_its_neighbour_stays() -> None:
    write("memory://bucket/digits-1/1")
    write("memory://bucket/digits-11/1")
    swept("memory://bucket/digits-1")
    files = fsspec.filesystem("memory").find("/bucket")
    assert files
    assert all(f.startswith("/bucket/digits-11/") for f in files)
