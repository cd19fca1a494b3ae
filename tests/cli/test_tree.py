"""What hangs under what, and how it is drawn."""

import json

import pytest
from towns import IDEA, Town, idea_rejected, out_of_memory, trained

from genops.cli.story.branches import as_json, draw, grow, roots
from genops.core.kinds import GEN_MODEL
from genops.core.model import Key


async def drawn(town: Town, *keys: Key) -> list[str]:
    world = town.world()
    rows = [row for key in keys or roots(world) for row in draw(grow(key, world))]
    return [f"{r.strokes}{r.branch.key.kind} {r.branch.stands.phase} {r.branch.note}".rstrip() for r in rows]


async def test_a_model_shows_its_run_down_to_pods() -> None:
    assert await drawn(await idea_rejected()) == [
        "GenModel Halted RunRejected",
        "├─ GenDataset Ready run 1, 1797 samples",
        "│  └─ Job Complete",
        "│     └─ Pod Succeeded",
        "├─ GenTrainingJob Succeeded run 1",
        "│  └─ Job Complete",
        "│     └─ Pod Succeeded",
        "└─ GenEvaluation Complete run 1, Failed, VerdictFailed",
        "   └─ Job Complete",
        "      └─ Pod Succeeded",
    ]


async def test_without_a_name_every_object_that_no_other_made_is_a_root() -> None:
    rows = await drawn(await out_of_memory())
    assert [r for r in rows if r.startswith("Gen")] == [
        "GenDataset Ready 1797 samples",
        "GenTrainingJob Failed OutOfMemory",
        "GenEvaluation Pending WaitingForReference",
        "GenDeployment Pending WaitingForReference",
    ]
    assert "   └─ Pod Failed exit code 71" in rows


async def test_runs_stand_in_their_order() -> None:
    town = await Town().make(GEN_MODEL, "digits", IDEA)
    await town.prepared("digits-1")
    await town.trained("digits-1")
    await town.judged("digits-1")
    training = {"template": {"spec": {"family": "vae", "size": "xs"}}}
    await town.cluster.patch(GEN_MODEL, "team", "digits", {"spec": {"training": training}})
    await town.settle()
    tree = as_json(grow(Key(GEN_MODEL, "team", "digits"), town.world()))
    assert [c["name"] for c in tree["children"]] == ["digits-1", "digits-1", "digits-1", "digits-2", "digits"]
    assert [c["kind"] for c in tree["children"]][-1] == "GenDeployment"
    assert json.dumps(tree)


@pytest.mark.parametrize("build", [trained, idea_rejected])
async def test_every_pod_hangs_under_something(build) -> None:  # type: ignore[no-untyped-def]
    town = await build()
    world = town.world()
    shown = {row.branch.key for key in roots(world) for row in draw(grow(key, world))}
    assert set(world.objects) <= shown
