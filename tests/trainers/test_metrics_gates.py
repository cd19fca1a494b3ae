"""The decision rule: a table of cases, and its error rates by simulation."""

import numpy as np
import pytest

from gentrainers.metrics.kit.estimates import Estimate, Mean, Share
from gentrainers.metrics.kit.gates import Claim, contradict, decide, holm, verdict
from gentrainers.metrics.kit.scores import PerSeed


def claim(value: float, error: float = 0.1, limit: float = 0.0, above: bool = True, n: int = 5) -> Claim:
    return Claim("m", "threshold", Mean(value, error, n, "seeds", 5), limit, above)


@pytest.mark.parametrize(
    ("claims", "expect"),
    [
        pytest.param([claim(1.0)], "Passed", id="the bound on the bad side clears the limit"),
        pytest.param([claim(-1.0)], "Failed", id="the other bound misses it"),
        pytest.param([claim(0.1)], "Inconclusive", id="the interval holds the limit"),
        pytest.param([claim(-1.0, above=False)], "Passed", id="less is claimed"),
        pytest.param([claim(1.0), claim(-1.0)], "Failed", id="one failed claim fails all"),
        pytest.param([claim(1.0), claim(0.1)], "Inconclusive", id="one undecided claim keeps all from passing"),
        pytest.param([claim(0.1), claim(-1.0)], "Failed", id="failed outweighs undecided"),
        pytest.param([], "Inconclusive", id="nothing claimed is nothing passed"),
        pytest.param([claim(1.0, n=4)], "Inconclusive", id="four seeds are too few, however clear"),
        pytest.param([claim(1.0, error=0.0)], "Passed", id="a number that never varies"),
        pytest.param([claim(0.0, error=0.0)], "Passed", id="exactly at the limit, which is allowed"),
    ],
)
def test_verdicts(claims: list[Claim], expect: str) -> None:
    assert verdict(decide(claims, 0.05)) == expect


def test_a_model_that_is_the_baseline_is_no_worse_and_not_better() -> None:
    same = PerSeed(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    ahead = same.ahead_of(same)
    no_worse, better = Claim("m", "noWorse", ahead, 0.0, True), Claim("m", "better", ahead, 0.0, True, strict=True)
    assert [o.passed for o in decide([no_worse, better], 0.05)] == [True, False]


def test_one_claim_decides_as_its_plain_interval_says() -> None:
    for value in np.linspace(-0.6, 0.6, 41):
        c = claim(float(value))
        low, high = c.estimate.low(0.025), c.estimate.high(0.025)
        expect = True if low > 0 else False if high < 0 else None
        assert decide([c], 0.05)[0].passed is expect


def test_the_bound_shown_is_the_one_that_decided() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        outcomes = decide([claim(float(v)) for v in random.normal(0, 0.4, 4)], 0.05)
        for o in outcomes:
            shown = o.bound > 0 if o.passed is not False else not o.bound < 0
            assert shown is bool(o.passed)


def test_holm_equals_adjusted_p_values() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        p = random.uniform(0, 0.1, 6)
        order = np.argsort(p)
        adjusted = np.empty(6)
        adjusted[order] = np.minimum(1, np.maximum.accumulate((6 - np.arange(6)) * p[order]))
        assert [r for r, _ in holm(p.tolist(), 0.05)] == (adjusted <= 0.05).tolist()


def _rates(simulate: object, worlds: int = 4000, alpha: float = 0.05) -> tuple[float, float]:
    """Return how often a world of claims got any wrong word, and how often a false evaluation passed."""
    wrong = passed = 0
    for world in range(worlds):
        claims, truths = simulate(np.random.default_rng([world, 3]))  # type: ignore[operator]
        outcomes = decide(claims, alpha)
        wrong += any(o.passed is not None and o.passed is not t for o, t in zip(outcomes, truths, strict=True))
        passed += verdict(outcomes) == "Passed" and not all(truths)
    return wrong / worlds, passed / worlds


ALLOWED = 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_false_words_about_five_seeds_stay_below_alpha() -> None:
    def world(random: np.random.Generator) -> tuple[list[Claim], list[bool]]:
        offsets = random.choice([-1e-9, 1e-9], 4)  # as near to the limit as can be, on either side
        scores = [PerSeed(random.normal(o, 1, 5)).estimate() for o in offsets]
        return [Claim("m", "threshold", s, 0.0, True) for s in scores], [bool(o > 0) for o in offsets]

    wrong, passed = _rates(world)
    assert 0.005 < wrong <= ALLOWED
    assert passed <= ALLOWED


def test_a_false_evaluation_passes_at_most_at_half_of_alpha() -> None:
    def world(random: np.random.Generator) -> tuple[list[Claim], list[bool]]:
        one_is_bad = [PerSeed(random.normal(m, 1, 5)).estimate() for m in (-1e-9, 9.0, 9.0)]
        return [Claim("m", "threshold", s, 0.0, True) for s in one_is_bad], [False, True, True]

    _, passed = _rates(world)
    assert 0.01 < passed <= 0.025 + 3 * (0.025 * 0.975 / 4000) ** 0.5


def test_false_words_about_shares_stay_below_alpha() -> None:
    def world(random: np.random.Generator) -> tuple[list[Claim], list[bool]]:
        shares = [Share(int(random.binomial(60, p)), 60) for p in (0.9 - 1e-9, 0.5 - 1e-9, 0.05 - 1e-9)]
        limits = (0.9, 0.5, 0.05)
        return [Claim("m", "threshold", s, x, True) for s, x in zip(shares, limits, strict=True)], [False] * 3

    wrong, _ = _rates(world)
    assert wrong <= ALLOWED


def test_non_inferiority_is_decided_on_the_difference_to_the_baseline() -> None:
    random = np.random.default_rng(4)
    shared = random.normal(10, 3, 5)
    worse_by_one = PerSeed(shared + 1 + random.normal(0, 0.05, 5)).ahead_of(PerSeed(shared))
    for margin, expect in ((2.0, True), (0.5, False), (1.0, None)):
        outcome = decide([Claim("fid", "noWorse", worse_by_one, margin, above=False)], 0.05)[0]
        assert outcome.passed is expect, margin


def test_an_undecided_claim_says_how_much_would_decide() -> None:
    outcome = decide([claim(0.1)], 0.05)[0]
    assert outcome.needed is not None
    assert "not enough data" in outcome.sentence
    assert f"about {outcome.needed} seeds would decide" in outcome.sentence
    few = decide([claim(1.0, n=4)], 0.05)[0]
    assert few.sentence == "not enough data: 4 seeds, at least 5 are needed"


@pytest.mark.parametrize(
    ("first", "second", "expect"),
    [
        pytest.param(Mean(1, 0.1, 5), Mean(0.2, 0.5, 5), False, id="same sign"),
        pytest.param(Mean(1, 0.1, 5), Mean(-0.2, 0.5, 5), True, id="other sign, the first is sure"),
        pytest.param(Mean(0.1, 1, 5), Mean(-0.2, 0.5, 5), False, id="other sign, neither is sure"),
        pytest.param(Mean(0.1, 1, 5), Mean(-2, 0.1, 5), True, id="other sign, the second is sure"),
    ],
)
def test_opinions_contradict_only_where_one_is_sure(first: Estimate, second: Estimate, expect: bool) -> None:
    assert contradict(first, second, 0.025) is expect
