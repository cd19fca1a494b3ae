"""The numeric check finds what is wrong, and tolerates what was allowed."""

from typing import Any

import numpy as np
import pytest

from gentrainers.exporters import _check as check
from gentrainers.serving.backend.engine import Engine


def worst(expected: Any, got: Any, atol: float = 0.1, rtol: float = 0.0) -> tuple[float, float]:
    engine = Engine({}, lambda inputs: [np.asarray(got)])
    return check.worst(engine, [check.Probe([np.zeros(len(expected))], np.asarray(expected))], atol, rtol)


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


def test_the_error_of_tokens_is_the_share_of_sequences_that_differ() -> None:
    error, excess = worst([[1, 2], [3, 4]], [[1, 2], [3, 5]], atol=0.5)
    assert error == 0.5
    assert excess <= 0


def test_speed_is_per_batch() -> None:
    assert check.Speed(batch=16, p50=8.0, p95=9.0).throughput == 2000
