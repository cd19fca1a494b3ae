"""The deck of cards that people judge, and their ballots: what its maker, its page and its counter agree on.

A deck lies in the report of an evaluation. Each card shows two samples side by side. Which of them stands at A is
drawn for each person and card by the deck's key, which never leaves the store: who knows the API objects alone cannot
tell a side. Nothing here knows Kubernetes, files or pictures.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Literal

from pydantic import Field, model_validator

from gencontract.task import Modality, Wire

DECK = "deck.json"  # in the folder of the report
DECK_VERSION: Literal["genops.dev/deck/v1"] = "genops.dev/deck/v1"
SHARE = 10  # one card is shown again, and one gold card mixed in, for each so many pairs
MAX_PAIRS = 2000
LETTERS = {"A": "A", "B": "B", "Tie": "T", "Bad": "X"}  # of a choice, in a ballot
CHOICES = {letter: choice for choice, letter in LETTERS.items()}

Media = Literal["png", "txt", "wav"]


def extra(pairs: int) -> int:
    """How many cards of a deck are repeats, and how many are gold."""
    return max(1, pairs // SHARE)


def size(pairs: int) -> int:
    """How many cards a deck with so many pairs has.

    >>> size(2), size(50)
    (4, 60)
    """
    return pairs + 2 * extra(pairs)


class Card(Wire):
    """Two samples. `first` is the subject's; of a gold card, the one that everyone should prefer."""

    kind: Literal["pair", "repeat", "gold"]
    of: int | None = Field(None, ge=0)  # repeat: the card that it shows again
    prompt: str = ""  # what both were asked for
    first: str = Field(pattern=r"^deck/[0-9]+[ab]$")  # files without their ending
    second: str = Field(pattern=r"^deck/[0-9]+[ab]$")


class Deck(Wire):
    """All cards of one evaluation."""

    version: Literal["genops.dev/deck/v1"] = DECK_VERSION
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    modality: Modality
    media: list[Media] = Field(min_length=1)
    cards: list[Card] = Field(min_length=1, max_length=2 * MAX_PAIRS)

    @model_validator(mode="after")
    def _whole(self) -> "Deck":
        for number, card in enumerate(self.cards):
            there = card.of is not None and card.of < len(self.cards) and self.cards[card.of].kind == "pair"
            if there != (card.kind == "repeat"):
                raise ValueError(f"card {number}: a repeat, and nothing else, names the pair that it shows again")
        return self

    def first_is_a(self, rater: str, number: int) -> bool:
        """Say whether the first sample of a card stands at A for a person. A repeat has the sides changed."""
        card = self.cards[number]
        if card.of is not None:
            return not self.first_is_a(rater, card.of)
        return self._draw("side", rater, number)[0] % 2 == 0

    def order(self, rater: str) -> list[int]:
        """List the cards in the order in which a person sees them."""
        return sorted(range(len(self.cards)), key=lambda number: self._draw("order", rater, number))

    def prefers_first(self, rater: str, number: int, choice: str) -> bool | None:
        """Say whether a choice of A or B was the first sample; None for a choice of neither."""
        return (choice == "A") is self.first_is_a(rater, number) if choice in ("A", "B") else None

    def _draw(self, what: str, rater: str, number: int) -> bytes:
        told = f"{what}\0{number}\0{rater}".encode()
        return hmac.new(bytes.fromhex(self.key), told, hashlib.sha256).digest()


class Ballots(Wire):
    """Who chose what: for each card a line of ballots, each the number of a person and the letter of a choice."""

    raters: list[str]
    cards: list[str]

    @classmethod
    def of(cls, cards: Iterable[Iterable[tuple[str, str]]]) -> "Ballots":
        """Write down (person, choice) for each card.

        >>> Ballots.of([[("ada", "A"), ("ben", "Tie")], [("ben", "Bad")]]).cards
        ['0A 1T', '1X']
        """
        numbers: dict[str, int] = {}
        lines = [" ".join(f"{numbers.setdefault(r, len(numbers))}{LETTERS[c]}" for r, c in card) for card in cards]
        return cls(raters=list(numbers), cards=lines)

    def read(self) -> list[list[tuple[str, str]]]:
        """List (person, choice) for each card. Raises ValueError for a line that cannot be read."""
        return [[self._ballot(word) for word in line.split()] for line in self.cards]

    def _ballot(self, word: str) -> tuple[str, str]:
        number, letter = word[:-1], word[-1:]
        if not number.isdigit() or int(number) >= len(self.raters) or letter not in CHOICES:
            raise ValueError(f"ballots: {word!r} is no ballot; it is the number of a rater and one of A, B, T, X")
        return self.raters[int(number)], CHOICES[letter]
