"""The site builds with no broken link, shows every page in its menu, and fetches nothing from other hosts."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FRONT = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]


class _Page(HTMLParser):
    """What a page points at: links of its menu, and files that a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.menu: set[str] = set()
        self.fetched: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {key: value or "" for key, value in attrs}
        if tag == "a" and "md-nav__link" in a.get("class", ""):
            self.menu.add(a.get("href", "").partition("#")[0])
        if tag in ("script", "img", "iframe"):
            self.fetched.add(a.get("src", ""))
        if tag == "link" and a.get("rel") in ("stylesheet", "preload", "icon"):
            self.fetched.add(a.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site in a folder of its own. The build is strict: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_stands_in_the_menu(site: Path) -> None:
    front = _Page()
    front.feed((site / "index.html").read_text(encoding="utf-8"))
    pages = {p.relative_to(DOCS).with_suffix(".html").as_posix() for p in PAGES} - {"index.html"}
    assert {p.replace("README.html", "index.html") for p in pages} <= front.menu


def test_nothing_is_fetched_from_other_hosts(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        assert not {url for url in page.fetched if urlsplit(url).netloc}, path


@pytest.mark.parametrize("name", FRONT)
def test_the_front_pages_point_at_what_is_there(name: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not urlsplit(link).scheme]
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_pictures_are_small() -> None:
    pictures = [p for p in DOCS.rglob("*") if p.suffix in (".png", ".svg", ".jpg", ".gif")]
    assert pictures
    assert [p for p in pictures if p.stat().st_size > 200_000] == []
