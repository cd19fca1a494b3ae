"""What waits for a person's word."""

import pytest
from towns import (
    IDEA,
    SPACE,
    WEIGHTS,
    Town,
    asked_people,
    idea,
    idea_rejected,
    idea_waits_for_approval,
    passed,
)

from genops.cli.story.approval import Approval, approval
from genops.cli.story.errors import Nothing
from genops.core.kinds import GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, Kind
from genops.core.model import Key

WATCH = {"name": "inputs", "of": "input", "test": "psi", "threshold": 0.2, "action": "Retrain"}
MODEL = Key(GEN_MODEL, SPACE, "digits")


def asked(town: Town, kind: Kind = GEN_MODEL, name: str = "digits") -> Approval:
    return approval(Key(kind, SPACE, name), town.world(), town.now)


async def drifted() -> Town:
    """A model that is served and has drifted, whose runs start by a person's word."""
    template = {"spec": {"drift": [WATCH]}}
    retrain = {"causes": ["Drift"], "cooldownSeconds": 0, "approve": "Manual"}
    town = await Town().make(GEN_MODEL, "digits", {**IDEA, "deployment": {"template": template}, "retrain": retrain})
    await town.prepared("digits-1")
    await town.trained("digits-1")
    await town.judged("digits-1")
    town.later(5)
    told = [{"type": t, "status": "True", "reason": t, "message": ""} for t in ("Ready", "Progressing", "Drifted")]
    stable = {"digest": WEIGHTS, "engineDigest": WEIGHTS}
    drift = [{"name": "inputs", "since": "2026-01-01T00:00:00Z"}]
    status = {"conditions": told, "phase": "Serving", "stable": stable, "drift": drift}
    town.engine.stages = {MODEL.kind: town.engine.stages[MODEL.kind]}
    town.cluster.set_status(Key(GEN_DEPLOYMENT, SPACE, "digits"), status)
    for _ in range(3):
        town.queue.add(MODEL)
        await town.settle()
    return town


async def test_a_run_that_passed_is_approved_and_goes_on() -> None:
    town = await idea_waits_for_approval()
    found = asked(town)
    assert (found.annotation, found.value) == ("genops.dev/approve-run", "1")
    await town.annotate(GEN_MODEL, "digits", **{found.annotation: found.value})
    assert town.world().status(MODEL)["phase"] == "Deploying"
    with pytest.raises(Nothing, match="Nothing of GenModel/digits waits for approval; it is Deploying"):
        asked(town)


async def test_a_run_that_drift_asks_for_is_approved_and_starts() -> None:
    town = await drifted()
    found = asked(town)
    assert (found.annotation, found.value) == ("genops.dev/approve-retraining", "2")
    assert found.says == "Run 2 of GenModel/digits, asked for by Drift, may start now"
    await town.annotate(GEN_MODEL, "digits", **{found.annotation: found.value})
    assert [r["number"] for r in town.world().status(MODEL)["runs"]] == [1, 2]
    assert "digits-2" in {k.name for k in town.world().ours()}


@pytest.mark.parametrize(
    ("build", "kind", "name", "says"),
    [
        (idea, GEN_MODEL, "digits", "it is Data: Run 1 waits for GenDataset digits-1"),
        (idea_rejected, GEN_MODEL, "digits", "it is Halted: Run 1 did not pass"),
        (asked_people, GEN_EVALUATION, "people", "waits for verdicts on single pairs"),
        (passed, GEN_EVALUATION, "digits", "Nothing of GenEvaluation/digits waits for people; it is Complete"),
    ],
)
async def test_what_does_not_wait_is_not_approved(build, kind: Kind, name: str, says: str) -> None:  # type: ignore[no-untyped-def]
    town = await build()
    with pytest.raises(Nothing, match=says):
        asked(town, kind, name)
