"""Whose turn it is, what is read of a report, who is logged in, and what the command refuses."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gencontract.deck import Card, Deck
from gencontract.wire import canonical
from genops.review import cli
from genops.review.desk import Turn, turn
from genops.review.errors import ReviewError
from genops.review.reviewer import Reviewer
from genops.review.sessions import LIFETIME_SECONDS, MOST, Sessions
from genops.review.store import Report, from_folder, from_url

DECK = Deck(
    key="11" * 32,
    modality="text",
    media=["txt"],
    cards=[Card(kind="pair", first=f"deck/{n:04d}a", second=f"deck/{n:04d}b") for n in range(4)],
)
ALL = {("ada", n) for n in range(4)}


@pytest.mark.parametrize(
    ("fact", "said", "left", "done", "total"),
    [
        ("At first every card is left", set(), {0, 1, 2, 3}, 0, 4),
        ("What one has judged does not come again", {("ada", 0)}, {1, 2, 3}, 1, 4),
        ("What enough others have judged is not asked for", {("ben", 0), ("cleo", 0), ("ben", 1)}, {1, 2, 3}, 0, 3),
        ("At the end nothing is left", ALL, {None}, 4, 4),
        ("Where others did all the work, nothing is left", {(r, n) for r in ("ben", "cleo") for n in range(4)}, {None}, 0, 0),
        ("Cards that there are not count for nothing", {("ada", 9)}, {0, 1, 2, 3}, 0, 4),
    ],
)  # fmt: skip
def test_whose_turn_it_is(fact: str, said: set[tuple[str, int]], left: set[Any], done: int, total: int) -> None:
    now = turn(DECK, "ada", 2, said)
    assert now.card in left
    assert (now.done, now.total) == (done, total)
    assert turn(DECK, "ada", 2, said) == now


def test_everybody_comes_to_an_end() -> None:
    said: set[tuple[str, int]] = set()
    for rater in ("ada", "ben", "cleo"):
        while (now := turn(DECK, rater, 2, said)).card is not None:
            said.add((rater, now.card))
    assert len(said) == 8
    assert turn(DECK, "cleo", 2, said) == Turn(None, 0, 0)


def sealed(folder: Path, **files: bytes) -> str:
    """Write a report as the evaluating pod does, with the samples of all cards; returns its digest."""
    samples = {f"{n}.txt": n.encode() for card in DECK.cards for n in (card.first, card.second)}
    body = {"deck.json": canonical(DECK.model_dump(mode="json", by_alias=True, exclude_none=True)), **samples, **files}
    (folder / "deck").mkdir(parents=True)
    listed = []
    for name, data in body.items():
        (folder / name).write_bytes(data)
        listed.append({"path": name, "bytes": len(data), "sha256": "sha256:" + hashlib.sha256(data).hexdigest()})
    manifest = canonical({"kind": "report", "files": listed, "body": {}})
    (folder / "manifest.json").write_bytes(manifest)
    return "sha256:" + hashlib.sha256(manifest).hexdigest()


def test_two_people_see_a_card_with_its_sides_as_drawn_for_each(tmp_path: Path) -> None:
    report = Report("pvc://x", sealed(tmp_path / "r"), from_folder(tmp_path / "r"))
    for rater in ("ada", "ben"):
        for number in range(4):
            a, b = (report.sample(number, side, rater, "txt").decode() for side in "ab")
            card = DECK.cards[number]
            assert {a, b} == {card.first, card.second}
            assert (a == card.first) is DECK.first_is_a(rater, number)


def test_what_differs_from_its_digest_is_refused_by_name(tmp_path: Path) -> None:
    digest = sealed(tmp_path / "r")
    report = Report("pvc://x", digest, from_folder(tmp_path / "r"))
    (tmp_path / "r/deck/0002a.txt").write_bytes(b"other")
    with pytest.raises(ReviewError, match=r"deck/0002a\.txt has digest"):
        [report.sample(2, side, "ada", "txt") for side in "ab"]
    with pytest.raises(ReviewError, match=r"pvc://x/manifest\.json has digest"):
        Report("pvc://x", "sha256:" + "0" * 64, from_folder(tmp_path / "r"))
    (tmp_path / "r/manifest.json").unlink()
    with pytest.raises(ReviewError, match=r"manifest\.json cannot be read: No such file"):
        Report("pvc://x", digest, from_folder(tmp_path / "r"))


def test_a_report_without_a_deck_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    manifest = canonical({"kind": "report", "files": [], "body": {}})
    (tmp_path / "r/manifest.json").write_bytes(manifest)
    with pytest.raises(ReviewError, match=r"evaluate again with spec\.human"):
        Report("pvc://x", "sha256:" + hashlib.sha256(manifest).hexdigest(), from_folder(tmp_path / "r"))


@pytest.mark.parametrize("name", ["../secret", "deck/../../secret", "link", "/etc/hostname"])
def test_nothing_outside_of_the_report_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/link").symlink_to(tmp_path / "secret")
    with pytest.raises(ReviewError, match="outside of the report"):
        from_folder(tmp_path / "r")(name)


def test_a_store_behind_an_address_is_read_by_fsspec(tmp_path: Path) -> None:
    digest = sealed(tmp_path / "r")
    report = Report("s3://x", digest, from_url(f"file://{tmp_path}/r"))
    assert report.deck == DECK


async def test_a_session_ends_by_itself_and_the_oldest_gives_way() -> None:
    now = [0.0]
    sessions = Sessions(clock=lambda: now[0])
    reviewer = Reviewer(api=None, name="ada", namespace="team", shared=True)  # type: ignore[arg-type]
    first = await sessions.open(reviewer)
    assert sessions.find(first) is not None
    assert sessions.find("guess") is None
    now[0] = LIFETIME_SECONDS
    assert sessions.find(first) is None
    cookies = [await sessions.open(reviewer) for _ in range(MOST + 1)]
    assert (len(sessions), sessions.find(cookies[0])) == (MOST, None)
    assert len({sessions.find(c).csrf for c in cookies[1:]}) == MOST  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: whoever reaches the page would judge in your name; add --login token"),
        (["--store", "claim"], "--store claim: it takes CLAIM=FOLDER"),
        (["--store", "claim=/nowhere/at/all"], "the folder must be there"),
    ],
)
def test_a_wrong_argument_is_named(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli.configure(parser)
    assert cli.main(parser.parse_args(words)) == 2
    assert says in capsys.readouterr().err


def test_the_decks_of_both_sides_are_one_format() -> None:
    text = canonical(DECK.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert Deck.model_validate(json.loads(text)) == DECK
