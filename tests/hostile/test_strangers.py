"""An artifact holds what its manifest lists and nothing else: a file that was slipped in is never read, served or run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gencontract.codes import Code
from gentrainers import artifact
from gentrainers.errors import JobError


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A small artifact in two folders."""
    place = tmp_path / "store" / "engines"
    with artifact.writing(str(place), "engines", {}) as folder:
        (folder / "digits" / "1").mkdir(parents=True)
        (folder / "digits" / "config.pbtxt").write_text("name: 'digits'")
        (folder / "digits" / "1" / "model.py").write_text("import numpy")
    return place


def linked(at: Path, to: Path) -> None:
    at.symlink_to(to)


STRANGERS: dict[str, Callable[[Path, Path], object]] = {
    "a module that Python finds first": lambda a, _: (a / "digits/1/numpy.py").write_text("evil = 1"),
    "a model of its own": lambda a, _: (a / "evil/1").mkdir(parents=True) or (a / "evil/1/model.py").write_text("x"),
    "an array": lambda a, _: (a / "x.npy").write_bytes(b"\x93NUMPY"),
    "a hidden file": lambda a, _: (a / ".env").write_text("A=1"),
    "a link to a file": lambda a, out: linked(a / "digits/1/weights.bin", out / "secret"),
    "a link to a folder": lambda a, out: linked(a / "digits/2", out),
    "a link to nothing": lambda a, out: linked(a / "gone", out / "nothing"),
    "a pipe": lambda a, _: os.mkfifo(a / "pipe"),
}


@pytest.mark.parametrize("slip_in", STRANGERS.values(), ids=STRANGERS)
def test_what_the_manifest_does_not_list_is_refused_by_name(
    slip_in: Callable[[Path, Path], object], sealed: Path, tmp_path: Path
) -> None:
    digest = artifact.digest_of(str(sealed))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    before = set(sealed.rglob("*"))
    slip_in(sealed, outside)
    [stranger] = [p for p in set(sealed.rglob("*")) - before if not p.is_dir() or p.is_symlink()]
    with pytest.raises(JobError, match="is not in the manifest") as caught:
        artifact.open_artifact(str(sealed), "engines", digest)
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert stranger.relative_to(sealed).as_posix() in str(caught.value)


def test_a_listed_file_that_leads_elsewhere_is_refused(sealed: Path, tmp_path: Path) -> None:
    """Even when what it leads to is equal: it could be changed after the check by who owns the other place."""
    inside, outside = sealed / "digits/1/model.py", tmp_path / "model.py"
    outside.write_bytes(inside.read_bytes())
    inside.unlink()
    inside.symlink_to(outside)
    with pytest.raises(JobError, match=r"digits/1/model\.py"):
        artifact.open_artifact(str(sealed), "engines")


def test_an_honest_artifact_opens(sealed: Path) -> None:
    assert artifact.open_artifact(str(sealed), "engines").kind == "engines"
