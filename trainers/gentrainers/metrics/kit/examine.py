"""Examine a subject: measure each metric asked for, beside its floor and its baseline, and decide what was claimed.

Composes metrics, makers and the decision rule. It must not know of artifacts, pods or pages.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gencontract.task import MetricGate
from gentrainers.metrics.kit.bench import Bench, Ground, Maker, Real
from gentrainers.metrics.kit.estimates import Estimate
from gentrainers.metrics.kit.extractors import Opinion
from gentrainers.metrics.kit.gates import Claim, Outcome, contradict, decide
from gentrainers.metrics.kit.makers import HeldOut
from gentrainers.metrics.kit.metric import Metric
from gentrainers.metrics.kit.rows import joined
from gentrainers.metrics.kit.scores import Score


@dataclass(frozen=True)
class Asked:
    """One entry of the task's metrics, checked: the metric, its gate and its options."""

    metric: Metric
    gate: MetricGate
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Opinions:
    """What one extractor (or none) found: subject, baseline, and subject minus baseline."""

    subject: Estimate
    raw: Score
    baseline: Estimate | None = None
    ahead: Estimate | None = None


@dataclass(frozen=True)
class Finding:
    """All that was found about one metric."""

    asked: Asked
    first: Opinions
    second: Opinions | None  # through the random extractor, for metrics that look at features
    floor: Estimate | None
    floor_rows: int  # with how many rows the floor was taken; another number than the subject's is told beside it
    outcomes: tuple[Outcome, ...] = ()

    @property
    def passed(self) -> bool | None:
        """False when any claim failed, True when all passed, None when undecided or nothing was claimed."""
        answers = [o.passed for o in self.outcomes]
        if False in answers:
            return False
        return True if answers and all(answers) else None

    @property
    def sentence(self) -> str:
        """Say to people what decided: all claims where they agree, else those that are as bad as the whole."""
        return "; ".join(o.sentence for o in self.outcomes if o.passed is self.passed)


def examine(
    asked: Sequence[Asked], bench: Bench, baseline: Maker | None, alpha: float, say: Callable[[str], None]
) -> list[Finding]:
    """Measure everything, then decide everything at once: Holm's correction needs all claims."""
    found = [_measured(a, bench, baseline, say) for a in asked]
    claims = [(i, claim) for i, finding in enumerate(found) for claim in _claims(finding)]
    outcomes = decide([claim for _, claim in claims], alpha)
    judged = [(i, _second_look(found[i], o, alpha)) for (i, _), o in zip(claims, outcomes, strict=True)]
    return [replace(f, outcomes=tuple(o for j, o in judged if j == i)) for i, f in enumerate(found)]


def _measured(asked: Asked, bench: Bench, baseline: Maker | None, say: Callable[[str], None]) -> Finding:
    say(asked.metric.name)
    mine = replace(bench, options=asked.options)
    theirs = replace(mine, maker=baseline) if baseline else None
    second = _opinions(asked.metric, mine, theirs, "random") if asked.metric.needs == "features" else None
    floor = _floor(asked.metric, mine)
    return Finding(
        asked=asked,
        first=_opinions(asked.metric, mine, theirs, "learned"),
        second=second,
        floor=asked.metric.measure(floor).estimate() if floor else None,
        floor_rows=floor.n if floor else 0,
    )


def _opinions(metric: Metric, mine: Bench, theirs: Bench | None, opinion: Opinion) -> Opinions:
    raw = metric.measure(mine.seen_by(opinion))
    if theirs is None:
        return Opinions(raw.estimate(), raw)
    other = metric.measure(theirs.seen_by(opinion))
    return Opinions(raw.estimate(), raw, other.estimate(), raw.ahead_of(other))


def _floor(metric: Metric, bench: Bench) -> Bench | None:
    """Put real rows in the subject's place, as many as it made or as there are."""
    pool = _pool(metric, bench.ground, bench.n)
    if pool is None or not len(pool):
        return None
    return replace(bench, maker=HeldOut(pool), n=min(bench.n, len(pool)))


def _pool(metric: Metric, ground: Ground, n: int) -> Real | None:
    """Choose whose rows: unseen ones where there are plenty, for the extractors were fitted on the train split."""
    if metric.floor is None:
        return None
    strangers = [r for r in ground.spare if r.name != ground.unseen.name]
    if metric.floor == "unseen":
        return strangers[-1] if strangers else None
    spare = (
        Real("+".join(r.name for r in ground.spare), joined([r.rows for r in ground.spare])) if ground.spare else None
    )
    if ground.reference.name != "train" and (spare is None or len(spare) < 2 * n):
        return ground.train
    return spare


def _claims(finding: Finding) -> Iterator[Claim]:
    """Say what must be true for the gate to pass. A primary metric that names no limit must beat the baseline."""
    metric, gate, ahead = finding.asked.metric, finding.asked.gate, finding.first.ahead
    limits = gate.threshold is not None or gate.max_regression is not None
    above = metric.better == "higher"
    if gate.op and gate.threshold is not None:
        estimate = finding.first.subject
        yield Claim(metric.name, "threshold", estimate, gate.threshold, gate.op in (">=", ">"), gate.op in (">", "<"))
    if gate.max_regression is not None and ahead:
        yield Claim(metric.name, "noWorse", ahead, -metric.sign * gate.max_regression, above)
    if gate.primary and not limits and ahead:
        yield Claim(metric.name, "better", ahead, 0.0, above, strict=True)


def _second_look(finding: Finding, outcome: Outcome, alpha: float) -> Outcome:
    """Take a decision against a baseline back where the random extractor contradicts it."""
    first, second = finding.first.ahead, finding.second.ahead if finding.second else None
    if outcome.claim.need == "threshold" or outcome.passed is None or first is None or second is None:
        return outcome
    if not contradict(first, second, alpha / 2):
        return outcome
    objection = f"the extractors disagree on the sign: learned {first.value:+.3g}, random {second.value:+.3g}"
    return replace(outcome, passed=None, objection=objection)
