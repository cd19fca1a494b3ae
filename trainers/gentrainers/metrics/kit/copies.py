"""The longest span of each sequence that stands word for word in a corpus, exactly, for corpora of millions of tokens.

All suffixes of corpus and sequences are ranked by prefix doubling (Manber & Myers 1993): after round j the ranks name
the classes of equal spans of 2^j tokens. Sorted, a suffix's best partner in the corpus is the next one before or after
it, and the ranks of all rounds give the length that both share.
"""

from collections.abc import Sequence

import numpy as np

from gentrainers.metrics.kit.arrays import Ints, Tokens

PART = 2_000_000  # tokens of the corpus that are ranked at once


def longest_copies(sequences: Sequence[Tokens], corpus: Tokens) -> Ints:
    """Return for each sequence the length in tokens of its longest span that occurs in the corpus: [sequences].

    >>> longest_copies([np.array([9, 1, 2, 3, 9]), np.array([8, 8])], np.array([0, 1, 2, 3, 4])).tolist()
    [3, 0]
    """
    longest = max((len(s) for s in sequences), default=0)
    best = np.zeros(len(sequences), np.int64)
    for start in range(0, max(len(corpus), 1), PART):  # parts overlap, so that no span is cut
        best = np.maximum(best, _in_part(sequences, np.asarray(corpus[start : start + PART + longest]), longest))
    return best


def _in_part(sequences: Sequence[Tokens], corpus: Tokens, longest: int) -> Ints:
    text, owner = _joined(sequences, corpus)
    rounds = _ranks(text, longest)
    shared = _shared_with_corpus(rounds, owner)
    best = np.zeros(len(sequences), np.int64)
    mine = owner >= 0
    np.maximum.at(best, owner[mine], shared[mine])
    return best


def _joined(sequences: Sequence[Tokens], corpus: Tokens) -> tuple[Ints, Ints]:
    """Put all behind each other, each ended by a mark of its own that matches nothing; -1 owns the corpus."""
    parts = [corpus.astype(np.int64), *(s.astype(np.int64) for s in sequences)]
    text = np.concatenate([np.append(p, -1 - i) for i, p in enumerate(parts)])
    owner = np.repeat(np.arange(len(parts)) - 1, [len(p) + 1 for p in parts])
    return text, owner


def _ranks(text: Ints, longest: int) -> list[Ints]:
    """Rank the spans of 1, 2, 4, ... tokens that start at each position, until a span is longer than any sequence."""
    ranks = [_dense(text)]
    while 2 ** (len(ranks) - 1) <= longest:
        ranks.append(_dense(_pair(ranks[-1], 2 ** (len(ranks) - 1))))
    return ranks


def _pair(rank: Ints, ahead: int) -> Ints:
    later = np.zeros_like(rank)
    later[:-ahead] = rank[ahead:] + 1  # past the end ranks lowest
    return rank * (len(rank) + 1) + later


def _dense(keys: Ints) -> Ints:
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _shared_with_corpus(rounds: list[Ints], owner: Ints) -> Ints:
    """Return for each position of a sequence the length of the longest span from there that the corpus has too."""
    order = np.argsort(rounds[-1], kind="stable")
    place = np.arange(len(order))
    from_corpus = owner[order] < 0
    before = np.maximum.accumulate(np.where(from_corpus, place, -1))
    after = np.minimum.accumulate(np.where(from_corpus, place, len(order))[::-1])[::-1]
    shared = np.zeros(len(order), np.int64)
    for partner in (before, after):
        there = ~from_corpus & (partner >= 0) & (partner < len(order))
        a, b = order[there], order[partner[there]]
        shared[a] = np.maximum(shared[a], _common(rounds, a, b))
    return shared


def _common(rounds: list[Ints], a: Ints, b: Ints) -> Ints:
    """Return the length of the common prefix of the suffixes at a and b: [pairs]."""
    length = np.zeros(len(a), np.int64)
    for power in reversed(range(len(rounds))):
        here, there = a + length, b + length
        inside = np.maximum(here, there) < len(rounds[0])
        same = np.zeros(len(a), np.bool_)
        same[inside] = rounds[power][here[inside]] == rounds[power][there[inside]]
        length += np.where(same & (a != b), 2**power, 0)
    return length
