"""Programs that the how-to pages show are run as they stand, and what they write is what our side takes."""

import os
import subprocess
import sys
from pathlib import Path

from pages import ROOT, blocks

from gencontract.codes import Code
from gencontract.task import Checkpointing, Input, TaskFile, TrainTask
from gencontract.wire import PROGRESS_MARK, decode_report, encode_task
from gentrainers import artifact

HOWTO = ROOT / "docs" / "howto"


def test_the_trainer_of_the_page_answers_as_the_operator_asks(tmp_path: Path) -> None:
    [program] = blocks(HOWTO / "own-trainer.md", "python")
    output = tmp_path / "store" / "model"
    task = TrainTask(
        dataset=Input(uri="/data", digest="sha256:" + "a" * 64),
        family="custom",
        hyperparameters={"steps": 60},
        checkpoint=Checkpointing(uri=str(tmp_path / "checkpoints")),
        output=str(output),
    )
    (tmp_path / "task.json").write_text(encode_task(TaskFile(task=task)))
    told = {"GENOPS_TASK": str(tmp_path / "task.json"), "GENOPS_TERMINATION_LOG": str(tmp_path / "log")}
    command = [sys.executable, "-I", "-c", program.text]
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=True)
    assert [line.startswith(PROGRESS_MARK) for line in done.stdout.splitlines()] == [True, True]
    report = decode_report((tmp_path / "log").read_text())
    assert report is not None
    assert (report.code, report.step) == (Code.DONE, 60)
    assert report.artifact is not None
    artifact.open_artifact(report.artifact.uri, "model", report.artifact.digest)


def test_a_dataset_is_made_without_a_cluster(tmp_path: Path) -> None:
    [block] = blocks(HOWTO / "own-data.md", "sh")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", "-euc", block.text], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"manifest.json", "card.html", "train"} <= set(done.stdout.split())
