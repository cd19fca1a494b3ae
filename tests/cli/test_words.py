"""What is said of objects is in the reference: conditions by kind, and a remedy for whatever a person must mend."""

from collections.abc import Awaitable, Callable

import pytest
import towns
from towns import Town

from gencontract.codes import TABLE, Code, Retry
from genops.core.reasons import Reason, meanings
from genops.core.remedies import REMEDIES, remedy
from genops.generate.vocabulary import RULES
from genops.stages.conditions import CONDITIONS

WORLDS = [
    towns.new,
    towns.ready,
    towns.blocked,
    towns.out_of_memory,
    towns.passed,
    towns.failed_verdict,
    towns.asked_people,
    towns.idea_rejected,
]
# Phases in which nothing goes on by itself.
STOPPED = ("Failed", "Blocked", "Halted", "Degraded", "Suspended", "Parked", "WaitingForHumans")


@pytest.mark.parametrize("build", WORLDS, ids=lambda b: b.__name__)
async def test_every_condition_that_is_said_is_in_the_table(build: Callable[[], Awaitable[Town]]) -> None:
    world = (await build()).world()
    for key in world.ours():
        said = {c["type"] for c in world.status(key).get("conditions", ())}
        assert said, key
        assert said <= set(CONDITIONS[key.kind]), key


async def test_every_condition_in_the_table_is_said_somewhere() -> None:
    said = {
        (key.kind, c["type"])
        for build in WORLDS
        for world in [(await build()).world()]
        for key in world.ours()
        for c in world.status(key).get("conditions", ())
    }
    only_where_it_is = {"EngineFallback", "RolledBack", "Drifted"}
    failed_evaluation = {("GenEvaluation", "Failed")}
    told = {(kind, name) for kind, known in CONDITIONS.items() for name in known if name not in only_where_it_is}
    assert {(str(k), n) for k, n in told - said} <= failed_evaluation


@pytest.mark.parametrize("kind", RULES)
def test_a_phase_in_which_nothing_goes_on_has_a_remedy(kind: str) -> None:
    own = {str(r) for r in Reason}
    stopped = {rule.reason for rule in RULES[kind] if rule.phase in STOPPED and str(rule.reason) in own}
    assert stopped - {Reason.DELETING} <= set(REMEDIES)


def test_an_end_that_is_not_tried_again_has_a_remedy() -> None:
    final = {m.reason for m in TABLE.values() if m.retry is Retry.NEVER and m.code is not Code.DONE}
    assert final <= set(REMEDIES)


@pytest.mark.parametrize("reason", sorted(REMEDIES))
def test_a_remedy_is_of_a_reason_that_exists_and_fills_in(reason: str) -> None:
    assert reason in meanings()
    text = remedy(reason, "gds/digits")
    assert "{" not in text.replace('\'{"spec": {"suspend": false}}\'', "")
    assert text[0].islower()
    assert not text.endswith(".")
