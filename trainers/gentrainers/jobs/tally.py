"""Tally: count what people said about a deck, and decide. The only place that knows which sample was whose.

Reads the deck from the report and the ballots from the task; writes nothing but its report. It must not know how
choices are counted.
"""

import json
from math import inf

from gencontract.codes import Code
from gencontract.deck import DECK, Ballots, Deck
from gencontract.report import MetricReport, Report
from gencontract.task import TallyTask
from gentrainers import artifact
from gentrainers.errors import JobError
from gentrainers.metrics.kit.people import Counted, Share, count
from gentrainers.pod import Pod


def run(task: TallyTask, pod: Pod) -> Report:
    """Count the ballots of a task."""
    deck = _deck(task)
    pod.give_way()
    try:
        counted = count(deck, Ballots(raters=task.raters, cards=task.ballots).read(), task.alpha / 2)
    except ValueError as error:
        raise JobError(Code.BAD_CONFIG, str(error)) from None
    verdict, why = decide(counted, task.min_win_rate, task.min_agreement)
    return Report(
        verb=task.verb,
        code=Code.DONE,
        message=f"{why}{_besides(counted)}",
        samples=counted.verdicts,
        verdict=verdict,
        metrics=_metrics(counted, verdict, task.min_agreement),
    )


def _deck(task: TallyTask) -> Deck:
    report = artifact.open_artifact(task.report.uri, "report", task.report.digest)
    path = report.path / DECK
    if not path.is_file():
        raise JobError(Code.BAD_DATA, f"report: {task.report.uri} holds no {DECK}; evaluate again with human.pairs")
    try:
        return Deck.model_validate(json.loads(path.read_bytes()))
    except ValueError as error:
        raise JobError(Code.BAD_DATA, f"report: {task.report.uri}/{DECK} is no deck: {error}") from None


def decide(counted: Counted, min_win_rate: float, min_agreement: float | None) -> tuple[str, str]:
    """Say Passed, Failed or Inconclusive, and why. Who disagrees decides nothing; a tie passes nothing."""
    won = counted.win_rate
    if won is None:
        return "Inconclusive", "No verdict is left that counts"
    if min_agreement is not None and (counted.agreement.value if counted.agreement else -inf) < min_agreement:
        shown = (
            "unknown, as no pair was judged by two" if counted.agreement is None else f"{counted.agreement.value:.2f}"
        )
        return "Inconclusive", f"Agreement is {shown}, asked was {min_agreement:g}"
    said = f"The subject won {won.value:.0%} of {won.units} pairs, interval {won.low:.0%} to {won.high:.0%}"
    if won.low > min_win_rate:
        return "Passed", f"{said}, above {min_win_rate:.0%}"
    if won.high < min_win_rate:
        return "Failed", f"{said}, below {min_win_rate:.0%}"
    return "Inconclusive", f"{said}, which does not decide about {min_win_rate:.0%}; {_more(won, min_win_rate)}"


def _more(won: Share, limit: float) -> str:
    """Say how many pairs would decide, if people went on as they did: an interval shrinks with the root of pairs."""
    gap = abs(won.value - limit)
    half = won.value - won.low if won.value > limit else won.high - won.value
    if gap < 0.02:
        return "the two are too near to tell apart"
    return f"about {max(round(won.units * (half / gap) ** 2), won.units + 1)} pairs would"


def _besides(counted: Counted) -> str:
    parts = [
        "" if counted.agreement is None else f"agreement {counted.agreement.value:.2f}",
        "" if counted.consistency is None else f"{counted.consistency:.0%} of repeats judged as before",
        "" if counted.gold is None else f"{counted.gold:.0%} of gold cards right",
        f"{len(counted.set_aside)} people set aside for their gold cards" if counted.set_aside else "",
    ]
    return "".join(f"; {part}" for part in parts if part)


def _metrics(counted: Counted, verdict: str, min_agreement: float | None) -> list[MetricReport]:
    passed = {"Passed": True, "Failed": False}.get(verdict)
    found = [_share("winRate", counted.win_rate, passed), _share("agreement", counted.agreement, None)]
    if min_agreement is not None:
        agreed = counted.agreement is not None and counted.agreement.value >= min_agreement
        found[1] = found[1].model_copy(update={"passed": agreed})
    return [
        *found,
        MetricReport(name="consistency", value=counted.consistency),
        MetricReport(name="gold", value=counted.gold),
        MetricReport(name="setAside", value=float(len(counted.set_aside))),
    ]


def _share(name: str, share: Share | None, passed: bool | None) -> MetricReport:
    if share is None:
        return MetricReport(name=name, passed=passed)
    return MetricReport(
        name=name, value=share.value, low=share.low, high=share.high, samples=share.units, passed=passed
    )
