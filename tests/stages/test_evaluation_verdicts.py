"""Verdicts of people reach their GenEvaluation through the engine, whatever they are called."""

from typing import Any

import pytest

from gencontract.layout import LABEL_ROLE
from gencontract.wire import decode_task
from genops.core.kinds import ADMISSION_BINDING, ADMISSION_POLICY, GEN_EVALUATION, GEN_VERDICT, JOB, OURS
from genops.core.model import Key, Manifest
from genops.core.podspec import TASK_ANNOTATION
from genops.shell.engine import Engine
from genops.shell.errors import ApiError
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.stages import STAGES
from genops.stages.verdict.policy import BINDING, POLICY

KINDS = {kind.kind: kind for kind in (ADMISSION_POLICY, ADMISSION_BINDING)}
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
        self.informing = Informing(self.engine, also=frozenset(OURS))
        self.cluster.listener = self.informing.arrived

    async def settle(self) -> Manifest:
        while len(self.queue):
            key = await self.queue.get()
            assert key is not None
            await self.engine.reconcile(key)
            self.queue.done(key)
        found = await self.cluster.get(GEN_EVALUATION, "team", "asked")
        assert found is not None
        return dict(found["status"])

    async def judge(self, name: str, rater: str, card: int, of: str = "asked") -> None:
        spec = {"evaluationRef": {"name": of}, "rater": rater, "pair": card, "choice": "A"}
        await self.cluster.create(GEN_VERDICT, {"metadata": {"name": name, "namespace": "team"}, "spec": spec})

    async def resync(self) -> Manifest:
        await self.informing.resync()
        return await self.settle()


async def asked(*policies: Manifest) -> World:
    """A world where people are asked, in a cluster with these admission policies."""
    world = World()
    for body in policies:
        await world.cluster.create(KINDS[body["kind"]], body)
    await world.cluster.create(GEN_EVALUATION, {"metadata": {"name": "asked", "namespace": "team"}, "spec": SPEC})
    world.cluster.set_status(ASKED, MEASURED)
    await world.resync()
    return world


async def test_a_verdict_wakes_the_evaluation_that_asked() -> None:
    world = await asked(POLICY, BINDING)
    await world.judge("anything", "ada", 0)
    await world.judge("elsewhere", "ada", 1, of="another")
    waiting = await world.settle()
    assert (waiting["phase"], waiting["human"]) == ("WaitingForHumans", {"received": 1, "required": 4})
    for card in range(1, 4):
        await world.judge(f"more-{card}", "ada", card)
    assert (await world.settle())["phase"] == "Running"
    [job] = [j for j in world.cluster.all(JOB) if j["metadata"]["labels"][LABEL_ROLE] == "tally"]
    assert decode_task(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task.verb == "tally"


def changed(body: Manifest, **spec: Any) -> Manifest:
    return {**body, "spec": {**body["spec"], **spec}}


WEAK: dict[str, tuple[Manifest, ...]] = {
    "nothing": (),
    "a policy that is not bound": (POLICY,),
    "a binding without its policy": (BINDING,),
    "a policy that only warns": (POLICY, changed(BINDING, validationActions=["Warn"])),
    "a binding for some namespaces": (POLICY, changed(BINDING, matchResources={"namespaceSelector": {}})),
    "another rule": (changed(POLICY, validations=[{"expression": "true"}]), BINDING),
    "a rule with a way out": (changed(POLICY, matchConditions=[{"name": "x", "expression": "false"}]), BINDING),
    "a rule that failure opens": (changed(POLICY, failurePolicy="Ignore"), BINDING),
}


@pytest.mark.parametrize("policies", WEAK.values(), ids=WEAK)
async def test_nobody_counts_where_the_server_does_not_vouch(policies: tuple[Manifest, ...]) -> None:
    world = await asked(*policies)
    for card in range(4):
        await world.judge(f"v{card}", "ada", card)
    status = await world.settle()
    assert (status["phase"], status["human"]["received"]) == ("WaitingForHumans", 0)
    assert next(c for c in status["conditions"] if c["type"] == "Human")["reason"] == "RatersUnverified"


async def test_once_the_server_vouches_people_count() -> None:
    world = await asked()
    await world.judge("early", "ada", 0)
    assert (await world.settle())["human"]["received"] == 0
    for body in (POLICY, BINDING):
        await world.cluster.create(KINDS[body["kind"]], body)
    assert (await world.resync())["human"]["received"] == 1


async def test_a_policy_that_may_not_be_read_vouches_for_nobody() -> None:
    world = await asked(POLICY, BINDING)
    world.cluster.before = lambda verb, kind, name: (
        ApiError(403, "Forbidden", "no") if kind == ADMISSION_POLICY else None
    )
    await world.judge("one", "ada", 0)
    assert (await world.resync())["human"]["received"] == 0
