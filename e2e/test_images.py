"""Every file, extra and program that the Dockerfile names is there, and what the targets would hold runs.

No container engine is needed: the packages of the operator are installed as its stage says, and each target's sources
are laid out as its stage copies them.
"""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from genops.core.model import Config
from genops.core.podspec import TRAINER, USER_ID

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "images/Dockerfile"
ENVIRONMENTS = {"trainers": ROOT / ".venv", "server": ROOT / ".genops/venv-server"}
TARGETS = ("operator", "trainers", "server")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("images")]


@dataclass(frozen=True)
class Line:
    """One instruction, and the stage that it stands in."""

    stage: str
    base: str
    word: str
    rest: str


def lines() -> list[Line]:
    """Read the Dockerfile: one entry an instruction, lines that go on joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found, stage, base = [], "", ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip():
            continue
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, _, stage = rest.split()
        found.append(Line(stage, base, word, rest))
    return found


def of(stage: str, word: str) -> list[str]:
    """The instructions of one word in a stage and in those it begins with."""
    mine = [line for line in lines() if line.stage == stage]
    before = of(mine[0].base, word) if mine else []
    return before + [line.rest for line in mine if line.word == word]


def extras(target: str) -> list[str]:
    """The extras that a target's packages are made of."""
    [sync] = [run for run in of(f"{target}-packages", "RUN") if run.startswith("uv sync")]
    return re.findall(r"--extra (\S+)", sync)


def packages(target: str) -> set[str]:
    """What the lock file says that these extras bring."""
    wanted = [part for extra in extras(target) for part in ("--extra", extra)]
    command = ["uv", "export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"^([a-z0-9._-]+)==", done.stdout, re.MULTILINE))


def copied(target: str) -> dict[str, str]:
    """Where each folder of the repository goes in a target."""
    return dict(rest.split() for rest in of(target, "COPY") if not rest.startswith("--from"))


def laid_out(target: str, folder: Path) -> Path:
    """A target's sources as its stage copies them."""
    for source, goal in copied(target).items():
        shutil.copytree(ROOT / source, folder / goal, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(python: Path, sources: Path, *arguments: str) -> str:
    """Run a command as the image would: these packages, these sources, nothing else of the repository."""
    environ = {"PATH": f"{python.parent}:{os.defpath}", "PYTHONPATH": str(sources), "HOME": str(sources)}
    done = subprocess.run(
        [python, *arguments], cwd=sources, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_the_images_that_the_operator_asks_for() -> None:
    chart = yaml.safe_load((ROOT / "charts/genops/values.yaml").read_text(encoding="utf-8"))
    named = [chart["image"]["repository"], Config().trainer_image, Config().server_image]
    assert [name.removesuffix(":latest") for name in named] == [f"genops-{target}" for target in TARGETS]
    assert set(TARGETS) <= {line.stage for line in lines()}


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_is_there_and_passes_the_filter(target: str) -> None:
    let_in = {line[1:] for line in DOCKERFILE.with_suffix(".dockerignore").read_text().splitlines() if line[:1] == "!"}
    wanted = {*copied(target), *(name for rest in of(f"{target}-packages", "COPY") for name in rest.split()[:-1])}
    assert wanted <= let_in
    assert all((ROOT / name).exists() for name in let_in)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_not_root_and_holds_no_installer(target: str) -> None:
    assert of(target, "USER")[-1] == f"{USER_ID}:{USER_ID}"
    assert not any("uv" in shlex.split(run) or "pip" in shlex.split(run) for run in of(target, "RUN"))


def test_what_is_installed_is_pinned() -> None:
    [base] = [line.rest for line in lines() if line.word == "ARG"]
    assert re.fullmatch(r"PYTHON=python:\d+\.\d+-slim-\w+", base)
    assert (ROOT / ".python-version").read_text().strip() in base
    for line in lines():
        if "pip install" in line.rest:
            assert re.search(r"uv==[\d.]+$", line.rest)
        if "uv sync" in line.rest:
            assert "--frozen --no-dev --no-install-project" in line.rest
    installed = re.findall(r"--no-install-recommends (.*?) &&", " ".join(of("trainers", "RUN")))
    assert all("=" in name for name in installed[0].split())


def test_the_trainers_have_the_programs_that_they_call() -> None:
    [named] = re.findall(r"--no-install-recommends (.*?) &&", " ".join(of("trainers", "RUN")))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "trainers/gentrainers").rglob("*.py"))
    called = {"git", *re.findall(r'shutil\.which\("([^"]+)"\)', sources)} - {"c++", "tritonserver"}
    assert {name.split("=")[0] for name in named.split()} == called


@pytest.mark.parametrize("target", TARGETS)
def test_every_extra_is_known(target: str) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras(target)) <= set(known)


def test_the_operator_holds_no_torch_and_the_others_do() -> None:
    big = {"torch", "numpy", "onnxruntime", "pyarrow"}
    assert not big & packages("operator")
    assert "torch" in packages("trainers")
    assert {"torch", "nvidia-pytriton"} <= packages("server")


def test_the_operator_runs_from_what_its_image_holds(tmp_path: Path) -> None:
    """Its packages are installed into a folder of their own, by the very command of its stage."""
    [sync] = [run for run in of("operator-packages", "RUN") if run.startswith("uv sync")]
    environ = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    sources = laid_out("operator", tmp_path / "source")
    project = tmp_path / "project"
    project.mkdir()
    for name in of("operator-packages", "COPY")[0].split()[:-1]:
        shutil.copy(ROOT / name, project)
    subprocess.run([*shlex.split(sync), "--quiet"], cwd=project, env=environ, check=True, timeout=300)
    python = tmp_path / "venv/bin/python"
    assert "--kubeconfig" in run(python, sources, "-m", "genops", "run", "--help")
    plan = run(python, sources, "-m", "genops", "plan", str(ROOT / "manifests/samples/dataset/minimal.yaml"))
    assert "Job" in {d["kind"] for d in yaml.safe_load_all(plan)}


@pytest.mark.parametrize("target", ENVIRONMENTS)
def test_a_pod_of_ours_runs_from_what_its_image_holds(target: str, tmp_path: Path) -> None:
    """Its packages are those of the environment that tests run in, which comes of the same lock and extras."""
    assert TRAINER[:3] == ("python", "-m", "gentrainers")
    sources = laid_out(target, tmp_path / "source")
    assert "--task" in run(ENVIRONMENTS[target] / "bin/python", sources, "-P", "-m", "gentrainers", "--help")
