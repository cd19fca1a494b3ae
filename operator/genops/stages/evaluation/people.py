"""What people said so far, and whether it can be counted.

A verdict counts when the API server vouches for who gave it, and when it is that person's first about a card that not
enough others have judged. What was chosen is not known here: which sample stood at A lies in the report, so a pod
counts.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gencontract import deck
from gencontract.deck import Ballots
from gencontract.report import MetricReport, Report
from genops.core.jobs import JobFacts, age
from genops.core.kinds import GEN_VERDICT
from genops.core.model import Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.core.reporting import metric_status
from genops.stages.evaluation.spec import Human, Spec
from genops.stages.verdict.policy import FILE

TALLY = "tally"
OF_VERDICT = {"Passed": Reason.PREFERRED, "Failed": Reason.NOT_PREFERRED, "Inconclusive": Reason.UNDECIDED}


@dataclass(frozen=True)
class People:
    """What people said so far. `verdict` is empty while they, or the count of their verdicts, are waited for."""

    received: int
    required: int
    ignored: int = 0  # verdicts about this evaluation that do not count
    ballots: Ballots | None = None  # once all have come
    counted: Manifest = field(default_factory=dict)  # the part of `status.human` that the count gives
    verdict: str = ""
    reason: str = Reason.WAITING_FOR_HUMANS
    why: str = ""

    @property
    def status(self) -> Manifest:
        """`status.human`."""
        said = {"received": self.received, "required": self.required, "ignored": self.ignored or None}
        return {k: v for k, v in said.items() if v is not None} | self.counted

    @property
    def says(self) -> str:
        """What people should read."""
        besides = f", {self.ignored} do not count" if self.ignored else ""
        return self.why or f"{self.received} of {self.required} verdicts have come{besides}"


def read(obj: Resource[Spec], seen: Seen, tally: JobFacts, now: datetime, since: str) -> People | None:
    """Read what people said; `since` is when they were first asked, empty before."""
    human = obj.spec.human
    if human is None or "Human" not in obj.spec.decision.requires:
        return None
    cards, ignored = _counting(obj, human, seen)
    received, required = sum(map(len, cards)), deck.size(human.pairs) * human.raters
    people = People(received, required, ignored)
    if received == required:
        return _counted(replace(people, ballots=Ballots.of(cards)), tally)
    if not seen.vouched:
        why = f"The cluster takes verdicts in another's name, so that none counts: kubectl apply -f {FILE}"
        people = replace(people, reason=Reason.RATERS_UNVERIFIED, why=why)
    left = patience(human, now, since)
    if left is None or left > 0:
        return people
    verdict = "Failed" if human.on_timeout == "Fail" else "Inconclusive"
    return replace(people, verdict=verdict, reason=Reason.HUMANS_TIMED_OUT)


def patience(human: Human, now: datetime, since: str) -> float | None:
    """Seconds that are left for people to answer; None for ever."""
    if human.timeout_seconds is None:
        return None
    return float(human.timeout_seconds) - (age(since, now) if since else 0.0)


def _counting(obj: Resource[Spec], human: Human, seen: Seen) -> tuple[list[list[tuple[str, str]]], int]:
    """List who chose what for each card, as far as it counts, and how many verdicts do not."""
    cards: list[list[tuple[str, str]]] = [[] for _ in range(deck.size(human.pairs))]
    given = [v for v in seen.referred(GEN_VERDICT) if v["spec"]["evaluationRef"]["name"] == obj.name]
    if not seen.vouched:
        return cards, len(given)
    for verdict in sorted(given, key=_came):
        number, rater, choice = (verdict["spec"].get(k) for k in ("pair", "rater", "choice"))
        card = cards[number] if number < len(cards) else None
        if card is not None and rater and len(card) < human.raters and all(rater != r for r, _ in card):
            card.append((rater, choice))
    return cards, len(given) - sum(map(len, cards))


def _came(verdict: Manifest) -> tuple[str, str]:
    """Order verdicts as the API server took them; within one second, by name."""
    return str(verdict["metadata"].get("creationTimestamp", "")), str(verdict["metadata"]["name"])


def _counted(people: People, tally: JobFacts) -> People:
    """Take in what the counting pod reported."""
    said = tally.report
    if not tally.succeeded or said is None or said.verdict is None:
        return people
    return replace(people, counted=_numbers(said), verdict=said.verdict, reason=_reason(said), why=said.message)


def _reason(said: Report) -> str:
    disagree = any(m.name == "agreement" and m.passed is False for m in said.metrics)
    return Reason.RATERS_DISAGREE if disagree and said.verdict == "Inconclusive" else OF_VERDICT[said.verdict or ""]


def _numbers(said: Report) -> Manifest:
    found: Manifest = {}
    for metric in said.metrics:
        written = metric_status(metric)
        if metric.name == "setAside":
            found["setAside"] = int(metric.value or 0)
        elif "value" in written:
            found[metric.name] = written["value"]
            found |= _interval(metric, written)
    return found


def _interval(metric: MetricReport, written: Manifest) -> dict[str, Any]:
    ends = {"Low": written.get("low"), "High": written.get("high")}
    return {f"{metric.name}{end}": value for end, value in ends.items() if value is not None}
