"""The review page as a process of its own, a real browser before it, and decks that need no model."""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from gencontract.deck import DECK, Card, Deck, Media, size
from gencontract.wire import canonical
from gentrainers import artifact

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
KEYS = {"A": "ArrowLeft", "B": "ArrowRight", "Tie": "ArrowDown", "Bad": "ArrowUp"}


@contextmanager
def a_page(kubeconfig: str, namespace: str, *more: str) -> Iterator[str]:
    """Run `genops review` on a free port and give the address that it prints."""
    command = [sys.executable, "-m", "genops", "review", "-n", namespace, "--port", "0", *more]
    env = {**os.environ, "KUBECONFIG": kubeconfig}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout
            found = re.search(r"http://\S+", process.stdout.readline())
            said.seek(0)
            assert found, f"no address: {said.read()}"
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def a_browser() -> Iterator[Browser]:
    """A fresh Chromium of the system."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def judge_by_keys(page: Any, deck: Deck, rater: str, liked: str = "first", most: int = 10_000) -> int:
    """Judge cards by keyboard until none is left, always for the sample that is liked. Returns how many."""
    done = 0
    while done < most:
        page.wait_for_function(
            "() => !document.getElementById('over').hidden || document.querySelector('#judging[data-card]')"
        )
        if page.is_visible("#over"):
            break
        number = int(page.get_attribute("#judging", "data-card"))
        choice = "A" if (liked == "first") is deck.first_is_a(rater, number) else "B"
        page.keyboard.press(KEYS[choice])
        assert page.get_attribute(f"#{choice}", "aria-pressed") == "true"
        page.keyboard.press("Enter")
        done += 1
        page.wait_for_function(
            "n => !document.getElementById('over').hidden || document.getElementById('judging').dataset.card != n"
            " || document.getElementById('error').textContent",
            arg=str(number),
        )
        assert page.text_content("#error") == ""
    return done


def a_report(
    folder: Path, pairs: int, media: list[Media], samples: Any, prompts: Any = lambda n: ""
) -> tuple[Deck, str]:
    """Write a report with a deck as the evaluating pod would; `samples(name, media)` makes the files."""
    extra = (size(pairs) - pairs) // 2
    names = [
        {"first": f"deck/{n:04d}a", "second": f"deck/{n:04d}b", "prompt": prompts(n)} for n in range(pairs + extra)
    ]
    cards = [Card(kind="pair", **names[n]) for n in range(pairs)]
    cards += [Card(kind="repeat", of=n, **names[n]) for n in range(extra)]
    cards += [Card(kind="gold", **names[pairs + n]) for n in range(extra)]
    deck = Deck(key="7e" * 32, modality="images" if media == ["png"] else "text", media=media, cards=cards)
    (folder / "deck").mkdir(parents=True)
    (folder / DECK).write_bytes(canonical(deck.model_dump(mode="json", by_alias=True, exclude_none=True)))
    for card in names:
        for side in ("first", "second"):
            for kind in media:
                (folder / f"{card[side]}.{kind}").write_bytes(samples(card[side], kind))
    return deck, artifact.seal(folder, "report", {})


def png(red: int, green: int, side: int = 48) -> bytes:
    """A picture of one colour."""
    raw = b"".join(b"\0" + bytes((red, green, 90)) * side for _ in range(side))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    )
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def whoami(place: Any) -> str:
    """The name by which the API server knows the kubeconfig's user."""
    return str(json.loads(place.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"])
