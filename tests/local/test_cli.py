"""`genops local` as typed: what its options become."""

import argparse
from pathlib import Path

import pytest

from genops.local import cli
from genops.local.errors import LocalError
from genops.local.paths import default_folder


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.configure(parser)
    return parser.parse_args(words)


def test_the_environment_of_an_image_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod starts in another folder, where a relative path names another Python or none."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").touch()
    monkeypatch.chdir(tmp_path)
    options = cli._options(parsed("up", "--dir", str(tmp_path / "c"), "--image", "server=venv"))
    assert options.images == {"server": str(tmp_path / "venv")}


@pytest.mark.parametrize("pair", ["server=nowhere", "server"])
def test_an_environment_that_is_not_there_is_refused(pair: str, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=f"--image {pair}: no bin/python"):
        cli._options(parsed("up", "--dir", str(tmp_path / "c"), "--image", pair))


def test_the_folder_can_be_said_once_for_all_commands() -> None:
    assert default_folder({"GENOPS_LOCAL_DIR": "/x/y"}) == Path("/x/y")
    assert default_folder({}) == default_folder({"GENOPS_LOCAL_DIR": ""}) == Path(".genops/local")
