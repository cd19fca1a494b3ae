"""What people's choices come to: Bradley-Terry with a bootstrap interval, Krippendorff's alpha, and who paid attention.

Bradley and Terry 1952; Krippendorff 2018, ch. 12, by evalica, which the tests ask about the first as well.
Pairs are resampled, not verdicts: what several people say about one pair is no independent news. Two imagined pairs won
and two lost are added to every resample: where one side won everything Bradley-Terry has no finite answer, and a
bootstrap of equal values has no width. With them an interval misses at most as often as it says, from two pairs on
(tests/trainers/test_tally_job.py). This module must not know where decks and ballots come from.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import evalica
import numpy as np
import pandas as pd

from gencontract.deck import Deck

RESAMPLES = 2000
IMAGINED = (1.0, 1.0, 0.0, 0.0)
ATTENTIVE = 0.75  # share of gold cards that a person must judge rightly to be counted

Ballots = Sequence[Sequence[tuple[str, str]]]  # (person, choice) for each card
WORTH = {"subject": 1.0, "Tie": 0.5}  # of a choice, to the subject


@dataclass(frozen=True)
class Share:
    """An estimate with its interval; `units` is how many independent things it rests on."""

    value: float
    low: float
    high: float
    units: int


@dataclass(frozen=True)
class Counted:
    """Everything that the ballots of an evaluation come to."""

    win_rate: Share | None
    agreement: Share | None
    consistency: float | None  # share of repeats that were judged as before
    gold: float | None  # share of gold cards that were judged rightly, by all
    set_aside: tuple[str, ...]  # people whose gold was wrong too often
    verdicts: int  # that count


def count(deck: Deck, ballots: Ballots, error: float) -> Counted:
    """Count ballots; intervals miss on either side with a chance of `error`. Raises ValueError for another deck's."""
    if len(ballots) != len(deck.cards):
        raise ValueError(f"ballots: there are {len(ballots)} cards of them, the deck has {len(deck.cards)}")
    hits = attention(deck, ballots)
    careless = tuple(sorted(r for r, right in hits.items() if np.mean(right) < ATTENTIVE))
    kept = [[(r, c) for r, c in card if r not in careless] for card in ballots]
    units = [_seen(deck, number, kept[number]) for number, card in enumerate(deck.cards) if card.kind == "pair"]
    right = [hit for rater in hits.values() for hit in rater]
    return Counted(
        win_rate=win_rate([[c for _, c in unit] for unit in units], error),
        agreement=agreement(units, error),
        consistency=_consistency(deck, ballots),
        gold=float(np.mean(right)) if right else None,
        set_aside=careless,
        verdicts=sum(map(len, kept)),
    )


def attention(deck: Deck, ballots: Ballots) -> dict[str, list[bool]]:
    """For each person, which gold cards were judged rightly."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for number, card in enumerate(deck.cards):
        if card.kind == "gold":
            for rater, choice in ballots[number]:
                hits[rater].append(deck.prefers_first(rater, number, choice) is True)
    return hits


def _seen(deck: Deck, number: int, ballots: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Take the blinds off: subject or other in place of A and B."""
    names = {True: "subject", False: "other"}
    told = ((rater, choice, deck.prefers_first(rater, number, choice)) for rater, choice in ballots)
    return [(rater, choice if first is None else names[first]) for rater, choice, first in told]


def win_rate(units: Sequence[Sequence[str]], error: float) -> Share | None:
    """Chance that the subject wins a pair, by Bradley-Terry; a sample that nobody wants wins nothing."""
    judged = [unit for unit in units if unit]
    if not judged:
        return None
    won = np.array([np.mean([WORTH.get(choice, 0.0) for choice in unit]) for unit in judged])
    drawn = np.sort(_resampled(won) @ np.array([*won, *IMAGINED]) / (len(won) + len(IMAGINED)))
    value, at = bradley_terry(won), int(np.floor(error * RESAMPLES))
    return Share(value, min(float(drawn[at]), value), max(float(drawn[-1 - at]), value), len(judged))


def _resampled(won: Any) -> Any:
    """How often each pair, an imagined one too, stands in each resample."""
    count = len(won) + len(IMAGINED)
    return np.random.default_rng(20_080_101).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


def bradley_terry(won: Any) -> float:
    """Strength of the subject over that of both. For two sides the likelihood's peak is the share won, a tie half."""
    return float(np.mean(won))


def agreement(units: Sequence[Sequence[tuple[str, str]]], error: float) -> Share | None:
    """Krippendorff's alpha for nominal data; None where no pair was judged by two."""
    several = [dict(unit) for unit in units if len(unit) > 1]
    if not several:
        return None
    frame = pd.DataFrame(several).T  # observers in rows, units in columns
    if evalica.alpha(frame, "nominal").expected == 0:
        return Share(1.0, 1.0, 1.0, len(several))  # all said the same everywhere: nobody disagreed
    found = evalica.alpha_bootstrap(
        frame, "nominal", n_resamples=RESAMPLES, confidence_level=1 - 2 * error, random_state=20_080_101
    )
    return Share(float(found.alpha), float(found.low), float(found.high), len(several))


def _consistency(deck: Deck, ballots: Ballots) -> float | None:
    """Share of repeats that the same person judged as before, whatever the sides."""
    same = []
    for number, card in enumerate(deck.cards):
        if card.of is not None:
            before = dict(_seen(deck, card.of, ballots[card.of]))
            same += [before[r] == choice for r, choice in _seen(deck, number, ballots[number]) if r in before]
    return float(np.mean(same)) if same else None
