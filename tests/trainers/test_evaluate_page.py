"""The page of an evaluation: whole in itself, readable without seeing, and deaf to hostile text."""

import re
import subprocess
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gentrainers import pages
from gentrainers.pages import pictures
from gentrainers.pages.strips import short

DIGEST = "sha256:" + "a" * 64
HOSTILE = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "</pre><svg onload=document.title='owned'>",
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='document.title=1",
    "javascript:document.title='owned'",
    "</title><script>document.title='owned'</script>",
]


def estimate(value: float, half: float | None = 1.0, unit: str = "seeds") -> dict[str, Any]:
    ends = {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}
    return {"value": value, **ends, "n": 5, "unit": unit}


def metric(name: str = "fid", passed: bool | None = True, **more: Any) -> dict[str, Any]:
    gate = {"need": "threshold", "side": "below", "limit": 9.0, "passed": passed, "bound": 5.0, "boundError": 0.025}
    return {
        "name": name,
        "says": "How far",
        "better": "lower",
        "needs": "features",
        "unit": "",
        "source": "Someone 2020",
        "options": {},
        "primary": False,
        "passed": passed,
        "sentence": "at most 5, limit 9",
        "subject": estimate(4.0),
        "perSeed": [3.5, 4.0, 4.5, 4.1, 3.9],
        "baseline": estimate(6.0),
        "difference": estimate(-2.0),
        "floor": {**estimate(2.0), "rows": 100},
        "secondOpinion": {k: estimate(1.0) for k in ("subject", "baseline", "difference")} | {"perSeed": None},
        "gates": [gate | {"needed": None, "unit": "seeds", "sentence": "at most 5, limit 9"}],
        **more,
    }


def identity() -> dict[str, Any]:
    same = {"digest": DIGEST, "datasetDigest": DIGEST, "weights": "ema", "sampler": {"sample_steps": 8}}
    return {"uri": "s3://models/a", "family": "flow", "size": "xs", "step": 10, "seed": 0, **same}


@pytest.fixture
def record() -> dict[str, Any]:
    bare = metric("nll", baseline=None, difference=None, floor=None, secondOpinion=None, gates=[], passed=None)
    return {
        "version": "genops.dev/report/v1",
        "verdict": "Passed",
        "summary": "1 of 1 gated metrics passed",
        "alpha": 0.05,
        "samples": 200,
        "seeds": [0, 1, 2, 3, 4],
        "split": "test",
        "dataset": {"uri": "/data", "digest": DIGEST, "format": "text"},
        "subject": identity(),
        "baseline": identity(),
        "extractors": {"learned": DIGEST, "random": DIGEST},
        "agreementEncoder": None,
        "code": {"genops": "0.1.0"},
        "notes": [],
        "metrics": [bare, metric(primary=True)],
        "exhibits": {"samples": ["once upon a time"], "real": ["it was"]},
    }


@pytest.fixture
def png() -> bytes:
    return pictures.png(pictures.grid(np.zeros((5, 8, 8, 1), np.uint8), 3))


class Seen(HTMLParser):
    """What a browser would load, run and nest."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_needs_nothing_from_outside_and_runs_nothing(record: dict[str, Any], png: bytes) -> None:
    seen = Seen(pages.evaluation(record, {"samples.png": png, "nearest.png": png}))
    assert not seen.open
    for tag, attributes in seen.tags:
        assert tag not in {"script", "link", "iframe", "object", "base", "form"}
        assert not [a for a in attributes if a.startswith("on") or a in ("href", "xlink:href", "srcset")]
        assert str(attributes.get("src", "data:")).startswith("data:")
    policy = next(a for t, a in seen.tags if t == "meta" and a.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_verdict_comes_first_and_all_is_said_in_words(record: dict[str, Any], png: bytes) -> None:
    page = pages.evaluation(record, {"samples.png": png})
    seen = Seen(page)
    words = " ".join(" ".join(seen.text).split())
    headings = [t for t, _ in seen.tags if re.fullmatch("h[1-6]", t)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert words.index("Passed") < words.index("Metrics") < words.index("Provenance")
    assert words.index("fid ↓") < words.index("nll ↓")  # what was gated stands above what was not
    assert all(a.get("alt") for t, a in seen.tags if t == "img")
    drawings = [a for t, a in seen.tags if t == "svg"]
    assert all(a.get("aria-hidden") or a.get("aria-label") for a in drawings)
    assert "fid 4.000, interval 3.000 to 5.000, floor 2.000, baseline 6.000, must be below 9.000" in page
    assert ("html", {"lang": "en"}) in seen.tags
    for said in ("≤ 9 ✓ passed", "at n = 100", "Δ −2.000", "primary", "sample_steps 8", "once upon a time"):
        assert said in words, said


@pytest.mark.parametrize("verdict", ["Passed", "Failed", "Inconclusive"])
def test_every_verdict_and_every_gap_in_a_record_can_be_shown(verdict: str, record: dict[str, Any]) -> None:
    record |= {"verdict": verdict, "baseline": None, "notes": ["Read this"], "exhibits": {}, "extractors": {}}
    worst = metric(passed=None, subject=estimate(3.0, None), perSeed=None, baseline=None, difference=None, floor=None)
    no_end = {**estimate(8.0), "high": None}
    record["metrics"] = [worst | {"secondOpinion": None}, metric("latencyP95", subject=no_end, secondOpinion=None)]
    page = pages.evaluation(record, {})
    assert f"<title>{verdict} ·" in page
    assert "no interval" in page
    assert "? undecided" in page


def with_hostile(value: Any, text: str) -> Any:
    """Put hostile text wherever a record holds free text."""
    if isinstance(value, dict):
        return {k: v if k in CHOSEN else with_hostile(v, text) for k, v in value.items()}
    if isinstance(value, list):
        return [with_hostile(v, text) for v in value]
    return text if isinstance(value, str) else value


CHOSEN = {"verdict", "better", "need", "side"}  # words that only we choose


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str, record: dict[str, Any]) -> None:
    plain = pages.evaluation(record, {})
    seen = Seen(pages.evaluation(with_hostile(deepcopy(record) | {"notes": []}, text), {}))
    assert [t for t, _ in seen.tags] == [t for t, _ in Seen(plain).tags]
    assert not [a for _, attributes in seen.tags for a in attributes if a.startswith("on")]
    assert text in "".join(seen.text)


@pytest.mark.slow
def test_no_hostile_text_runs_in_a_browser(record: dict[str, Any], tmp_path: Path) -> None:
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no chromium here")
    page = tmp_path / "page.html"
    page.write_text(pages.evaluation(with_hostile(record, "".join(HOSTILE)), {}), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [str(chromium), *flags, "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>" in dom
    assert "<title>owned" not in dom
    assert "<title>1" not in dom


def test_numbers_are_written_for_people() -> None:
    assert [short(v) for v in (0.5, 0.0, 12345.6, 1.5e-7, None)] == ["0.5000", "0.000", "12,346", "1.500e−07", "–"]


def test_pictures_are_enlarged_by_whole_factors_and_the_same_each_time() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    drawn = pictures.grid(images, 4)
    assert drawn.shape == (3 * 44 - 4, 4 * 44 - 4, 3)
    assert (drawn[0:5, 0:5] == images[0, 0, 0]).all()
    assert pictures.png(drawn) == pictures.png(drawn.copy())
    assert pictures.grid(images[:3].repeat(3, axis=3), 3).shape == (40, 128, 3)


def test_music_that_breaks_its_grammar_is_drawn_all_the_same() -> None:
    grammar = {"voices": 2, "firstPitch": 3, "hold": 2, "lowest": 40, "highest": 50}
    piece = np.array([2, 48, 2, 2, 200, 1, 49, 0, 7])  # a hold of nothing, a pitch far off, half a step
    drawn = pictures.piano_rolls([piece, piece[:4]], grammar)
    assert drawn.shape[1] == 4 * 3
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 4  # paper, ground, two voices
