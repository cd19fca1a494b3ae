"""Laws of preparation that hold for any input: stability, order, redaction, round trips, agreement with an oracle."""

import io
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gencontract.task import Check, Filter, PrepareTask, Splits
from gentrainers.data import checks, filters, licenses, near, npy, pictures, pii, reference, splits
from gentrainers.data.formats import images, make, music, text
from gentrainers.data.sample import Sample
from gentrainers.data.spool import Spool
from gentrainers.data.tokenizers import END, UNKNOWN, BytePairs, Characters, from_json
from gentrainers.errors import JobError
from gentrainers.jobs.prepare import run
from gentrainers.pod import Lines, Pod

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
shares = st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
plain = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=200)


def split(parts: tuple[int, int, int], seed: int) -> Splits:
    whole = sum(parts)
    return Splits(
        train=parts[0] / whole, validation=parts[1] / whole, test=1 - (parts[0] + parts[1]) / whole, seed=seed
    )


# --- splits ------------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)), shares, st.integers(0, 5))
def test_more_data_never_moves_a_sample(
    old: list[bytes], new: list[bytes], parts: tuple[int, int, int], seed: int
) -> None:
    asked = split(parts, seed)
    assert splits.place(old + new, asked)[: len(old)] == splits.place(old, asked)


@quick
@given(st.lists(st.binary(max_size=8), unique=True, min_size=1), st.randoms(use_true_random=False))
def test_a_place_does_not_depend_on_the_others(keys: list[bytes], chance: random.Random) -> None:
    asked = Splits()
    found = dict(zip(keys, splits.place(keys, asked), strict=True))
    shuffled = chance.sample(keys, len(keys))
    assert dict(zip(shuffled, splits.place(shuffled, asked), strict=True)) == found


def test_shares_are_met() -> None:
    found = Counter(splits.place((b"%d" % i for i in range(20_000)), Splits(train=0.7, validation=0.2, test=0.1)))
    assert found[0] / 20_000 == pytest.approx(0.7, abs=0.012)
    assert found[2] / 20_000 == pytest.approx(0.1, abs=0.008)


def test_another_seed_is_another_split() -> None:
    keys = [b"%d" % i for i in range(200)]
    assert splits.place(keys, Splits(seed=1)) != splits.place(keys, Splits(seed=2))


# --- the whole ---------------------------------------------------------------------------------------------------------


def digest(lines: list[str], folder: Path, **fields: Any) -> str:
    """Prepare lines of text, one file each where `apart`, and return the artifact's digest."""
    apart = fields.pop("apart", False)
    root = Path(tempfile.mkdtemp(dir=folder))
    source = root / "source"
    source.mkdir()
    for number, part in enumerate(lines if apart else ["\n".join(lines)]):
        (source / f"{number}.txt").write_text(part, newline="")
    whole = {"source": {"kind": "path", "path": str(source)}, "format": "text", "options": {"document": "line"}}
    task = PrepareTask.model_validate({**whole, "output": str(root / "out"), **fields})
    report = run(task, Pod(Lines(io.StringIO())))
    assert report.artifact
    return report.artifact.digest


@few
@given(st.lists(st.text("abcdef ", min_size=1), min_size=8, unique=True), st.randoms(use_true_random=False))
def test_the_digest_does_not_know_the_order_of_files(lines: list[str], chance: random.Random) -> None:
    everything = {"train": 1, "validation": 0, "test": 0}
    lines = [f"{n} {line}" for n, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as name:
        shuffled = chance.sample(lines, len(lines))
        fields = {"dedup": {"near": {"threshold": 0.5}}, "splits": everything, "apart": True}
        assert digest(lines, Path(name), **fields) == digest(shuffled, Path(name), **fields)


# --- personal data -----------------------------------------------------------------------------------------------------

SECRETS = [
    "ada@example.org",
    "first.last+tag@mail.co.uk",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "GB82 WEST 1234 5698 7654 32",
    "DE89370400440532013000",
    "192.168.0.1",
    "2001:db8::8a2e:370:7334",
    "::1",
    "+44 20 7946 0958",
    "(555) 123-4567",
    "0049 89 123456",
]
INNOCENT = [
    "version 1.2.3",
    "4111 1111 1111 1112",
    "GB82 WEST 1234 5698 7654 33",
    "3.14159265358979",
    "2026-11-25",
    "12:30:45",
    "999.1.1.1",
    "1234567890123456789012345",
    "a@b",
    "price 1,000,000.00",
    "std::vector",
    "00000000",
    "see section 4.1.2.3.4",
    "ISBN 978-3-16-148410",
]
personal, harmless = st.sampled_from(SECRETS), st.sampled_from(INNOCENT)


@pytest.mark.parametrize("secret", SECRETS)
def test_personal_data_is_found(secret: str) -> None:
    assert pii.find(f"It is {secret}, he said.").total() == 1
    assert secret not in pii.redact(f"It is {secret}, he said.")


@pytest.mark.parametrize("innocent", INNOCENT)
def test_other_numbers_are_left_alone(innocent: str) -> None:
    assert pii.redact(f"It is {innocent}, he said.") == f"It is {innocent}, he said."


@quick
@given(st.lists(st.one_of(personal, harmless, plain), max_size=8))
def test_redacting_twice_changes_nothing(parts: list[str]) -> None:
    once = pii.redact(" ".join(parts))
    assert pii.redact(once) == once
    assert not pii.find(once)


def test_no_text_makes_the_search_slow() -> None:
    hostile = [
        "1" * 50_000,
        "1 " * 25_000,
        "a" * 50_000 + "@",
        "(1" * 25_000,
        "1-" * 25_000,
        "a." * 25_000 + "@b",
        "::" * 25_000,
    ]
    started = time.process_time()
    for one in hostile:
        pii.find(one)
    assert time.process_time() - started < 3


@quick
@given(st.text("0123456789", min_size=12, max_size=18))
def test_luhn_accepts_exactly_one_last_digit(digits: str) -> None:
    assert sum(pii.luhn(digits + d) for d in "0123456789") == 1


# --- near-duplicates ---------------------------------------------------------------------------------------------------


def document(seed: int, words: int = 120) -> list[str]:
    chance = random.Random(seed)
    return [f"w{chance.randrange(5000)}" for _ in range(words)]


def test_minhash_agrees_with_datasketch_and_with_the_truth() -> None:
    """Our estimate of the similarity of shingles is as near to the truth as the oracle's."""
    form = make("text", {})
    chance, ours, theirs, truth = random.Random(3), [], [], []
    for seed in range(40):
        left = document(seed)
        right = list(left)
        for _ in range(seed // 4):
            right[chance.randrange(len(right))] = "other"
        sets = [{" ".join(d[i : i + near.SHINGLE]) for i in range(len(d) - near.SHINGLE + 1)} for d in (left, right)]
        a, b = form.sketch([" ".join(left), " ".join(right)])
        ours.append(float((a == b).mean()))
        oracles = [MinHash(num_perm=128) for _ in sets]
        for oracle, items in zip(oracles, sets, strict=True):
            oracle.update_batch([s.encode() for s in items])
        theirs.append(oracles[0].jaccard(oracles[1]))
        truth.append(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
    errors = [np.abs(np.array(found) - truth).mean() for found in (ours, theirs)]
    assert errors[0] < max(0.03, 1.5 * errors[1])


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_find_a_pair_at_the_threshold(threshold: float) -> None:
    rows = near.rows_per_band(threshold)
    assert 1 - (1 - threshold**rows) ** (near.PERMUTATIONS // rows) >= near.RECALL


def test_clusters_are_those_of_a_plain_search(tmp_path: Path) -> None:
    form = make("text", {})
    texts = []
    for seed in range(30):
        base = document(seed)
        texts += [" ".join(base), " ".join([*base[:60], "x", *base[61:]]), " ".join(document(1000 + seed))]
    sketches = near.Sketches(tmp_path, "minhash", 0.7)
    found = form.sketch(texts)
    for first in range(0, len(texts), 7):
        sketches.add(found[first : first + 7])
    union = near.Union(len(texts))
    alike = [(i, j) for i in range(len(texts)) for j in range(i) if (found[i] == found[j]).mean() >= 0.7]
    union.join(np.array(alike).reshape(-1, 2))
    assert np.array_equal(sketches.clusters(np.arange(len(texts))), union.roots())
    assert len(alike) >= 30


@few
@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=60), st.integers(0, 12))
def test_all_close_hashes_are_found(hashes: list[int], distance: int) -> None:
    hashes = hashes + [h ^ (1 << (i * 7 % 64)) for i, h in enumerate(hashes)] + hashes[:3]
    union, plain_union = near.Union(len(hashes)), near.Union(len(hashes))
    for pairs in near.close_hashes(np.array(hashes, np.uint64), distance):
        union.join(pairs)
    alike = [(i, j) for i in range(len(hashes)) for j in range(i) if (hashes[i] ^ hashes[j]).bit_count() <= distance]
    plain_union.join(np.array(alike, np.int64).reshape(-1, 2))
    assert np.array_equal(union.roots(), plain_union.roots())


@few
@given(st.lists(st.text("ab c", max_size=30), min_size=1, max_size=20))
def test_words_hash_alone_as_in_company(texts: list[str]) -> None:
    together, offsets = near.word_hashes([t.encode() for t in texts])
    for number, one in enumerate(texts):
        alone, _ = near.word_hashes([one.encode()])
        assert np.array_equal(together[offsets[number] : offsets[number + 1]], alone)
        assert len(alone) == len(one.split())


def test_a_picture_hashes_alike_when_it_is_little_changed() -> None:
    chance = np.random.default_rng(0)
    small = chance.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=70)
    lighter = np.asarray(picture).astype(int) * 9 // 10 + 12
    changed = [np.asarray(Image.open(packed)), lighter.astype(np.uint8), np.asarray(picture.resize((48, 48)))]
    hashed = images.perceptual_hash(np.asarray(picture))
    assert all((hashed ^ images.perceptual_hash(c)).bit_count() <= 4 for c in changed)
    other = Image.fromarray(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((64, 64))
    assert (hashed ^ images.perceptual_hash(np.asarray(other))).bit_count() > 8


def test_a_tune_hashes_alike_in_any_key() -> None:
    form = make("music", {"voices": 1})
    tune = music.serialise([music.Note(i * 2, i * 2 + 2, 60 + (i * 7) % 12, 0) for i in range(40)], 1)[0]
    other = music.serialise([music.Note(i * 2, i * 2 + 2, 60 + (i * 5) % 12, 0) for i in range(40)], 1)[0]
    a, b, c = form.sketch([tune, music.transpose(tune, 5), other])
    assert np.array_equal(a, b)
    assert (a == c).mean() < 0.5


# --- tokenizers --------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(plain, min_size=1, max_size=10))
def test_a_tokenizer_gives_back_what_it_was_fitted_on(texts: list[str]) -> None:
    for tokenizer in (Characters.fit(texts), BytePairs.fit(texts, 300)):
        again = from_json(json.loads(json.dumps(tokenizer.to_json())))
        for one in texts:
            ids = tokenizer.encode(one).tolist()
            assert again.encode(one).tolist() == ids
            assert again.decode(ids) == one
            assert all(UNKNOWN < i < tokenizer.vocab for i in ids)


@quick
@given(plain)
def test_byte_pairs_know_every_text(one: str) -> None:
    tokenizer = BytePairs.fit(["the cat sat on the mat with the hat"] * 3, 270)
    assert tokenizer.decode(tokenizer.encode(one).tolist()) == one


def test_fitting_does_not_know_the_order_of_texts() -> None:
    texts = [f"some words {n} and some more {n * 7}" for n in range(50)]
    assert BytePairs.fit(texts, 320).merges == BytePairs.fit(texts[::-1], 320).merges


def test_byte_pairs_merge_what_is_frequent() -> None:
    tokenizer = BytePairs.fit(["low lower lowest newest widest"] * 10, 275)
    assert len(tokenizer.encode("lowest")) < len("lowest")
    assert END not in tokenizer.encode("lowest")


def test_a_character_unknown_to_train_has_its_own_id() -> None:
    assert Characters.fit(["abc"]).encode("axc").tolist() == [2, UNKNOWN, 4]


# --- music -------------------------------------------------------------------------------------------------------------

notes = st.lists(
    st.builds(
        lambda s, n, p, v: music.Note(s, s + n, p, v),
        st.integers(0, 60),
        st.integers(1, 8),
        st.integers(0, 127),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=30,
)


@quick
@given(notes, st.integers(1, 8))
def test_what_is_serialised_is_in_the_grammar_and_reads_back(found: list[music.Note], voices: int) -> None:
    tokens, lost = music.serialise(found, voices)
    assert music.grammar_error(tokens, voices) == ""
    back = music.parse_tokens(tokens, voices)
    assert len(back) <= len(found) - lost
    assert np.array_equal(tokens, music.serialise(back, voices)[0]) or len(back) < len(found)


@quick
@given(st.lists(st.integers(0, 130), min_size=4, max_size=40))
def test_reading_any_tokens_either_works_or_says_why(tokens: list[int]) -> None:
    tokens = tokens[: len(tokens) // 4 * 4]
    if reason := music.grammar_error(np.array(tokens), 4):
        with pytest.raises(ValueError, match=reason):
            music.parse_tokens(tokens, 4)
    else:
        assert isinstance(music.parse_tokens(tokens, 4), list)


# --- text --------------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.text("ab \n", max_size=50), max_size=20), st.integers(16, 60))
def test_cutting_keeps_every_character_and_the_limit(blocks: list[str], limit: int) -> None:
    pieces = list(text.cut(iter(blocks), limit))
    assert "".join(pieces) == "".join(blocks)
    assert all(len(p) <= limit for p in pieces)
    assert pieces == list(text.cut(iter(["".join(blocks)]), limit))


# --- small parts -------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 255), max_size=50), st.integers(1, 7))
def test_arrays_written_in_pieces_are_numpy_files(values: list[int], step: int) -> None:
    whole = np.array(values, np.uint16).reshape(-1, 1)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.npy"
        with npy.NpyWriter(path, np.uint16, (1,)) as out:
            for first in range(0, len(whole), step):
                out.append(whole[first : first + step])
        assert np.array_equal(np.load(path, mmap_mode=None if not values else "r", allow_pickle=False), whole)
        assert np.array_equal(np.concatenate([np.zeros((0, 1), np.uint16), *npy.blocks(path, step)]), whole)


@few
@given(st.integers(1, 20), st.integers(1, 300), st.integers(0, 9))
def test_a_png_shows_its_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(pixels)))), pixels)


@quick
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_the_reference_counts_every_value_once(values: list[float]) -> None:
    found = reference.numeric(np.array(values))
    assert sum(found["counts"]) == len(values)
    assert found["edges"] == sorted(set(found["edges"]))
    assert reference.count(found["edges"], np.array(values)) == found["counts"]


def test_quantile_bins_are_about_equal() -> None:
    counts = reference.numeric(np.random.default_rng(0).normal(size=10_000))["counts"]
    assert len(counts) == reference.BINS
    assert max(counts) - min(counts) <= 2


@quick
@given(
    st.lists(st.tuples(st.binary(max_size=20), st.one_of(st.none(), st.sampled_from("abc"))), min_size=1, max_size=30)
)
def test_a_spool_gives_back_what_it_took(items: list[tuple[bytes, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        spool = Spool(Path(name), lambda v: v)
        for value, label in items:
            spool.add(Sample(value, "x", label=label, caption=label, facts={"size": float(len(value))}))
        table = spool.table()
        reader = spool.reader(table, np.arange(len(items)), bytes)
        assert list(reader) == [v for v, _ in items]
        assert [s.label for s in reader.sides()] == [label for _, label in items]
        back = [None if i < 0 else table.label_names[i] for i in table.labels]
        assert back == [label for _, label in items]
        assert table.facts["size"].tolist() == [len(v) for v, _ in items]


@pytest.mark.parametrize(
    ("kind", "found", "passed"),
    [
        ("rows", checks.Findings(kept=1), True),
        ("rows", checks.Findings(kept=0), False),
        ("schema", checks.Findings(read=10, rejected={"schema": 1}), False),
        ("duplicates", checks.Findings(read=100, exact=5, near=5), True),
        ("duplicates", checks.Findings(read=100, exact=6, near=5), False),
        ("pii", checks.Findings(kept=10, personal=1), False),
        ("license", checks.Findings(read=10, rejected={"license": 1}), False),
        ("decodable", checks.Findings(read=10), True),
        ("overlap", checks.Findings(held_out=10, overlap=1), False),
        ("overlap", checks.Findings(), True),
        ("balance", checks.Findings(classes=[10, 1]), True),
        ("balance", checks.Findings(classes=[100, 1]), False),
        ("balance", checks.Findings(), True),
    ],
)
def test_a_check_with_its_usual_threshold(kind: Any, found: checks.Findings, passed: bool) -> None:
    verdict = checks.judge(Check(name="it", kind=kind), found)
    assert verdict.passed is passed
    assert verdict.message


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [("MIT", True), ("mit", True), ("MIT OR Foo-1.0", True), ("MIT AND Foo-1.0", False), ("(MIT)", True), ("", False)],
)
def test_spdx_expressions(expression: str, allowed: bool) -> None:
    assert licenses.is_allowed(expression, ["MIT"]) is allowed


def test_a_filter_bounds_both_sides_and_refuses_nan() -> None:
    bounds = [Filter(name="x", min=1, max=2)]
    assert [filters.refuses(bounds, {"x": x}, None) for x in (1, 2, 0.9, float("nan"))] == [None, None, "x", "x"]
    with pytest.raises(JobError, match="label takes values"):
        filters.check_names([Filter(name="label", min=1)], ["x"])
