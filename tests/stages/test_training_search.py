"""The choice of trials: what each algorithm may choose, that it is a function of its seed, and that tpe learns."""

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops.stages.training.search import Tried, best, count, ranked, suggest
from genops.stages.training.spec import Search

LR = {"name": "lr", "min": 1e-5, "max": 1.0, "log": True}
WIDTH = {"name": "width", "min": 8, "max": 512, "integer": True, "log": True}
ACTIVATION = {"name": "activation", "values": ["relu", "gelu", "tanh"]}
DEPTH = {"name": "depth", "min": 2, "max": 8, "integer": True, "step": 2}


def a_search(algorithm: str, *parameters: dict[str, Any], trials: int = 20, **more: Any) -> Search:
    spec = {"metric": "loss", "algorithm": algorithm, "parameters": list(parameters), "trials": trials, **more}
    return Search.model_validate(spec)


def test_a_grid_counts_through_every_combination_once() -> None:
    search = a_search("grid", ACTIVATION, DEPTH)
    assert count(search) == 12
    chosen = [suggest(search, n) for n in range(count(search))]
    assert chosen[0] == {"activation": "relu", "depth": 2}
    assert chosen[1] == {"activation": "relu", "depth": 4}
    assert len({tuple(c.items()) for c in chosen}) == 12


def test_a_grid_has_no_more_trials_than_are_asked_for() -> None:
    assert count(a_search("grid", ACTIVATION, DEPTH, trials=5)) == 5
    assert count(a_search("random", ACTIVATION, trials=7)) == 7


@given(st.sampled_from(["random", "tpe"]), st.integers(0, 2**31 - 1), st.integers(0, 40), st.data())
def test_every_choice_lies_in_its_range_and_is_a_function_of_seed_and_past(
    algorithm: str, seed: int, number: int, data: st.DataObject
) -> None:
    search = a_search(algorithm, LR, WIDTH, ACTIVATION, DEPTH, trials=60, seed=seed)
    values = data.draw(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=20))
    tried = [Tried(n, suggest(search, n), v) for n, v in enumerate(values)]
    chosen = suggest(search, number, tried)
    assert chosen == suggest(search, number, tuple(reversed(tried)))
    assert 1e-5 <= float(chosen["lr"]) <= 1.0
    assert isinstance(chosen["width"], int)
    assert 8 <= chosen["width"] <= 512
    assert chosen["activation"] in ACTIVATION["values"]
    assert chosen["depth"] in (2, 4, 6, 8)


def test_a_range_of_whole_numbers_gives_each_the_same_chance() -> None:
    search = a_search("random", {"name": "n", "min": 1, "max": 4, "integer": True}, trials=1000)
    chosen = [suggest(search, n)["n"] for n in range(1000)]
    assert all(200 < chosen.count(n) < 300 for n in (1, 2, 3, 4))


def test_trials_that_failed_come_last_and_are_never_the_best() -> None:
    tried = [Tried(0, {}, None), Tried(1, {}, 3.0), Tried(2, {}, 1.0), Tried(3, {}, 3.0)]
    low, high = a_search("random", LR), a_search("random", LR, goal="Maximize")
    assert [t.number for t in ranked(low, tried)] == [2, 1, 3, 0]
    assert [t.number for t in ranked(high, tried)] == [1, 3, 2, 0]
    assert best(low, tried) == tried[2]
    assert best(low, [tried[0]]) is None


def bowl(p: dict[str, int | str]) -> float:
    width, rate = float(p["width"]), float(p["lr"])
    return (math.log10(rate) + 3) ** 2 + 0.3 * (math.log2(width) - 6) ** 2 + (0 if p["activation"] == "gelu" else 1)


def outcome(algorithm: str, seed: int, f: Callable[[dict[str, int | str]], float], goal: str, trials: int) -> float:
    search = a_search(algorithm, LR, WIDTH, ACTIVATION, trials=trials, seed=seed, goal=goal)
    tried: list[Tried] = []
    for number in range(trials):
        chosen = suggest(search, number, tried)
        tried.append(Tried(number, chosen, f(chosen)))
    found = best(search, tried)
    assert found is not None
    assert found.value is not None
    return found.value


@pytest.mark.parametrize("goal", ["Minimize", "Maximize"])
def test_tpe_finds_better_trials_than_chance(goal: str) -> None:
    sign = 1 if goal == "Minimize" else -1
    by: dict[str, float] = {}
    for algorithm in ("random", "tpe"):
        found = [sign * outcome(algorithm, seed, lambda p: sign * bowl(p), goal, 40) for seed in range(15)]
        by[algorithm] = statistics.mean(found)
    assert by["tpe"] < 0.6 * by["random"]
