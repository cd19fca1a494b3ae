"""What `make audit` looks for by programs of this environment: nothing new is found."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def found(*command: str) -> str:
    """Run a program that looks; empty where it found nothing, else what it says."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_workflows_hold_no_right_and_no_action_that_they_should_not() -> None:
    program = Path(sys.executable).with_name("zizmor")
    assert found(str(program), "--offline", "--quiet", "--persona=auditor", ".github") == ""


def test_a_workflow_that_does_would_be_found(tmp_path: Path) -> None:
    bad = tmp_path / ".github/workflows/bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text("on: push\njobs: {a: {runs-on: ubuntu-24.04, steps: [{uses: someone/action@main}]}}\n")
    assert "unpinned-uses" in found(str(Path(sys.executable).with_name("zizmor")), "--offline", str(bad))


@pytest.mark.slow
def test_the_code_holds_no_known_weakness() -> None:
    """A line that may stay says why, and ends with `# nosec` and the name of the check."""
    assert found(sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "operator", "trainers") == ""
