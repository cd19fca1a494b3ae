"""Whose log matters."""

from collections.abc import Awaitable, Callable

import pytest
from towns import (
    SPACE,
    Town,
    idea_rejected,
    lone_run,
    new,
    no_image,
    out_of_memory,
    preparing,
    ready,
    retrying,
    trained,
)

from gencontract.report import Progress
from gencontract.wire import encode_progress
from genops.cli.story.errors import Nothing
from genops.cli.story.voices import Voice, readable, voice
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, JOB, POD, Kind
from genops.core.model import Key

Build = Callable[[], Awaitable[Town]]


async def retried_and_runs() -> Town:
    return await (await retrying()).runs(GEN_DATASET, "digits")


async def loops() -> Town:
    town = await ready()
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    await town.pod(GEN_TRAINING_JOB, "digits", {"running": {"startedAt": "2026-01-01T11:00:00Z"}}, "Running")
    await town.pod(GEN_TRAINING_JOB, "digits", waiting, "Running")
    return town


def hear(town: Town, kind: Kind, name: str = "digits") -> Voice:
    return voice(Key(kind, SPACE, name), town.world(), town.now)


@pytest.mark.parametrize(
    ("build", "kind", "name", "says"),
    [
        (preparing, GEN_DATASET, "digits", "of GenDataset/digits is running"),
        (preparing, GEN_DEPLOYMENT, "digits", "of GenDataset/digits is running"),
        (out_of_memory, GEN_TRAINING_JOB, "digits", "of GenTrainingJob/digits ended with exit code 71"),
        (out_of_memory, GEN_EVALUATION, "digits", "of GenTrainingJob/digits ended with exit code 71"),
        (retrying, GEN_DATASET, "digits", "ended with exit code 81"),
        (retried_and_runs, GEN_DATASET, "digits", "is running"),
        (trained, GEN_TRAINING_JOB, "digits", "ended with exit code 0"),
        (idea_rejected, GEN_MODEL, "digits", "of GenEvaluation/digits-1 ended with exit code 0"),
        (loops, GEN_TRAINING_JOB, "digits", "ends again and again; its last words"),
    ],
)
async def test_the_pod_that_matters(build: Build, kind: Kind, name: str, says: str) -> None:
    heard = hear(await build(), kind, name)
    assert says in heard.says
    assert heard.previous == ("again and again" in says)


@pytest.mark.parametrize(
    ("build", "kind", "says"),
    [
        (no_image, GEN_DATASET, "has not started: ErrImagePull: no such image"),
        (new, GEN_DATASET, "No pod of GenDataset/digits is there; GenDataset/digits is Pending"),
        (lone_run, GEN_TRAINING_JOB, "No pod of GenTrainingJob/digits is there; GenDataset/digits is Missing"),
    ],
)
async def test_where_nobody_can_be_heard_it_is_said_why(build: Build, kind: Kind, says: str) -> None:
    town = await build()
    with pytest.raises(Nothing, match=says):
        hear(town, kind)


async def test_a_pod_that_has_gone_leaves_its_last_failure() -> None:
    town = await out_of_memory()
    town.cluster.remove(Key(JOB, SPACE, town.job_of(GEN_TRAINING_JOB, "digits")["metadata"]["name"]))
    for pod in [k for k in town.world().keys(POD) if "train" in k.name]:
        town.cluster.remove(pod)
    with pytest.raises(Nothing, match="the last failure was OutOfMemory: batch 512 needs 9 GiB"):
        hear(town, GEN_TRAINING_JOB)


def test_heartbeats_are_told_in_words() -> None:
    beat = encode_progress(Progress(stage="training", step=5, total=20, metrics={"loss": 0.25}, eta_seconds=12))
    assert readable(beat) == "[training: step 5 of 20, 25 %, loss 0.25, 12 s left]"
    assert readable("a line of the program") == "a line of the program"
    assert readable('{"genops":"progress",broken') == '{"genops":"progress",broken'
