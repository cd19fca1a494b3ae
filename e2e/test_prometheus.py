"""What the operator is told by a real Prometheus, and by one that is empty, hangs, is gone, or talks nonsense."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from monitoring import Monitor, free_port, prometheus, scraping, serves

from genops.core.model import Answer
from genops.core.reasons import Reason
from genops.shell.prometheus import Prometheus

PAGE = 'up_to{le="1"} 3\nup_to{le="2"} 5\nbroken NaN\nendless +Inf\n'


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    with (
        serves(lambda: PAGE) as page,
        prometheus(tmp_path_factory.mktemp("prometheus"), scraping("page", page)) as running,
    ):
        running.until("up_to")
        yield running


def asked(address: str, query: str, ahead: timedelta = timedelta(), seconds: float = 5) -> Answer:
    """Ask as the operator does, by a clock that may be ahead."""

    async def ask() -> Answer:
        oracle = Prometheus(address, seconds)
        try:
            return (await oracle.ask({"it": query}, datetime.now(UTC) + ahead))["it"]
        finally:
            await oracle.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("query", "value"), [("sum(up_to)", 8), ('up_to{le="2"}', 5), ("scalar(sum(up_to)) * 2", 16), ("vector(0)", 0)]
)
def test_one_number_is_a_value(monitor: Monitor, query: str, value: float) -> None:
    assert asked(monitor.address, query) == Answer(value)


@pytest.mark.parametrize(
    ("query", "reason", "says"),
    [
        ("nothing_of_that_name", Reason.NO_METRICS, "no such series"),
        ("up_to", Reason.AMBIGUOUS, "2 series where one number is needed"),
        ("broken", Reason.NOT_A_NUMBER, "nan"),
        ("endless", Reason.NOT_A_NUMBER, "inf"),
        ("sum(up_to) / 0", Reason.NOT_A_NUMBER, "inf"),
        ("up_to[5m]", Reason.PROMETHEUS_UNREACHABLE, "not of its API"),
        ("sum(", Reason.QUERY_REFUSED, "parse error"),
        ('"words"', Reason.PROMETHEUS_UNREACHABLE, "not of its API"),
    ],
)
def test_what_is_no_number_has_a_reason(monitor: Monitor, query: str, reason: Reason, says: str) -> None:
    answer = asked(monitor.address, query)
    assert (answer.value, answer.reason) == (None, reason)
    assert says in answer.message


@pytest.mark.parametrize(("hours", "says"), [(1, "behind"), (-1, "ahead of")])
def test_a_clock_that_is_elsewhere_is_stale(monitor: Monitor, hours: int, says: str) -> None:
    answer = asked(monitor.address, "sum(up_to)", timedelta(hours=hours))
    assert (answer.value, answer.reason) == (None, Reason.STALE)
    assert says in answer.message


def test_many_questions_keep_their_names(monitor: Monitor) -> None:
    async def ask() -> dict[str, float | None]:
        oracle = Prometheus(monitor.address)
        try:
            answers = await oracle.ask({str(n): f"vector({n})" for n in range(100)}, datetime.now(UTC))
        finally:
            await oracle.close()
        return {name: answer.value for name, answer in answers.items()}

    assert asyncio.run(ask()) == {str(n): n for n in range(100)}


def test_one_that_hangs_is_unreachable_and_answers_again_after(tmp_path: Path) -> None:
    with prometheus(tmp_path) as monitor:
        monitor.pause()
        answer = asked(monitor.address, "vector(1)", seconds=0.5)
        assert (answer.value, answer.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)
        assert "no answer in 0.5 s" in answer.message
        monitor.go_on()
        assert asked(monitor.address, "vector(1)") == Answer(1)


def test_one_that_is_gone_is_unreachable() -> None:
    answer = asked(f"http://127.0.0.1:{free_port()}", "vector(1)")
    assert (answer.value, answer.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)


@pytest.mark.parametrize("body", ["<html>", "[]", "null", "{}", '{"status": "success"}', "x" * (1 << 21)])
def test_nonsense_is_no_number(body: str) -> None:
    """A server that is none: its page is the answer to any path."""
    with serves(lambda: body) as page:
        answer = asked(f"http://{page}", "vector(1)")
    assert (answer.value, answer.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)
