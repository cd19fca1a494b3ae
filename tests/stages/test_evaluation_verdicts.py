"""Verdicts of people reach their GenEvaluation through the engine, whatever they are called."""

from typing import Any

from genops.core.kinds import GEN_EVALUATION, GEN_VERDICT, OURS
from genops.core.model import Key, Manifest
from genops.shell.engine import Engine
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.stages import STAGES
from genops.stages.evaluation.status import subject_is_a

ASKED = Key(GEN_EVALUATION, "team", "asked")
SPEC: dict[str, Any] = {
    "subject": {"uri": "s3://models/faces"},
    "datasetUri": "s3://data/faces",
    "metrics": [{"name": "fid", "op": "<=", "threshold": 1.0}],
    "human": {"pairs": 2},
    "decision": {"requires": ["Quantitative", "Human"]},
}
MEASURED: Manifest = {
    "report": {"uri": "s3://reports/asked", "digest": "sha256:" + "a" * 64},
    "conditions": [{"type": "Quantitative", "status": "True", "reason": "VerdictPassed", "message": "fid is 0.5"}],
}


class World:
    """An engine over the cluster in memory, run until nothing changes."""

    def __init__(self) -> None:
        self.cluster, self.queue = FakeCluster(), WorkQueue[Key]()
        self.engine = Engine(self.cluster, STAGES, self.queue)
        self.cluster.listener = Informing(self.engine, also=frozenset(OURS)).arrived

    async def settle(self) -> Manifest:
        while len(self.queue):
            key = await self.queue.get()
            assert key is not None
            await self.engine.reconcile(key)
            self.queue.done(key)
        found = await self.cluster.get(GEN_EVALUATION, "team", "asked")
        assert found is not None
        return dict(found["status"])

    async def judge(self, name: str, pair: int, choice: str, of: str = "asked") -> None:
        spec = {"evaluationRef": {"name": of}, "pair": pair, "choice": choice}
        await self.cluster.create(GEN_VERDICT, {"metadata": {"name": name, "namespace": "team"}, "spec": spec})


async def test_a_verdict_wakes_the_evaluation_that_asked() -> None:
    world = World()
    made = await world.cluster.create(
        GEN_EVALUATION, {"metadata": {"name": "asked", "namespace": "team"}, "spec": SPEC}
    )
    world.cluster.set_status(ASKED, MEASURED)
    waiting = await world.settle()
    assert (waiting["phase"], waiting["human"]["received"]) == ("WaitingForHumans", 0)
    better = ["A" if subject_is_a(made["metadata"]["uid"], pair) else "B" for pair in range(2)]
    await world.judge("anything", 0, better[0])
    await world.judge("elsewhere", 1, better[1], of="another")
    assert (await world.settle())["human"]["received"] == 1
    await world.judge("whatever", 1, better[1])
    done = await world.settle()
    assert (done["phase"], done["verdict"]) == ("Complete", "Passed")
