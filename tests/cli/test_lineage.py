"""Where what is served came from, by digest."""

import pytest
from towns import DATA, IDEA, REPORT, SPACE, WEIGHTS, Town, idea_rejected, new, passed, ready, trained

from genops.cli.story.descent import Hop, as_json, descend
from genops.cli.story.drawing import rows
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, Kind
from genops.core.model import Key

OTHER = "sha256:" + "f" * 64


def hops(town: Town, kind: Kind, name: str = "digits") -> list[Hop]:
    return [
        hop for line in descend(Key(kind, SPACE, name), town.world()) for _, hop in rows(line.root, lambda h: h.below)
    ]


def told(town: Town, kind: Kind, name: str = "digits") -> list[tuple[str, str, bool | None]]:
    return [(hop.what, hop.digest, hop.agrees) for hop in hops(town, kind, name)]


async def served() -> Town:
    """Digits, served by a version that the status names."""
    town = await passed()
    stable = {"digest": WEIGHTS, "engine": "onnx", "engineDigest": OTHER, "evaluation": "digits"}
    town.cluster.set_status(Key(GEN_DEPLOYMENT, SPACE, "digits"), {"phase": "Serving", "stable": stable})
    return town


@pytest.mark.parametrize("kind", [GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT], ids=str)
async def test_every_object_of_a_chain_tells_the_whole_chain(kind: Kind) -> None:
    assert told(await served(), kind) == [
        ("data", DATA, None),
        ("weights", WEIGHTS, True),
        ("report", REPORT, True),
        ("engine", OTHER, True),
    ]


async def test_a_verdict_that_lets_an_engine_in_is_named() -> None:
    assert [h.note for h in hops(await served(), GEN_DEPLOYMENT)][2:] == ["Passed", "onnx, let in by digits"]


async def test_what_has_not_come_yet_has_no_digest_and_agrees_with_nothing() -> None:
    town = await ready()
    assert told(town, GEN_DEPLOYMENT) == [
        ("data", DATA, None),
        ("weights", "", True),
        ("report", "", None),
        ("engine", "", None),
    ]
    assert told(await new(), GEN_DATASET)[:2] == [("data", "", None), ("weights", "", None)]


async def test_data_that_moved_on_does_not_agree() -> None:
    town = await trained()
    key = Key(GEN_DATASET, SPACE, "digits")
    status = {**town.world().status(key), "digest": OTHER}
    town.cluster.listener = None
    town.cluster.set_status(key, status)
    weights = hops(town, GEN_TRAINING_JOB)[1]
    assert (weights.agrees, weights.took) == (False, DATA)
    assert f"took {DATA[:19]}" in weights.note


async def test_a_deployment_that_serves_other_weights_is_told_by_those() -> None:
    town = await served()
    key = Key(GEN_DEPLOYMENT, SPACE, "digits")
    town.cluster.set_status(key, {"phase": "Serving", "stable": {"digest": OTHER, "engineDigest": OTHER}})
    engine = next(h for h in hops(town, GEN_TRAINING_JOB) if h.what == "engine")
    assert (engine.agrees, engine.took) == (False, OTHER)
    assert "serves sha256:ffffffffffff" in engine.note


async def test_weights_from_elsewhere_have_their_address() -> None:
    town = await Town().make(GEN_DEPLOYMENT, "digits", {"model": {"uri": "s3://models/faces", "digest": WEIGHTS}})
    assert [h.who for h in hops(town, GEN_DEPLOYMENT)] == ["s3://models/faces", "GenDeployment/digits"]


async def test_a_model_tells_each_run_by_what_it_remembers_where_objects_have_gone() -> None:
    town = await idea_rejected()
    model = Key(GEN_MODEL, SPACE, "digits")
    whole = descend(model, town.world())
    assert [line.title for line in whole] == ["Run 1, Initial: Rejected"]
    assert as_json(whole[0])["then"][0]["digest"] == WEIGHTS
    town.cluster.remove(Key(GEN_TRAINING_JOB, SPACE, "digits-1"))
    remembered = told(town, GEN_MODEL)
    assert remembered == [("data", DATA, None), ("weights", WEIGHTS, None), ("report", REPORT, None)]


async def test_a_model_without_a_run_has_no_lines() -> None:
    town = Town()
    town.cluster.listener = None
    await town.make(GEN_MODEL, "digits", IDEA)
    assert descend(Key(GEN_MODEL, SPACE, "digits"), town.world()) == []
