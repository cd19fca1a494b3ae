"""GenTrainingJob under the real engine on a cluster in memory: what is written, and what is left alone."""

from typing import Any

import pytest

from genops.core.kinds import GEN_TRAINING_JOB, JOB, JOB_SET, SERVICE
from genops.core.model import Key, Manifest
from genops.shell.engine import Engine
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.stages.training import TRAINING

KEY = Key(GEN_TRAINING_JOB, "team", "faces")


class World:
    """One GenTrainingJob, the engine, and what it writes."""

    def __init__(self, present: frozenset[Any] = frozenset()) -> None:
        self.cluster = FakeCluster()
        self.engine = Engine(self.cluster, [TRAINING], WorkQueue(), present=present)
        self.informing = Informing(self.engine)
        self.cluster.listener = self.informing.arrived

    async def apply(self, **spec: Any) -> None:
        body = {
            "metadata": {"name": "faces", "namespace": "team"},
            "spec": {"datasetUri": "s3://b/d", "family": "flow", **spec},
        }
        await self.cluster.apply(GEN_TRAINING_JOB, body)
        await self.settle()

    async def settle(self) -> None:
        """Look until nothing more is written."""
        written = -1
        while written != len(self.writes()):
            written = len(self.writes())
            await self.engine.reconcile(KEY)

    def writes(self) -> list[tuple[str, str, str]]:
        return [c for c in self.cluster.calls if c[0] in ("create", "apply", "patch", "delete", "update")]

    def jobs(self) -> list[Manifest]:
        return self.cluster.all(JOB)

    async def suspend(self, value: bool) -> None:
        """Kueue's hand on the Job."""
        await self.cluster.patch(JOB, "team", self.jobs()[0]["metadata"]["name"], {"spec": {"suspend": value}})


async def test_a_second_look_writes_nothing() -> None:
    world = World()
    await world.apply(nodes=2)
    before = len(world.writes())
    await world.engine.reconcile(KEY)
    assert len(world.writes()) == before
    assert [len(world.cluster.all(k)) for k in (JOB, SERVICE)] == [1, 1]


@pytest.mark.parametrize("decision", [False, True])
async def test_what_kueue_decides_is_not_undone(decision: bool) -> None:
    world = World()
    await world.apply(scheduling={"queueName": "team-a"})
    await world.suspend(decision)
    await world.settle()
    assert world.jobs()[0]["spec"]["suspend"] is decision
    patches = [c for c in world.writes() if c[0] == "patch"]
    assert len(patches) == 1, "only Kueue's own"


async def test_suspend_and_resume_reach_the_job_and_keep_it() -> None:
    world = World()
    await world.apply()
    uid = world.jobs()[0]["metadata"]["uid"]
    await world.apply(suspend=True)
    assert world.jobs()[0]["spec"]["suspend"] is True
    await world.apply(suspend=False)
    assert (world.jobs()[0]["spec"]["suspend"], world.jobs()[0]["metadata"]["uid"]) == (False, uid)


async def test_a_queued_run_that_is_suspended_loses_its_job_and_gets_it_back_by_the_same_name() -> None:
    world, queue = World(), {"queueName": "team-a"}
    await world.apply(scheduling=queue)
    name = world.jobs()[0]["metadata"]["name"]
    await world.apply(scheduling=queue, suspend=True)
    assert world.jobs() == []
    await world.apply(scheduling=queue, suspend=False)
    assert [j["metadata"]["name"] for j in world.jobs()] == [name]


async def test_nothing_is_written_for_another_controller() -> None:
    world = World()
    await world.apply(managedBy="kueue.x-k8s.io/multikueue")
    assert world.writes() == [("apply", "GenTrainingJob", "faces")]


async def test_a_job_that_was_taken_away_is_made_again_by_the_same_name() -> None:
    world = World()
    await world.apply()
    name = world.jobs()[0]["metadata"]["name"]
    world.cluster.remove(Key(JOB, "team", name))
    await world.settle()
    assert [j["metadata"]["name"] for j in world.jobs()] == [name]


async def test_job_sets_are_watched_only_where_they_are_served() -> None:
    assert JOB_SET not in World().informing.labelled
    assert JOB_SET in World(frozenset({JOB_SET})).informing.labelled
