"""Which card a person judges next. Pure: knows the deck and what has been said, nothing of pages or clusters."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from gencontract.deck import Deck


@dataclass(frozen=True)
class Turn:
    """How far a person is. `card` is None when nothing is left for them."""

    card: int | None
    done: int
    total: int


def turn(deck: Deck, rater: str, needed: int, said: Iterable[tuple[str, int]]) -> Turn:
    """Find a person's next card: one they have not judged, and that fewer than `needed` others have."""
    by_card: dict[int, set[str]] = defaultdict(set)
    for who, number in said:
        by_card[number].add(who)
    mine = [n for n in range(len(deck.cards)) if rater in by_card[n]]
    left = [n for n in deck.order(rater) if rater not in by_card[n] and len(by_card[n]) < needed]
    return Turn(left[0] if left else None, len(mine), len(mine) + len(left))
