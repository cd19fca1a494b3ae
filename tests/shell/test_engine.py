"""Look, think, act, tell: over a fake cluster, with faults before and after every write."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from towns import IDEA, SPACE, Town
from toy import TOY, Bench

from genops.core.conditions import Condition
from genops.core.kinds import CONFIG_MAP, EVENT, GEN_DATASET, GEN_MODEL, GEN_TRAINING_JOB, JOB
from genops.core.model import Answer, Key, Plan, Seen
from genops.core.reasons import Reason
from genops.shell.errors import ApiError, Unreachable
from genops.shell.fake import FakeOracle
from genops.stages.verdict import policy


async def test_children_are_made_and_the_status_says_so() -> None:
    bench = Bench()
    await bench.create(copies=2)
    await bench.settle()
    assert len(bench.names(JOB)) == 1
    assert bench.names(CONFIG_MAP) == ["toy-copy0", "toy-copy1"]
    status = bench.status()
    assert status["phase"] == "Working"
    assert status["observedGeneration"] == 1
    assert status["conditions"][0]["observedGeneration"] == 1


async def test_a_settled_world_gets_no_write_and_no_read_but_those_of_a_resync() -> None:
    bench = Bench()
    await bench.create(copies=2)
    await bench.settle()
    bench.cluster.calls.clear()
    for _ in range(3):
        await bench.informing.resync()
        await bench.settle()
    assert bench.writes() == []
    asked = [call for call in bench.cluster.calls if call[2] != policy.NAME]  # whether raters are vouched for
    assert {verb for verb, _, _ in asked} == {"list"}


async def test_a_restarted_operator_writes_nothing_new() -> None:
    bench = Bench()
    await bench.create(copies=2)
    await bench.settle()
    bench.cluster.calls.clear()
    bench.restart()
    await bench.informing.resync()
    await bench.settle()
    assert bench.writes() == []


async def test_a_child_that_is_no_longer_wanted_is_pruned_and_others_stay() -> None:
    bench = Bench()
    await bench.create(copies=2)
    foreign = {"metadata": {"name": "theirs", "namespace": "default"}, "data": {}}
    await bench.cluster.create(CONFIG_MAP, foreign)
    await bench.settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"copies": 1}})
    await bench.settle()
    assert bench.names(CONFIG_MAP) == ["theirs", "toy-copy0"]


async def test_a_child_deleted_by_hand_comes_back() -> None:
    bench = Bench()
    await bench.create()
    await bench.settle()
    bench.cluster.remove(Key(CONFIG_MAP, "default", "toy-copy0"))
    await bench.settle()
    assert bench.names(CONFIG_MAP) == ["toy-copy0"]


async def test_a_child_changed_by_hand_is_put_right() -> None:
    bench = Bench()
    await bench.create()
    await bench.settle()
    await bench.cluster.patch(CONFIG_MAP, "default", "toy-copy0", {"data": {"i": "7", "more": "x"}})
    await bench.settle()
    found = bench.cluster.all(CONFIG_MAP)[0]
    assert found["data"] == {"i": "0", "more": "x"}


async def test_a_job_is_created_once_and_only_its_suspend_follows_the_spec() -> None:
    bench = Bench()
    await bench.create(paused=True)
    await bench.settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"paused": False}})
    await bench.settle()
    jobs = bench.cluster.all(JOB)
    assert [j["spec"]["suspend"] for j in jobs] == [False]
    assert [c for c in bench.writes() if c[:2] == ("create", "Job")] == [("create", "Job", jobs[0]["metadata"]["name"])]


async def test_a_deletion_that_no_watch_told_of_is_found_by_the_resync() -> None:
    bench = Bench()
    await bench.create()
    await bench.settle()
    bench.cluster.listener = None
    bench.cluster.remove(Key(CONFIG_MAP, "default", "toy-copy0"))
    bench.cluster.listener = bench.informing.arrived
    await bench.informing.resync()
    await bench.settle()
    assert bench.names(CONFIG_MAP) == ["toy-copy0"]


async def test_a_referrer_is_woken_when_what_it_waits_for_appears() -> None:
    bench = Bench()
    await bench.create(wants="idea")
    await bench.settle()
    assert bench.status()["found"] == 0
    await bench.cluster.create(GEN_MODEL, {"metadata": {"name": "idea", "namespace": "default"}, "spec": {}})
    await bench.settle()
    assert bench.status()["found"] == 1


async def test_an_event_is_posted_once() -> None:
    bench = Bench()
    await bench.create()
    await bench.settle()
    bench.cluster.set_status(Key(JOB, "default", bench.names(JOB)[0]), {"succeeded": 1})
    await bench.settle()
    await bench.informing.resync()
    await bench.settle()
    events = bench.cluster.all(EVENT)
    assert [(e["reason"], e["regarding"]["name"]) for e in events] == [("Done", "toy")]


async def test_a_transition_time_moves_only_with_the_status() -> None:
    bench = Bench()
    await bench.create()
    await bench.settle()
    first = bench.status()["conditions"][0]["lastTransitionTime"]
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"copies": 3}})
    await bench.settle()
    after = bench.status()["conditions"][0]
    assert (after["lastTransitionTime"], after["observedGeneration"]) == (first, 2)


async def test_a_spec_that_admission_should_have_refused_is_named_in_a_condition() -> None:
    bench = Bench()
    await bench.create(copies=-1, colour="red")
    await bench.settle()
    condition = bench.status()["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "InvalidSpec")
    assert "copies: Input should be greater than or equal to 0, got -1" in condition["message"]
    assert "colour: Extra inputs are not permitted" in condition["message"]
    assert bench.names(JOB) == []


async def test_a_child_that_the_api_server_refuses_becomes_a_condition_and_is_tried_again() -> None:
    bench = Bench()
    refusal = ApiError(422, "Invalid", 'Job "toy" is invalid: spec.template: field is wrong')
    bench.cluster.before = lambda verb, kind, name: refusal if (verb, kind) == ("create", JOB) else None
    await bench.create()
    with pytest.raises(ApiError):
        await bench.settle()
    condition = bench.status()["conditions"][0]
    assert (condition["reason"], condition["status"]) == ("ChildRefused", "False")
    assert "spec.template: field is wrong" in condition["message"]
    bench.cluster.before = lambda verb, kind, name: None
    bench.queue.add(Key(GEN_DATASET, "default", "toy"))
    await bench.settle()
    assert bench.status()["conditions"][0]["reason"] == "Working"


async def test_a_name_taken_by_a_stranger_is_never_adopted() -> None:
    bench = Bench()
    made = await bench.create()
    await bench.settle()
    name = bench.names(JOB)[0]
    bench.cluster.remove(Key(GEN_DATASET, "default", "toy"))
    await bench.cluster.create(JOB, {"metadata": {"name": name, "namespace": "default"}, "spec": {}})
    bench.cluster._objects[Key(GEN_DATASET, "default", "toy")] = made  # the same object again, its uid and all
    bench.restart()
    await bench.informing.resync()
    with pytest.raises(ApiError, match="already exists"):
        await bench.settle()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "error", [Unreachable("cut"), ApiError(429, "TooManyRequests", "slow down")], ids=["cut", "429"]
)
async def test_a_fault_at_any_write_and_a_restart_end_in_the_same_world(moment: str, error: Exception) -> None:
    """Crash at every write, before and after it took effect; the next process ends where the first would have."""
    wanted = await _world(Bench(), None)
    total = 0
    for n in range(50):
        bench = Bench()
        fault = _NthWrite(n, error)
        setattr(bench.cluster, moment, fault)
        world = await _world(bench, fault)
        if not fault.fired:
            break
        total += 1
        assert world == wanted, f"fault {moment} write {n}"
    assert total >= 6, "the scenario has at least six writes"


class _NthWrite:
    def __init__(self, n: int, error: Exception) -> None:
        self.left, self.error, self.fired, self.armed = n, error, False, True

    def __call__(self, verb: str, kind: Any, name: str) -> Exception | None:
        if not self.armed or self.fired or verb in ("get", "list"):
            return None
        self.left -= 1
        self.fired = self.left < 0
        return self.error if self.fired else None


async def _world(bench: Bench, fault: _NthWrite | None) -> Any:
    """Create, finish the Job, change the spec; a fault restarts the operator. Returns what is there in the end."""

    async def settle() -> None:
        if fault:
            fault.armed = True
        try:
            await bench.settle()
        except (ApiError, Unreachable):
            bench.restart()
            await bench.informing.resync()
            await bench.settle()
        if fault:
            fault.armed = False

    if fault:
        fault.armed = False
    await bench.create(copies=2)
    await settle()
    bench.cluster.set_status(Key(JOB, "default", bench.names(JOB)[0]), {"succeeded": 1})
    await settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"copies": 1}})
    await settle()
    jobs = [c for c in bench.cluster.calls if c[:2] == ("create", "Job")]
    status = {k: v for k, v in bench.status().items() if k != "conditions"}
    return bench.names(CONFIG_MAP), len(bench.names(JOB)), status, len({name for _, _, name in jobs})


async def test_a_reference_to_every_object_of_a_kind_sees_and_is_woken_by_each() -> None:
    bench = Bench()
    await bench.create(wants="*")
    await bench.settle()
    for name in ("one", "two"):
        await bench.cluster.create(GEN_MODEL, {"metadata": {"name": name, "namespace": "default"}, "spec": {}})
    await bench.cluster.create(GEN_MODEL, {"metadata": {"name": "three", "namespace": "elsewhere"}, "spec": {}})
    await bench.settle()
    assert bench.status()["found"] == 2


def measuring(obj: Any, seen: Seen, now: datetime) -> Plan:
    """A plan that says what was answered."""
    answer = seen.answer("copies")
    return Plan(conditions=(Condition("Ready", "Unknown", answer.reason or "Known", f"{answer.value}"),))


MEASURING = replace(TOY, plan=measuring, asks=lambda obj, seen, now: {"copies": f"wanted({obj.spec.copies})"})


@pytest.mark.parametrize(
    ("oracle", "reason", "value"),
    [
        (None, Reason.NO_PROMETHEUS, "None"),
        (FakeOracle(), Reason.NO_METRICS, "None"),
        (FakeOracle(lambda query: Answer(7.0) if query == "wanted(2)" else None), "Known", "7.0"),
    ],
)
async def test_what_a_stage_asks_is_answered_in_what_it_sees(oracle: Any, reason: str, value: str) -> None:
    bench = Bench(MEASURING, oracle)
    await bench.create(copies=2)
    await bench.settle()
    said = bench.status()["conditions"][0]
    assert (said["reason"], said["message"]) == (reason, value)


async def test_a_stage_that_asks_nothing_costs_no_question() -> None:
    oracle = FakeOracle()
    bench = Bench(oracle=oracle)
    await bench.create()
    await bench.settle()
    assert oracle.asked == []


async def test_what_is_asked_of_a_moment_is_answered_to_a_plan_of_that_moment() -> None:
    """The clock moves on at each look; a question that names a time must find its answer."""
    moments = itertools.count()

    def plan(obj: Any, seen: Seen, now: datetime) -> Plan:
        return Plan(status={"phase": seen.answer(now.isoformat()).reason or "Known"})

    stage = replace(TOY, plan=plan, asks=lambda obj, seen, now: {now.isoformat(): "1"})
    bench = Bench(stage, FakeOracle(lambda query: Answer(1.0)))
    bench.engine._clock = lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(moments))
    await bench.create()
    await bench.settle()
    assert bench.status()["phase"] == "Known"


@pytest.mark.parametrize("late", [False, True])
async def test_whom_our_own_writes_concern_is_looked_at_whenever_the_watch_tells_of_them(late: bool) -> None:
    """The answer to a write is kept at once, so that the watch's word for it is no news and wakes nobody."""
    town = await Town(late).make(GEN_MODEL, "digits", IDEA)
    assert town.job_of(GEN_DATASET, "digits-1"), "what a model made is looked at"
    await town.prepared("digits-1")
    assert town.job_of(GEN_TRAINING_JOB, "digits-1"), "a model hears of what it made"
    await town.trained("digits-1")
    assert town.world().status(Key(GEN_MODEL, SPACE, "digits"))["phase"] == "Evaluating"
