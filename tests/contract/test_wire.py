"""What crosses the boundary comes back the same, within Kubernetes' limits, and says what is wrong when it cannot."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencontract import wire
from gencontract.codes import PERMANENT, TABLE, Code, Retry, meaning
from gencontract.layout import TERMINATION_BUDGET
from gencontract.report import EngineReport, MetricReport, Progress, Report
from gencontract.task import PrepareTask, Source, TaskFile

TASK = TaskFile(task=PrepareTask(source=Source(kind="builtin", name="digits"), format="images", output="/x"))


def test_a_task_comes_back_the_same() -> None:
    assert wire.decode_task(wire.encode_task(TASK)) == TASK


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verb": "bake"}, "task"),
        ({"format": "smells"}, "format"),
        ({"output": None}, "output"),
        ({"colour": "red"}, "colour"),
        ({"dedup": {"near": {"threshold": 3}}}, "threshold: Input should be less than or equal to 1, got 3"),
    ],
)
def test_a_wrong_task_names_the_field(change: dict[str, object], says: str) -> None:
    body = json.loads(wire.encode_task(TASK))
    body["task"] |= change
    with pytest.raises(wire.WireError, match=says):
        wire.decode_task(json.dumps(body))


reports = st.builds(
    Report,
    verb=st.just("evaluate"),
    code=st.sampled_from(list(Code)),
    message=st.text(max_size=6000),
    metrics=st.lists(st.builds(MetricReport, name=st.text(max_size=40), message=st.text(max_size=400)), max_size=30),
    engines=st.lists(st.builds(EngineReport, target=st.text(max_size=40), reason=st.text(max_size=400)), max_size=30),
)


@given(reports)
def test_a_report_always_fits_and_keeps_what_decides(report: Report) -> None:
    text = wire.encode_report(report)
    assert len(text.encode()) <= TERMINATION_BUDGET
    back = wire.decode_report(text)
    assert back is not None
    assert (back.verb, back.code) == (report.verb, report.code)


def test_a_short_report_comes_back_the_same() -> None:
    report = Report(
        verb="train", code=Code.DONE, message="Done", metrics=[MetricReport(name="fid", value=2.5, low=2.0)]
    )
    assert wire.decode_report(wire.encode_report(report)) == report


@pytest.mark.parametrize("text", ["", "Killed", "{}", '{"verb": "train"}', "[1]", "\x00"])
def test_a_message_of_another_kind_is_no_report(text: str) -> None:
    assert wire.decode_report(text) is None


def test_the_newest_whole_heartbeat_counts_and_other_lines_do_not_disturb() -> None:
    lines = [
        wire.encode_progress(Progress(step=1, total=9)),
        "2026-01-01T00:00:00Z " + wire.encode_progress(Progress(step=2, total=9)),
        wire.encode_progress(Progress(step=3, total=9))[:-9],
        "a warning",
    ]
    found = wire.last_progress("\n".join(lines))
    assert found is not None
    assert found.step == 2
    assert wire.last_progress("nothing here") is None


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.canonical({"loss": float("nan")})


def test_the_table_of_codes_is_whole_and_permanent_codes_are_those_of_sysexits() -> None:
    assert set(TABLE) == set(Code)
    assert len({m.reason for m in TABLE.values()}) == len(TABLE)
    assert all(64 <= code <= 78 for code in PERMANENT)
    assert meaning(3).retry is Retry.COUNTED
    assert meaning(143).retry is Retry.FREE
