"""Random choices as a pure function of (seed, index), the same on any machine and with any version of any library."""

import hashlib
from collections.abc import Sequence


class Dice:
    """A stream of whole numbers from SHA-256 in counter mode. Equal seed and index give equal streams."""

    def __init__(self, seed: int, index: int) -> None:
        self._start = b"genops/dice/%d/%d/" % (seed, index)
        self._block = 0
        self._words: list[int] = []

    def word(self) -> int:
        """Return 64 random bits."""
        if not self._words:
            data = hashlib.sha256(self._start + b"%d" % self._block).digest()
            self._words = [int.from_bytes(data[i : i + 8], "big") for i in range(0, 32, 8)]
            self._block += 1
        return self._words.pop()

    def below(self, end: int) -> int:
        """Return one of 0 .. end-1, all alike; the bias is below end / 2**64."""
        return self.word() * end >> 64

    def pick(self, weights: Sequence[int]) -> int:
        """Return a position with a chance in proportion to its whole-number weight."""
        left = self.below(sum(weights))
        for position, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return position
        raise ValueError("weights must be positive")
