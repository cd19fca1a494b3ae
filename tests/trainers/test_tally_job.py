"""What people said is counted: the sides are told apart, repeats and gold count as such, and a tie passes nothing."""

import io
import json
from pathlib import Path
from typing import Any

import evalica
import numpy as np
import pandas as pd
import pytest

from gencontract.codes import Code
from gencontract.deck import DECK, Ballots, Card, Deck, size
from gencontract.report import Report
from gencontract.task import Input, TallyTask
from gencontract.wire import canonical
from gentrainers import artifact
from gentrainers.errors import JobError
from gentrainers.jobs import tally
from gentrainers.metrics.kit.people import agreement, win_rate
from gentrainers.pod import Lines, Pod

KEY = "5a" * 32
ERROR = 0.025


def a_deck(pairs: int) -> Deck:
    """Pairs first, then repeats of the first ones, then gold."""
    extra = (size(pairs) - pairs) // 2
    names = [{"first": f"deck/{n:04d}a", "second": f"deck/{n:04d}b"} for n in range(pairs + extra)]
    cards = [Card(kind="pair", **names[n]) for n in range(pairs)]
    cards += [Card(kind="repeat", of=n, **names[n]) for n in range(extra)]
    cards += [Card(kind="gold", **names[pairs + n]) for n in range(extra)]
    return Deck(key=KEY, modality="images", media=["png"], cards=cards)


def choice_of(deck: Deck, rater: str, number: int, liked: str) -> str:
    """What a person presses who likes the first or the second sample of a card."""
    if liked not in ("first", "second"):
        return liked
    return "A" if (liked == "first") is deck.first_is_a(rater, number) else "B"


def judged(deck: Deck, likes: dict[str, Any]) -> Ballots:
    """Ballots of people who each like one thing on every card; a gold card is judged rightly unless it is named."""

    def one(rater: str, number: int, card: Card) -> str:
        liked = likes[rater](number) if callable(likes[rater]) else likes[rater]
        return choice_of(deck, rater, number, "first" if card.kind == "gold" else liked)

    return Ballots.of([[(r, one(r, n, c)) for r in likes] for n, c in enumerate(deck.cards)])


@pytest.fixture
def counted(tmp_path: Path) -> Any:
    def run(deck: Deck, ballots: Ballots, **asked: Any) -> Report:
        with artifact.writing(str(tmp_path / "report"), "report", {}) as folder:
            body = deck.model_dump(mode="json", by_alias=True, exclude_none=True)
            (folder / DECK).write_bytes(canonical(body))
        report = Input(uri=str(tmp_path / "report"), digest=artifact.digest_of(str(tmp_path / "report")))
        task = TallyTask(report=report, raters=ballots.raters, ballots=ballots.cards, **asked)
        return tally.run(task, Pod(Lines(io.StringIO())))

    return run


def value(report: Report, name: str) -> float | None:
    return next(m.value for m in report.metrics if m.name == name)


ROWS: list[tuple[str, int, dict[str, Any], dict[str, Any], str, str]] = [
    ("A subject that all prefer passes", 12, {"ada": "first", "ben": "first"}, {}, "Passed", "won 100% of 12 pairs"),
    ("A subject that nobody prefers fails", 12, {"ada": "second"}, {}, "Failed", "won 0% of 12 pairs"),
    ("A tie passes nothing", 40, {"ada": "Tie", "ben": "Tie"}, {}, "Inconclusive", "does not decide about 50%"),
    ("One pair for each side decides nothing", 2, {"ada": lambda n: "first" if n == 0 else "second"}, {}, "Inconclusive", "too near"),
    ("Two pairs won decide nothing", 2, {"ada": "first"}, {}, "Inconclusive", "pairs would"),
    ("A sample that nobody wants wins nothing", 12, {"ada": "Bad"}, {}, "Failed", "won 0%"),
    ("A lower bar is cleared by as good", 60, {"ada": "Tie"}, {"min_win_rate": 0.4}, "Passed", "above 40%"),
    ("A higher bar is not cleared by a little", 30, {"ada": lambda n: "first" if n % 3 else "second"}, {"min_win_rate": 0.9}, "Failed", "below 90%"),
    ("People who all say the same agree", 12, {"ada": "first", "ben": "first"}, {"min_agreement": 0.8}, "Passed", "agreement 1.00"),
    ("People who disagree decide nothing", 12, {"ada": "first", "ben": "second"}, {"min_agreement": 0.5}, "Inconclusive", "asked was 0.5"),
    ("Agreement of one person is unknown", 12, {"ada": "first"}, {"min_agreement": 0.5}, "Inconclusive", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "pairs", "likes", "asked", "verdict", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_what_people_like_decides(
    fact: str, pairs: int, likes: dict[str, Any], asked: dict[str, Any], verdict: str, says: str, counted: Any
) -> None:
    deck = a_deck(pairs)
    report = counted(deck, judged(deck, likes), **asked)
    assert (report.code, report.verdict) == (Code.DONE, verdict)
    assert says in report.message


def test_who_gets_gold_wrong_is_set_aside() -> None:
    deck = a_deck(20)
    ballots = judged(deck, {"ada": "first", "eve": "second"}).read()
    for number, card in enumerate(deck.cards):
        if card.kind == "gold":
            ballots[number] = [("ada", ballots[number][0][1]), ("eve", choice_of(deck, "eve", number, "second"))]
    found = tally.count(deck, ballots, ERROR)
    assert found.set_aside == ("eve",)
    assert found.gold == 0.5
    assert found.win_rate is not None
    assert found.win_rate.value == 1.0
    assert found.verdicts == len(deck.cards)


def test_who_presses_the_same_key_is_seen_by_repeats_and_gold() -> None:
    """The sides of a repeat are changed, so one key is never consistent; gold stands at A half of the time."""
    deck = a_deck(400)
    found = tally.count(deck, [[("eve", "A")] for _ in deck.cards], ERROR)
    assert found.consistency == 0.0
    assert found.set_aside == ("eve",)
    assert found.win_rate is None


def test_sides_and_order_differ_between_people_and_cannot_be_had_without_the_key() -> None:
    deck = a_deck(200)
    sides = {r: [deck.first_is_a(r, n) for n in range(200)] for r in ("ada", "ben")}
    assert 60 < sum(sides["ada"]) < 140
    assert 60 < sum(a == b for a, b in zip(sides["ada"], sides["ben"], strict=True)) < 140
    other = deck.model_copy(update={"key": "00" * 32})
    assert 60 < sum(other.first_is_a("ada", n) == sides["ada"][n] for n in range(200)) < 140
    assert sorted(deck.order("ada")) == list(range(size(200)))
    assert deck.order("ada") != deck.order("ben")


def test_ballots_of_another_deck_are_refused(counted: Any) -> None:
    deck = a_deck(10)
    with pytest.raises(JobError, match="the deck has 12"):
        counted(deck, Ballots.of([[("ada", "A")]]))
    with pytest.raises(JobError, match="no ballot"):
        counted(deck, Ballots(raters=["ada"], cards=["7A"] * 12))


def test_a_report_without_a_deck_is_refused(tmp_path: Path) -> None:
    with artifact.writing(str(tmp_path / "report"), "report", {}) as folder:
        (folder / "report.json").write_text("{}")
    task = TallyTask(report=Input(uri=str(tmp_path / "report")), raters=[], ballots=[])
    with pytest.raises(JobError, match=r"holds no deck\.json"):
        tally.run(task, Pod(Lines(io.StringIO())))


def test_a_wire_deck_names_no_file_outside_its_folder() -> None:
    body = json.loads(a_deck(2).model_dump_json(by_alias=True, exclude_none=True))
    for name in ("../secret", "deck/../../x", "deck/0001a.png", "/etc/passwd"):
        body["cards"][0]["first"] = name
        with pytest.raises(ValueError, match="first"):
            Deck.model_validate(body)


def test_the_estimate_is_bradley_and_terrys_and_the_agreement_krippendorffs() -> None:
    units = [["subject", "subject"], ["subject", "Tie"], ["other", "subject"], ["other", "other"], ["Tie", "Tie"]]
    flat = [choice for unit in units for choice in unit]
    winners = {"subject": evalica.Winner.X, "other": evalica.Winner.Y, "Tie": evalica.Winner.Draw}
    found = evalica.bradley_terry(["s"] * 10, ["o"] * 10, [winners[c] for c in flat]).scores
    share = win_rate(units, ERROR)
    assert share is not None
    assert share.value == pytest.approx(found["s"] / (found["s"] + found["o"]), abs=1e-6)
    assert share.low < share.value < share.high
    # Worked example of Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", nominal data, two observers.
    meg, owen = "0100000010", "1110010000"
    alpha = agreement([[("meg", m), ("owen", o)] for m, o in zip(meg, owen, strict=True)], ERROR)
    assert alpha is not None
    assert alpha.value == pytest.approx(0.095, abs=5e-4)
    assert evalica.alpha(pd.DataFrame([list(meg), list(owen)]), "nominal").alpha == pytest.approx(alpha.value)


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "people"), [(2, 1), (5, 1), (8, 2), (20, 1), (60, 3)])
def test_two_equals_are_told_apart_as_seldom_as_is_said(pairs: int, people: int) -> None:
    """400 evaluations of a subject that is as good as the other: at most alpha / 2 say better, within luck."""
    dice = np.random.default_rng(7)
    better = 0
    for _ in range(400):
        units = [list(dice.choice(["subject", "other"], people)) for _ in range(pairs)]
        share = win_rate(units, ERROR)
        assert share is not None
        better += share.low > 0.5
    assert better / 400 <= ERROR + 3 * (ERROR * (1 - ERROR) / 400) ** 0.5
