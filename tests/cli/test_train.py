"""The work of a file on this machine, without a cluster: real processes, and one whole chain of them."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from gencontract.codes import Code
from gencontract.report import Report
from gencontract.wire import decode_report, encode_report
from genops.__main__ import main
from genops.cli.train import run
from genops.core.model import Config, Manifest
from genops.core.podspec import TASK_ANNOTATION
from genops.shell.planning import PlanError

GROUP = "genops.dev/v1alpha1"
REPORT = encode_report(Report(verb="train", code=Code.PREEMPTED, message="saved"))
TASK = '{"task":{"dataset":{"uri":"/genops/store/c/d"},"family":"vae","output":"s3://b/m","verb":"train",\
"checkpoint":{"uri":"/genops/store/c/k"}}}'


def a_job(script: str, **changes: Any) -> Manifest:
    """A Job whose process is a few lines of Python, given the paths of task and report."""
    command = ["python", "-c", script, "/genops/task/task.json"]
    env: list[dict[str, Any]] = [{"name": "OMP_NUM_THREADS", "value": "3"}, {"name": "HOME", "value": "/tmp"}]
    container = {"image": Config().trainer_image, "command": command, "env": env, **changes.pop("container", {})}
    template = {"metadata": {"annotations": {TASK_ANNOTATION: TASK}}, "spec": {"containers": [container]}}
    return {"metadata": {"name": "digits-train", "namespace": "team"}, "spec": {"template": template, **changes}}


def test_a_process_gets_its_task_with_folders_of_this_machine_and_its_pods_environment(tmp_path: Path) -> None:
    script = """
import json, os, sys
said = [json.load(open(sys.argv[1])), os.environ["OMP_NUM_THREADS"], os.environ["HOME"]]
open(os.environ["GENOPS_TERMINATION_LOG"], "w").write(json.dumps(said))
sys.exit(65)
"""
    code, message = run(a_job(script), tmp_path)
    task, threads, home = json.loads(message)
    assert (code, threads, home) == (65, "3", os.environ["HOME"])
    assert task["task"]["dataset"]["uri"] == str(tmp_path / "c/d")
    assert task["task"]["checkpoint"]["uri"] == str(tmp_path / "c/k")
    assert task["task"]["output"] == "s3://b/m"


def test_a_request_to_stop_reaches_the_process_and_its_answer_comes_back(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
def stop(*_):
    open(os.environ["GENOPS_TERMINATION_LOG"], "w").write({REPORT!r})
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
os.kill(os.getppid(), signal.SIGTERM)  # as a person would, who stops genops
while True:
    signal.pause()
"""
    before = signal.getsignal(signal.SIGTERM)
    code, message = run(a_job(script), tmp_path)
    answer = decode_report(message)
    assert (code, answer and answer.message) == (143, "saved")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_process_that_is_killed_has_the_exit_code_that_its_container_would_have(tmp_path: Path) -> None:
    assert run(a_job("import os; os.kill(os.getpid(), 9)"), tmp_path) == (137, "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"container": {"image": "registry.example.org/own:1"}}, "runs the image registry.example.org/own:1"),
        ({"completions": 2}, "needs 2 pods; set nodes to 1"),
        ({"container": {"env": [{"name": "HUB_KEY", "valueFrom": {}}]}}, "HUB_KEY comes from a Secret"),
    ],
)
def test_what_only_a_cluster_can_do_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=says):
        run(a_job("raise SystemExit('was run')", **changes), tmp_path)


def documents(steps: Any = 20, **training: Any) -> str:
    """Digits, and a small training on them."""
    spec = {"datasetRef": {"name": "digits"}, "family": "vae", "hyperparameters": {"steps": steps, "width": 32}}
    kinds = {
        "GenDataset": {"source": {"builtin": {"name": "digits"}}, "format": "images"},
        "GenTrainingJob": {**spec, **training},
    }
    objects = [
        {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "digits"}, "spec": spec}
        for kind, spec in kinds.items()
    ]
    return yaml.safe_dump_all(objects)


@pytest.mark.slow
def test_data_and_training_follow_one_another(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits.yaml").write_text(documents())
    code = main(["train", "--local", str(tmp_path / "digits.yaml"), "--store", str(tmp_path / "store")])
    *_, data, training = capfd.readouterr().out.splitlines()
    assert code == 0
    assert data.startswith("GenDataset digits: Ready: 1797 samples, named by sha256:")
    assert training.startswith(f"GenTrainingJob digits: Succeeded: Weights at {tmp_path}/store/genops-store/")
    where = training.partition("Weights at ")[2].partition(",")[0]
    assert (Path(where) / "weights.safetensors").is_file()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (documents().split("---")[1], "GenDataset digits does not exist in this namespace"),
        (documents(family="vaee").split("---")[1], "family: Input should be 'vae'"),
        ("kind: Pod", "an object needs apiVersion, kind and metadata"),
    ],
)
def test_what_cannot_be_done_is_said_and_is_no_success(
    text: str, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "it.yaml").write_text(text)
    assert main(["train", "--local", str(tmp_path / "it.yaml"), "--store", str(tmp_path)]) == 2
    assert says in "".join(capfd.readouterr())
