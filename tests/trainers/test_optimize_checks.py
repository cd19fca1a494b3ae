"""The numeric check finds what is wrong, and tolerates what was allowed."""

from typing import Any

import numpy as np
import pytest

from gentrainers.exporters import _check as check
from gentrainers.serving.backend.engine import Engine


def worst(expected: Any, got: Any, atol: float = 0.1, rtol: float = 0.0) -> tuple[float, float]:
    """Compare one probe; arguments are one output, or a tuple of several."""
    outputs, answers = (
        [np.asarray(y) for y in (side if isinstance(side, tuple) else (side,))] for side in (expected, got)
    )
    engine = Engine({}, lambda inputs: answers)
    return check.worst(engine, [check.Probe([np.zeros(len(outputs[0]))], outputs)], atol, rtol)


def test_errors_within_tolerance_have_no_excess() -> None:
    error, excess = worst([1.0, 2.0], [1.05, 2.0])
    assert error == pytest.approx(0.05)
    assert excess < 0


def test_relative_tolerance_grows_with_the_value() -> None:
    assert worst([100.0], [101.0], atol=0, rtol=0.02)[1] < 0
    assert worst([1.0], [2.0], atol=0, rtol=0.02)[1] > 0


@pytest.mark.parametrize("got", [[np.nan, 2.0], [np.inf, 2.0], [1.0], []])
def test_numbers_that_are_none_and_shapes_that_differ_are_infinitely_wrong(got: list[float]) -> None:
    assert worst([1.0, 2.0], got) == (float("inf"), float("inf"))


def test_sequences_may_flip_as_often_as_was_allowed() -> None:
    assert worst([[1, 2], [3, 4]], [[1, 2], [3, 5]], atol=0.5)[1] <= 0
    assert worst([[1, 2], [3, 4]], [[1, 2], [3, 5]], atol=0.1) == (0.5, 0.4)


def test_numbers_are_compared_where_the_tokens_are_equal() -> None:
    expected = ([[1], [2]], [[0.5], [0.25]])
    assert worst(expected, ([[1], [3]], [[0.5], [9.0]]), atol=0.5) == (0.0, -0.5)
    assert worst(expected, ([[1], [2]], [[0.5], [9.0]]), atol=0.5)[1] > 0


def test_speed_is_per_batch() -> None:
    assert check.Speed(batch=16, p50=8.0, p95=9.0).throughput == 2000
