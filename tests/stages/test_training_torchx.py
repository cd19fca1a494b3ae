"""The AppDef of a run, the component that runs the same without Kubernetes, and torchrun's exit codes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from worlds import resource

from gencontract.codes import Code
from gencontract.task import Checkpointing, Input, TaskFile, TrainTask
from genops.core.model import Config
from genops.stages.training import TRAINING
from genops.stages.training.appdef import Launch, describe, environment

ROOT = Path(__file__).resolve().parents[2]
TASK = TaskFile(task=TrainTask(dataset=Input(uri="/d"), family="flow", checkpoint=Checkpointing(uri="/c"), output="/o"))
LAUNCH = Launch("faces-train-1", "train", TASK, ("pvc://store/x", "s3://b/y", "pvc://data/z"), {})


def test_the_app_says_what_runs_and_what_it_needs() -> None:
    resources = {"requests": {"cpu": "1500m", "memory": "2Gi"}, "limits": {"nvidia.com/gpu": "2"}}
    spec = {"datasetUri": "s3://b/y", "family": "flow", "nodes": 2, "resources": resources, "retry": {"limit": 7}}
    app = describe(resource(TRAINING, "faces", spec).spec, LAUNCH, Config(trainer_image="trainers:1"))
    (role,) = app.roles
    assert (app.name, role.name, role.image, role.num_replicas, role.max_retries) == (
        LAUNCH.name,
        "train",
        "trainers:1",
        2,
        7,
    )
    assert (role.resource.cpu, role.resource.memMB, role.resource.gpu) == (2, 2048, 2)
    assert [(m.src, m.dst_path) for m in role.mounts] == [
        ("store", "/genops/store/store"),
        ("data", "/genops/store/data"),
    ]
    assert role.port_map == {"rendezvous": 29500}


def test_torchx_is_not_loaded_before_a_run_is_rendered() -> None:
    code = "import sys, genops.stages; print([m for m in ('torchx', 'torch', 'kubernetes') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_component_gives_the_same_ranks_as_a_pod() -> None:
    from gentrainers.component import train

    (role,) = train("task.json", j="2x1").roles
    spec = resource(TRAINING, "faces", {"datasetUri": "s3://b/y", "family": "flow", "nodes": 2}).spec
    told = environment(spec, "first")
    assert role.num_replicas == 2
    assert role.env["WORLD_SIZE"] == told["WORLD_SIZE"]
    assert f"MASTER_PORT={told['MASTER_PORT']}" in role.args[1]
    assert "MASTER_ADDR=$${${rank0_env}:=localhost}" in role.args[1]


def test_the_component_stands_torchxs_own_checks() -> None:
    from torchx.specs.finder import get_component

    found = get_component(f"{ROOT}/trainers/gentrainers/component.py:train")
    assert found.validation_errors == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", Code.DONE),
        ("sys.exit(64 if os.environ['RANK'] == '1' else time.sleep(60))", Code.BAD_CONFIG),
        ("os.kill(os.getpid(), 9) if os.environ['RANK'] == '0' else time.sleep(60)", Code.KILLED),
        ("sys.exit(143)", Code.PREEMPTED),
    ],
    ids=["done", "permanent", "killed", "preempted"],
)
def test_several_processes_end_with_the_code_of_the_first_that_failed(tmp_path: Path, script: str, code: Code) -> None:
    program = tmp_path / "rank.py"
    program.write_text(f"import os, sys, time\n{script}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "gentrainers.launch", "--standalone", "--nproc-per-node", "2", str(program)],
        env={**os.environ, "PET_MAX_RESTARTS": "0", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == code, ended.stderr.decode()[-2000:]


@pytest.mark.slow
def test_a_request_to_stop_reaches_all_processes_and_is_told(tmp_path: Path) -> None:
    program = tmp_path / "rank.py"
    program.write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1] + os.environ['RANK'], 'w').close(), sys.exit(143)))\n"
        "open(sys.argv[1] + 'up' + os.environ['RANK'], 'w').close()\n"
        "time.sleep(60)\n"
    )
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gentrainers.launch",
            "--standalone",
            "--nproc-per-node",
            "2",
            str(program),
            f"{tmp_path}/",
        ],
        env={**os.environ, "PET_MAX_RESTARTS": "0", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    while not {"up0", "up1"} <= {p.name for p in tmp_path.iterdir()}:
        assert run.poll() is None
        time.sleep(0.05)
    run.terminate()
    assert run.wait(60) == Code.PREEMPTED
    assert {"0", "1"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("j", ["2x1", "1x2"])
def test_torchx_runs_the_job_without_kubernetes(tmp_path: Path, j: str) -> None:
    """A word that both processes agree on, by the real trainers' own ranks and rendezvous."""
    task = tmp_path / "task.json"
    task.write_text('{"version": "genops.dev/task/v1", "task": {"verb": "train"}}')
    torchx = Path(sys.executable).parent / "torchx"
    component = f"{ROOT}/trainers/gentrainers/component.py:train"
    ended = subprocess.run(
        [str(torchx), "run", "-s", "local_cwd", "--wait", component, "--task", str(task), "-j", j],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert "task.train.dataset: Field required" in ended.stdout + ended.stderr
    assert "FAILED" in ended.stderr
