"""The engine's finalizer: set before anything is made, kept until the plan lets go, and never in the way for ever."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from toy import TOY, Bench, ToySpec, child, toy_plan

from genops.core.conditions import Condition
from genops.core.kinds import CONFIG_MAP, EVENT, GEN_DATASET, JOB
from genops.core.model import FINALIZER, Happening, Key, Plan, Resource, Seen
from genops.shell.errors import ApiError, Unreachable

TOY_KEY = Key(GEN_DATASET, "default", "toy")
GOING = ApiError(403, "Forbidden", "namespace default is being terminated", ("NamespaceTerminating",))


def holding_plan(obj: Resource[ToySpec], seen: Seen, now: datetime) -> Plan:
    """While it lives, the toy as it is; under deletion one Job that cleans, and nothing else. `paused` lets it go."""
    if not obj.deleting:
        return replace(toy_plan(obj, seen, now), hold=not obj.spec.paused)
    cleaner = child(obj, JOB, "clean", obj.uid, spec={"template": {"spec": {}}})
    done = (seen.child(JOB, cleaner["metadata"]["name"]) or {}).get("status", {}).get("succeeded")
    reason = "LeftBehind" if seen.terminating else "Cleaned" if done else "Cleaning"
    return Plan(
        children=(cleaner,),
        conditions=(Condition("Ready", "False", reason, ""),),
        happening=Happening("Normal", reason, "") if reason != "Cleaning" else None,
        hold=reason == "Cleaning",
    )


HOLDING = replace(TOY, plan=holding_plan, holds=True)


def toy(bench: Bench) -> dict[str, Any] | None:
    return next(iter(bench.cluster.all(GEN_DATASET)), None)


def finalizers(bench: Bench) -> list[str]:
    found = toy(bench)
    assert found is not None, "the object has gone"
    return list(found["metadata"].get("finalizers", ()))


async def deleted(bench: Bench) -> None:
    found = toy(bench)
    assert found is not None
    await bench.cluster.delete(GEN_DATASET, "default", "toy", found["metadata"]["uid"])


def cleaned(bench: Bench) -> None:
    (name,) = [n for n in bench.names(JOB) if "clean" in n]
    bench.cluster.set_status(Key(JOB, "default", name), {"succeeded": 1})


async def test_an_object_is_held_before_anything_is_made_for_it() -> None:
    bench = Bench(HOLDING)
    await bench.create()
    await bench.settle()
    assert finalizers(bench) == [FINALIZER]
    assert bench.writes()[1][:2] == ("patch", "GenDataset")
    assert bench.writes()[2][:2] == ("create", "Job")
    bench.cluster.calls.clear()
    await bench.informing.resync()
    await bench.settle()
    assert bench.writes() == [], "a settled world is not written"


async def test_it_goes_once_its_plan_has_cleaned_up_and_said_so() -> None:
    bench = Bench(HOLDING)
    await bench.create(copies=2)
    await bench.settle()
    await deleted(bench)
    await bench.settle()
    assert finalizers(bench) == [FINALIZER]
    assert [n for n in bench.names(JOB) if "clean" not in n] == []
    assert bench.names(CONFIG_MAP) == []
    cleaned(bench)
    await bench.settle()
    assert toy(bench) is None
    assert [e["reason"] for e in bench.cluster.all(EVENT)] == ["Cleaned"]


async def test_a_plan_that_no_longer_holds_takes_back_its_finalizer_and_leaves_those_of_others() -> None:
    bench = Bench(HOLDING)
    await bench.create()
    await bench.settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"metadata": {"finalizers": ["theirs.dev/x", FINALIZER]}})
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"paused": True}})
    await bench.settle()
    assert finalizers(bench) == ["theirs.dev/x"]


async def test_an_object_that_is_not_held_makes_nothing_when_it_is_deleted() -> None:
    bench = Bench(HOLDING)
    await bench.create(paused=True)
    await bench.settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"metadata": {"finalizers": ["theirs.dev/x"]}})
    await deleted(bench)
    await bench.settle()
    assert [n for n in bench.names(JOB) if "clean" in n] == []
    assert finalizers(bench) == ["theirs.dev/x"], "a finalizer cannot be added to what is being deleted"


async def test_a_namespace_that_is_removed_is_never_blocked() -> None:
    bench = Bench(HOLDING)
    await bench.create()
    await bench.settle()
    bench.cluster.before = lambda verb, kind, name: GOING if verb == "create" else None
    await deleted(bench)
    await bench.settle()
    assert toy(bench) is None


async def test_a_spec_that_cannot_be_read_is_let_go() -> None:
    bench = Bench(HOLDING)
    await bench.create()
    await bench.settle()
    await bench.cluster.patch(GEN_DATASET, "default", "toy", {"spec": {"copies": -1}})
    await bench.settle()
    assert finalizers(bench) == [FINALIZER], "while it lives, it is held as it was"
    await deleted(bench)
    await bench.settle()
    assert toy(bench) is None


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_fault_at_any_write_of_a_deletion_ends_in_the_same_world(moment: str) -> None:
    for n in range(30):
        bench = Bench(HOLDING)
        left = n

        def fault(verb: str, kind: Any, name: str) -> Exception | None:
            nonlocal left
            if verb in ("get", "list") or (verb, kind) == ("delete", GEN_DATASET):
                return None  # a read, or the person who deletes
            left -= 1
            return Unreachable("cut") if left == -1 else None

        await bench.create()
        setattr(bench.cluster, moment, fault)
        await _through(bench)
        await deleted(bench)
        await _through(bench)
        cleaned(bench)
        await _through(bench)
        assert toy(bench) is None
        made = {name for verb, kind, name in bench.cluster.calls if (verb, kind) == ("create", "Job")}
        assert len(made) == 2, "one Job that works, one that cleans"
        if left >= 0:
            assert n >= 8, "a life and a deletion have at least eight writes"
            return
    raise AssertionError("the scenario has no end")


async def _through(bench: Bench) -> None:
    """Settle; a fault restarts the operator."""
    try:
        await bench.settle()
    except (ApiError, Unreachable):
        bench.restart()
        await bench.informing.resync()
        await bench.settle()
