"""Intervals and p-values, against scipy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from gentrainers.metrics.kit.estimates import Mean, Quantile, Share, normal_needed
from gentrainers.metrics.kit.scores import Hits, PerSeed, Ratio, Times, bootstrap, mean_of, per_sample

TAILS = (0.2, 0.025, 0.001)


def test_a_mean_has_students_interval_and_p_value() -> None:
    values = np.random.default_rng(0).normal(3, 2, 7)
    found = mean_of(values, "seeds")
    for tail in TAILS:
        low, high = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * tail)
        assert (found.low(tail), found.high(tail)) == pytest.approx((low, high))
    for limit in (1.0, 3.0, 4.5):
        assert found.p_above(limit) == pytest.approx(stats.ttest_1samp(values, limit, alternative="greater").pvalue)
        assert found.p_below(limit) == pytest.approx(stats.ttest_1samp(values, limit, alternative="less").pvalue)


@pytest.mark.parametrize(("hits", "n"), [(0, 40), (3, 40), (20, 40), (40, 40)])
def test_a_share_has_the_exact_interval_and_p_value(hits: int, n: int) -> None:
    found = Share(hits, n)
    for tail in TAILS:
        exact = stats.binomtest(hits, n).proportion_ci(1 - 2 * tail, "exact")
        assert (found.low(tail), found.high(tail)) == pytest.approx((exact.low, exact.high))
    for limit in (0.1, 0.5, 0.9):
        assert found.p_above(limit) == pytest.approx(stats.binomtest(hits, n, limit, "greater").pvalue)
        assert found.p_below(limit) == pytest.approx(stats.binomtest(hits, n, limit, "less").pvalue)


def test_no_copies_among_fifty_samples_do_not_prove_that_there_are_none() -> None:
    assert Share(50, 50).low(0.025) < 0.95
    assert Share(50, 50).high(0.025) == 1.0


@pytest.mark.parametrize("tail", [0.05, 0.005])
def test_bounds_and_p_values_say_the_same(tail: float) -> None:
    random = np.random.default_rng(1)
    for found in (Mean(1.0, 0.3, 6), Share(17, 60), Quantile(random.exponential(1, 300), 0.95)):
        for limit in np.linspace(found.value * 0.3, found.value * 1.7, 23):
            assert (found.low(tail) > limit) == (found.p_above(limit) <= tail)
            assert (found.high(tail) < limit) == (found.p_below(limit) <= tail)


def test_a_quantiles_interval_covers_whatever_the_distribution() -> None:
    random, truth = np.random.default_rng(2), stats.lognorm(1).ppf(0.95)
    draws = [Quantile(random.lognormal(0, 1, 120), 0.95) for _ in range(1000)]
    assert np.mean([q.low(0.025) > truth for q in draws]) <= 0.035
    assert np.mean([q.high(0.025) < truth for q in draws]) <= 0.035


def test_71_repeats_cannot_bound_a_95th_percentile_from_above() -> None:
    assert Quantile(np.arange(71.0), 0.95).high(0.025) == np.inf
    assert Quantile(np.arange(72.0), 0.95).high(0.025) == 71.0
    assert Quantile(np.arange(72.0), 0.95).least == 72


def test_the_bootstrap_agrees_with_scipys() -> None:
    values = np.random.default_rng(3).exponential(1, 80)
    found = bootstrap((values,), lambda a: float(np.mean(a)))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=4).confidence_interval
    assert len(found.draws) == 2000
    assert found.low(0.025) == pytest.approx(theirs.low, abs=0.03)
    assert found.high(0.025) == pytest.approx(theirs.high, abs=0.03)


def test_a_ratios_interval_agrees_with_the_bootstrap_clustered_by_document() -> None:
    random = np.random.default_rng(5)
    size = random.integers(20, 200, 150).astype(float)
    nats = size * random.normal(1.5, 0.2, 150)
    found = Ratio(nats, size, "documents").estimate()
    pairs = np.stack([nats, size], axis=1)
    drawn = bootstrap((pairs,), lambda a: float(a[:, 0].sum() / a[:, 1].sum()))
    assert found.value == pytest.approx(nats.sum() / size.sum())
    assert found.low(0.025) == pytest.approx(drawn.low(0.025), abs=0.006)
    assert found.high(0.025) == pytest.approx(drawn.high(0.025), abs=0.006)


def test_scores_of_one_prompt_do_not_count_as_many() -> None:
    random = np.random.default_rng(6)
    prompt = np.repeat(np.arange(20), 50)
    values = random.normal(0, 1, 20)[prompt] + random.normal(0, 0.1, 1000)
    alone, clustered = per_sample(values).estimate(), per_sample(values, prompt).estimate()
    assert clustered.n == 20
    assert clustered.value == pytest.approx(alone.value)
    assert clustered.high(0.025) - clustered.value > 5 * (alone.high(0.025) - alone.value)


def test_pairing_by_seed_removes_what_both_models_share() -> None:
    random = np.random.default_rng(7)
    shared = random.normal(0, 5, 5)
    mine, theirs = PerSeed(shared + 1 + random.normal(0, 0.01, 5)), PerSeed(shared + random.normal(0, 0.01, 5))
    ahead = mine.ahead_of(theirs)
    assert (ahead.low(0.025), ahead.high(0.025)) == pytest.approx((1, 1), abs=0.1)


def test_paired_shares_keep_width_when_no_pair_differs() -> None:
    same = Hits(np.ones(100, np.bool_))
    ahead = same.ahead_of(same)
    assert ahead.value == 0
    assert 0.01 < ahead.high(0.025) < 0.05


def test_two_latencies_differ_by_a_resampled_interval() -> None:
    random = np.random.default_rng(8)
    slow, fast = Times(random.gamma(9, 1, 200) + 5), Times(random.gamma(9, 1, 200))
    ahead = slow.ahead_of(fast)
    assert ahead.low(0.025) < 5 < ahead.high(0.025)
    assert ahead.p_above(0) < 0.01


def test_how_much_is_needed_follows_the_power_formula() -> None:
    assert normal_needed(0.03, 0.5 * 2**0.5, 0.025) == pytest.approx(4361, abs=2)  # (2.802 * 0.7071 / 0.03)^2
    assert normal_needed(0.0, 1.0, 0.025) is None
    random = np.random.default_rng(9)
    needed = mean_of(random.normal(0.5, 1, 20), "seeds").needed(0.0, 0.025)
    assert needed is not None
    assert 10 < needed < 200
