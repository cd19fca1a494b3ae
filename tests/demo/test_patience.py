"""When the demo gives up, and what it says then."""

import pytest

from genops.demo.watching import NEEDS, DemoError, Patience, Row, row


def at(phase: str, reason: str = "", message: str = "") -> Row:
    return Row("GenDataset", "digits", phase, "", message, reason)


STUCK = at("Pending", "PodNotStarted", "ErrImagePull: no such image")


def test_what_moves_is_waited_for_until_the_time_is_over() -> None:
    patience = Patience(timeout=1000)
    for second in range(0, 1000, 10):
        patience.check([at("Preparing", "Preparing")], second)
    with pytest.raises(DemoError, match="GenDataset digits is still Preparing after 1001 s"):
        patience.check([at("Preparing", "Preparing")], 1001)


def test_what_is_bad_ends_it_at_once() -> None:
    with pytest.raises(DemoError, match="GenDataset digits is Blocked: rows: 3"):
        Patience(1000).check([at("Blocked", "CheckBlocked", "rows: 3")], 1)


@pytest.mark.parametrize(
    ("stands", "says"),
    [(at("-"), "The operator says nothing of GenDataset digits"), (STUCK, "cannot start: ErrImagePull: no such image")],
)
def test_what_will_not_move_by_itself_is_given_up_with_what_a_cluster_needs(stands: Row, says: str) -> None:
    patience = Patience(timeout=1000)
    patience.check([stands], 0)
    patience.check([stands], 40)
    with pytest.raises(DemoError) as given_up:
        patience.check([stands], 100)
    assert says in str(given_up.value)
    assert NEEDS in str(given_up.value)


def test_a_pod_that_started_after_all_has_its_time_anew() -> None:
    patience = Patience(timeout=1000)
    patience.check([STUCK], 0)
    patience.check([at("Preparing", "Preparing")], 80)
    patience.check([STUCK], 100)
    patience.check([STUCK], 180)


def test_the_condition_that_tells_gives_reason_and_message() -> None:
    said = {"type": "Ready", "status": "False", "reason": "PodNotStarted", "message": "no image"}
    seen = row(
        {"kind": "GenDataset", "metadata": {"name": "digits"}, "status": {"phase": "Pending", "conditions": [said]}}
    )
    assert (seen.reason, seen.message) == ("PodNotStarted", "no image")
