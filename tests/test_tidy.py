"""The house stays as it was drawn: source roots, names, sizes, and what README promises."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for root in ("operator", "trainers") for p in (ROOT / root).rglob("*.py"))


def test_operator_is_a_source_root_and_never_a_package() -> None:
    """An operator/__init__.py would shadow the standard library's module of that name."""
    assert not (ROOT / "operator/__init__.py").exists()
    assert not (ROOT / "trainers/__init__.py").exists()


def test_source_roots_hold_no_loose_modules() -> None:
    assert not list((ROOT / "operator").glob("*.py"))
    assert not list((ROOT / "trainers").glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} needs a docstring"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "common"}


def test_nothing_big_or_binary_is_in_the_repository() -> None:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    big = [n.decode() for n in names if n and (p := ROOT / n.decode()).is_file() and p.stat().st_size > 1_000_000]
    assert big in ([], ["uv.lock"])


def test_every_command_in_the_readme_exists() -> None:
    """Each `make X` is a target, each `genops X` a command, each file named in a code block is there."""
    from genops.__main__ import COMMANDS

    blocks = "\n".join(re.findall(r"```(?:sh|bash|console)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert blocks, "README shows no command"
    assert set(re.findall(r"\bmake ([a-z-]+)", blocks)) <= targets
    assert set(re.findall(r"^(?:\$ )?genops ([a-z]+)", blocks, re.MULTILINE)) <= set(COMMANDS)
    for named in re.findall(r"-f ([\w./-]+)", blocks):
        assert (ROOT / named).exists(), f"README names {named}"


def test_ci_runs_the_command_that_the_readme_names() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_tests_of_one_group_run_in_one_worker(tmp_path: Path) -> None:
    """What shares a module's cluster or Triton is marked with a group; a pytest that xdist does not know ignores it."""
    (tmp_path / "test_group.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('n', range(8))\n"
        "def test_where(n):\n"
        "    pathlib.Path(os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("gw*"))) == 1
