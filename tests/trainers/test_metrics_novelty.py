"""Copying: novelty sees it, and Fréchet distance does not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from gentrainers.metrics.fid import frechet
from gentrainers.metrics.kit import novel
from gentrainers.metrics.kit.copies import longest_copies
from gentrainers.metrics.kit.extractors import Material, make


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.images))
    return np.rint(found.images * 255 / 16).astype(np.uint8)[order][..., None], found.target[order].astype(np.int64)


def test_copies_of_training_data_pass_a_frechet_gate_and_not_a_novelty_gate(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    x, y = digits
    train, test, unseen = x[:1077], x[1077:1437], x[1437:]
    extractor = make("learned", Material(train, y[:1077], "images", {}, "digits of this test"))
    copies = train[np.random.default_rng(1).permutation(1077)[:360]]

    def distance(rows: NDArray[np.uint8]) -> float:
        return frechet(extractor.features(rows), extractor.features(test))

    def authentic(rows: NDArray[np.uint8]) -> float:
        return float(novel.authentic(rows, train).mean())

    assert distance(copies) < distance(unseen) * 1.5  # copies look as good as honest new data
    assert authentic(copies) == 0
    assert authentic(unseen) > 0.4
    assert novel.ways(copies, train).mean() == 0
    noised = np.clip(copies + np.random.default_rng(2).normal(0, 12, copies.shape), 0, 255).astype(np.uint8)
    assert authentic(noised) < authentic(unseen) - 0.1


def test_the_closest_row_is_found_in_parts_too(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = digits[0]
    skip = np.arange(100)
    whole = novel.closest(x[:100], x[:700], skip)
    monkeypatch.setattr(novel, "PART", 90)
    parts = novel.closest(x[:100], x[:700], skip)
    assert parts[0] == pytest.approx(whole[0])
    assert (parts[1] == whole[1]).all()
    assert (novel.closest(x[:100], x[:700])[1] == skip).all()


def naive(sequence: list[int], corpus: list[int]) -> int:
    spans = (
        j - i
        for i in range(len(sequence))
        for j in range(i + 1, len(sequence) + 1)
        if any(corpus[k : k + j - i] == sequence[i:j] for k in range(len(corpus)))
    )
    return max(spans, default=0)


@pytest.mark.parametrize("vocab", [2, 4, 50])
def test_the_longest_copied_span_is_exact(vocab: int) -> None:
    random = np.random.default_rng(vocab)
    for _ in range(15):
        corpus = random.integers(0, vocab, 60)
        sequences = [random.integers(0, vocab, random.integers(1, 14)) for _ in range(5)]
        sequences.append(corpus[17:30].copy())
        expect = [naive(s.tolist(), corpus.tolist()) for s in sequences]
        assert longest_copies(sequences, corpus).tolist() == expect


def test_spans_across_the_parts_of_a_large_corpus_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gentrainers.metrics.kit.copies.PART", 50)
    corpus = np.random.default_rng(0).integers(0, 1000, 400)
    cut = [corpus[i : i + 20] for i in (0, 45, 90, 199, 380)]
    assert longest_copies(cut, corpus).tolist() == [20] * 5


def test_copies_that_share_tokens_with_each_other_only_do_not_count() -> None:
    twins = [np.array([5, 6, 7, 8]), np.array([5, 6, 7, 8])]
    assert longest_copies(twins, np.array([1, 5, 6, 1])).tolist() == [2, 2]
    assert longest_copies(twins, np.zeros(0, np.int64)).tolist() == [0, 0]
