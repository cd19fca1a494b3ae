"""What pages tell people to type exists, and the manifests they show are what the kinds take."""

import argparse
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from pages import ROOT, blocks, manifests

from genops.__main__ import COMMANDS
from genops.generate.crds import DEFINITIONS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPECS = {d.kind: d.spec for d in DEFINITIONS}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@each_page
def test_shell_blocks_parse(page: Path) -> None:
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"


@each_page
def test_commands_exist(page: Path) -> None:
    """`make X` is a target, `genops X --option` is a command with that option, and `-f FILE` is there."""
    for block in blocks(page, "sh"):
        for line in re.sub(r"\\\n", " ", block.text).splitlines():
            said = line.partition(" #")[0].strip()
            if said.startswith("make "):
                assert said.split()[1] in TARGETS, f"line {block.line}: {said}"
            if re.match(r"(\.venv/bin/)?genops ", said):
                _known(shlex.split(said)[1:], f"line {block.line}: {said}")
            for named in re.findall(r" -f ((?:manifests|crds|charts)/[\w./-]+)", said):
                assert (ROOT / named).exists(), f"line {block.line}: {named} is not there"


def _known(words: list[str], where: str) -> None:
    assert words[0] in COMMANDS, where
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    importlib.import_module(COMMANDS[words[0]][0]).configure(parser)
    try:
        parser.parse_args(words[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        pytest.fail(f"{where}: {error}")


@each_page
def test_manifests_are_what_the_kinds_take(page: Path) -> None:
    for body in manifests(page):
        if (kind := SPECS.get(str(body.get("kind")))) and "spec" in body:
            kind.model_validate(body["spec"])
