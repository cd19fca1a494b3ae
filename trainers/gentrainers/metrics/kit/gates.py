"""The decision rule: from claims with limits to Passed, Failed or Inconclusive.

A claim says on which side of a limit the truth must lie. Each claim is tested in both directions at alpha / 2, each
direction corrected after Holm over all claims: any wrong word about any claim, in either direction, has a chance of
at most alpha. What neither test decides is undecided, never passed. docs/explanation/evaluation.md says it at length.
This module must not know any metric by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gentrainers.metrics.kit.estimates import Estimate

Verdict = Literal["Passed", "Failed", "Inconclusive"]
Need = Literal["threshold", "noWorse", "better"]


@dataclass(frozen=True)
class Claim:
    """The truth behind `estimate` lies above `limit` (or below it, when `above` is False)."""

    metric: str
    need: Need
    estimate: Estimate
    limit: float
    above: bool
    strict: bool = False

    def p_pass(self) -> float:
        """Bound the chance of data so good if the claim were false."""
        return self._p(self.above, self.strict)

    def p_fail(self) -> float:
        """Bound the chance of data so bad if the claim were true."""
        return self._p(not self.above, not self.strict)

    def _p(self, above: bool, strict: bool) -> float:
        if self.estimate.n < self.estimate.least:
            return 1.0
        test = self.estimate.p_above if above else self.estimate.p_below
        return test(self.limit, strict)


@dataclass(frozen=True)
class Outcome:
    """What was found about a claim, and the bound that shows it, with the error rate the bound was taken at."""

    claim: Claim
    passed: bool | None
    tail: float
    bound: float
    needed: int | None = None
    objection: str = ""

    @property
    def sentence(self) -> str:
        """Say to people what was shown, or why nothing was."""
        if self.objection:
            return self.objection
        if self.passed is None:
            return _undecided(self)
        what = "" if self.claim.need == "threshold" else "difference to the baseline "
        side = "at least" if self.claim.above is self.passed else "at most"
        return f"{what}{side} {self.bound:.4g}, limit {self.claim.limit:.4g}"


def _undecided(outcome: Outcome) -> str:
    estimate, limit = outcome.claim.estimate, f"{outcome.claim.limit:.4g}"
    if estimate.n < estimate.least:
        return f"not enough data: {estimate.n} {estimate.unit}, at least {estimate.least} are needed"
    more = f"about {outcome.needed} {estimate.unit} would decide" if outcome.needed else "no amount would decide"
    low, high = estimate.low(outcome.tail), estimate.high(outcome.tail)
    return f"not enough data: {low:.4g} to {high:.4g} holds the limit {limit}; {more}, there were {estimate.n}"


def holm(p_values: Sequence[float], error: float) -> list[tuple[bool, float]]:
    """Say which hypotheses are rejected after Holm 1979, each with the level at which that was decided.

    >>> holm([0.01, 0.04, 0.03], 0.05)
    [(True, 0.016666666666666666), (False, 0.025), (False, 0.025)]
    """
    answers: list[tuple[bool, float]] = [(False, error)] * len(p_values)
    stopped_at: float | None = None
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        level = stopped_at or error / (len(p_values) - rank)
        if p_values[index] > level:
            stopped_at = level
        answers[index] = (stopped_at is None, level)
    return answers


def decide(claims: Sequence[Claim], alpha: float) -> list[Outcome]:
    """Test every claim in both directions; the chance of any wrong "passed" or "failed" is at most alpha."""
    passes = holm([c.p_pass() for c in claims], alpha / 2)
    fails = holm([c.p_fail() for c in claims], alpha / 2)
    return [_outcome(c, p, f) for c, p, f in zip(claims, passes, fails, strict=True)]


def _outcome(claim: Claim, passes: tuple[bool, float], fails: tuple[bool, float]) -> Outcome:
    failed = fails[0] and not passes[0]
    tail = fails[1] if failed else passes[1]
    low_side = claim.above is not failed
    bound = claim.estimate.low(tail) if low_side else claim.estimate.high(tail)
    if passes[0] or failed:
        return Outcome(claim, passes[0], tail, bound)
    return Outcome(claim, None, tail, bound, claim.estimate.needed(claim.limit, tail))


def verdict(outcomes: Sequence[Outcome]) -> Verdict:
    """Conclude: one failed claim fails all, all passed pass, anything else (also: nothing asked) is Inconclusive."""
    if any(o.passed is False for o in outcomes):
        return "Failed"
    if outcomes and all(o.passed for o in outcomes):
        return "Passed"
    return "Inconclusive"


def contradict(first: Estimate, second: Estimate, tail: float) -> bool:
    """Say whether two opinions on the same difference contradict: other signs, and one of them sure of its own."""
    if first.value * second.value >= 0:
        return False
    return any(e.low(tail) > 0 or e.high(tail) < 0 for e in (first, second))
