"""The review page on a real API server, in a real browser: who judges is who logged in, and no text becomes script."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser
from reviewing import a_browser, a_page, a_report, judge_by_keys, png, whoami

from gencontract.deck import Deck, size
from genops.local.cluster import LocalCluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("review")]
PAIRS = 3
CARDS = size(PAIRS)
EVIL = 15  # pairs of hostile texts; with a gold card they are 16
CLAIM = "papers"
# Each would set the title, ask for an address outside, or open a dialog, if it were ever run.
CORPUS = [
    "<script>document.title='owned'</script>",
    "</pre></p></h1></title></textarea></style><script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "'><svg/onload=document.title='owned'>",
    "<svg><script href='data:text/javascript,document.title=`owned`'/></svg>",
    "<svg><animate onbegin=document.title='owned' attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><img src=x onerror=document.title='owned'>",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<iframe src=javascript:parent.document.title='owned'></iframe>",
    "<object data='data:text/html,<script>opener.document.title=1</script>'></object>",
    "<embed src=javascript:document.title='owned'>",
    "<a href=javascript:document.title='owned' autofocus onfocus=document.title='owned'>x</a>",
    "<input autofocus onfocus=document.title='owned'>",
    "<details open ontoggle=document.title='owned'>",
    "<video><source onerror=document.title='owned'></video>",
    "<audio src=x onerror=document.title='owned'>",
    "<body onload=document.title='owned'>",
    "<meta http-equiv=refresh content='0;url=javascript:document.title=1'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button autofocus>",
    "<template><script>document.title='owned'</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=document.title='owned'>\">",
    "<style>@import '//evil.example/x.css';</style>",
    "javascript:document.title='owned'",
    "data:text/html,<script>document.title='owned'</script>",
    "{{constructor.constructor('document.title=1')()}}${document.title='owned'}#{7*7}<%= 7*7 %>",
    "`;document.title='owned';//",
    "';document.title='owned';//\\u0027\\x27",
    "\u202e<script>document.title='owned'</script>\u2028\u2029\x00",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;&#60;img src=x onerror=document.title=1&#62;",
    "<xss style=animation-name:x onanimationstart=document.title='owned'>",
]


OURS = {"H1", "P", "DIV", "BUTTON", "SPAN", "KBD", "LABEL", "SMALL", "TEXTAREA", "PRE", "CODE"}  # of the page itself


@dataclass(frozen=True)
class Team:
    """A namespace with evaluations that wait for people, and where their reports lie."""

    cluster: LocalCluster
    name: str
    store: Path

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", self.name, *args, stdin=stdin)

    def ask(
        self, name: str, digest: str, raters: int = 1, question: str = "Which one is better?", pairs: int = PAIRS
    ) -> None:
        """Make an evaluation that has been measured."""
        spec = {
            "subject": {"uri": "s3://models/x"},
            "datasetUri": "s3://data/x",
            "human": {"pairs": pairs, "raters": raters, "question": question},
            "decision": {"requires": ["Human"]},
        }
        body = {"apiVersion": "genops.dev/v1alpha1", "kind": "GenEvaluation", "metadata": {"name": name}, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))
        report = {"uri": f"pvc://{CLAIM}/{name}", "digest": digest}
        status = {"status": {"phase": "WaitingForHumans", "report": report}}
        self.kubectl("patch", "gev", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))

    def pictures(self, name: str, **asked: Any) -> Deck:
        """An evaluation of pictures."""
        deck, digest = a_report(self.store / name, PAIRS, ["png"], lambda n, _: png(200 if n.endswith("a") else 20, 80))
        self.ask(name, digest, **asked)
        return deck

    def verdicts(self, evaluation: str) -> list[dict[str, Any]]:
        found = self.kubectl("get", "gvd", "-o", "json", f"--field-selector=spec.evaluationRef.name={evaluation}")
        return [v["spec"] for v in json.loads(found)["items"]]

    def page(self, *more: str) -> Any:
        return a_page(self.cluster.kubeconfig, self.name, "--store", f"{CLAIM}={self.store}", *more)


@pytest.fixture(scope="module")
def team(crds: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    name = f"review-{uuid4().hex[:8]}"
    crds.kubectl("create", "namespace", name)
    yield Team(crds, name, tmp_path_factory.mktemp("store"))
    crds.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as found:
        yield found


def test_a_person_judges_every_card_under_their_own_name(team: Team, browser: Browser) -> None:
    deck = team.pictures("faces")
    with team.page("faces") as address:
        page = browser.new_context().new_page()
        page.goto(address)
        page.wait_for_selector("#judging:not([hidden])")
        assert "secret" not in page.url
        assert page.text_content("#count") == f"0 of {CARDS}"
        page.keyboard.press("c")
        page.keyboard.type("b is a letter, not a choice")
        page.keyboard.press("Escape")
        assert judge_by_keys(page, deck, whoami(team), most=2) == 2
        page.reload()
        page.wait_for_selector("#judging:not([hidden])")
        assert page.text_content("#count") == f"2 of {CARDS}"
        assert judge_by_keys(page, deck, whoami(team)) == CARDS - 2
        page.goto(f"{root(address)}/e/faces")
        page.wait_for_selector("#over:not([hidden])")
    said = team.verdicts("faces")
    assert {v["rater"] for v in said} == {whoami(team)}
    assert sorted(v["pair"] for v in said) == list(range(CARDS))
    assert [v.get("comment") for v in said].count("b is a letter, not a choice") == 1
    assert all(deck.prefers_first(v["rater"], v["pair"], v["choice"]) for v in said)


def test_the_list_leads_to_what_waits(team: Team, browser: Browser) -> None:
    team.pictures("listed", question="Which is sharper?")
    with team.page() as address:
        page = browser.new_context().new_page()
        page.goto(address)
        page.click("text=listed")
        page.wait_for_selector("#judging:not([hidden])")
        assert page.text_content("#question") == "Which is sharper?"


@dataclass(frozen=True)
class Evil:
    """Samples and prompts out of hostile texts, by the number of the pair."""

    texts: list[str]

    def prompt(self, number: int) -> str:
        return self.texts[number]

    def sample(self, name: str, _: Any) -> bytes:
        return self.prompt(int(name[5:9])).encode()


@pytest.mark.parametrize("text", [CORPUS[0], CORPUS[2], CORPUS[3], CORPUS[13]])
def test_on_a_page_that_takes_it_for_markup_it_is_run(browser: Browser, text: str) -> None:
    page = browser.new_context().new_page()
    page.set_content(f"<title>safe</title><main>{text}</main>")
    page.wait_for_function("() => document.title === 'owned'")


def test_no_text_of_models_data_or_people_is_ever_run(team: Team, browser: Browser) -> None:
    """0 executions: prompts, samples, questions and the names of files, as markup, script and style."""
    pages = []
    for number in range(0, len(CORPUS), EVIL + 1):
        evil = CORPUS[number : number + EVIL + 1]
        name = f"evil-{number}"
        deck, digest = a_report(team.store / name, EVIL, ["txt"], Evil(evil).sample, Evil(evil).prompt)
        team.ask(name, digest, question=evil[0], pairs=EVIL)
        pages.append((name, deck, evil))
    with team.page() as address:
        context = browser.new_context()
        page = context.new_page()
        outside: list[str] = []
        page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(root(address)) else None)
        page.on("dialog", lambda d: outside.append(f"dialog {d.message}"))
        page.goto(address)
        page.wait_for_selector("#list a")
        seen, me = set(), whoami(team)
        for name, deck, evil in pages:
            page.goto(f"{root(address)}/e/{name}")
            page.wait_for_selector("#judging:not([hidden])")
            title = page.title()
            while True:
                number = int(page.get_attribute("#judging", "data-card"))
                text = evil[int(deck.cards[number].first[5:9])]
                assert page.text_content("#sample-a pre").rstrip("\0") == text.rstrip("\0")
                assert set(page.evaluate("[...document.querySelectorAll('main *')].map(e => e.tagName)")) <= OURS
                seen.add(text)
                if judge_by_keys(page, deck, me, most=1) and page.is_visible("#over"):
                    break
            assert page.title() == title
        assert len(context.pages) == 1
        assert outside == []
    assert seen == set(CORPUS)


def test_a_file_that_lies_about_its_kind_is_shown_as_nothing_else(team: Team, browser: Browser) -> None:
    """A picture that is a page: it is sent as a picture, and neither shown nor run."""
    evil = b"<html><script>document.title='owned'</script></html>"
    _, digest = a_report(team.store / "liar", PAIRS, ["png"], lambda *_: evil)
    team.ask("liar", digest)
    with team.page("liar") as address:
        page = browser.new_context().new_page()
        page.goto(address)
        page.wait_for_function("() => document.getElementById('error').textContent")
        assert "cannot be shown" in (page.text_content("#error") or "")
        answer = page.goto(f"{root(address)}/api/e/liar/0/a.png")
        assert answer is not None
        assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == ("image/png", "nosniff")
        assert page.title() != "owned"


def test_a_changed_sample_is_refused_with_its_name(team: Team) -> None:
    team.pictures("changed")
    (team.store / "changed/deck/0001a.png").write_bytes(png(1, 1))
    with team.page("changed") as address, Client(address).logged_in(address) as client:
        answers = [client.get(f"/api/e/changed/{n}/{side}.png") for n in range(CARDS) for side in "ab"]
        refused = [json.loads(a.body)["error"] for a in answers if a.status != 200]
        assert refused
        assert all("deck/0001a.png has digest" in r for r in refused)


# --- without a browser -----------------------------------------------------------------------------------------------


def root(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Plain requests, so that headers can be left out or wrong."""

    def __init__(self, address: str) -> None:
        self.root, self.cookie, self.csrf = root(address), "", ""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.cookie = ""

    def logged_in(self, address: str, secret: str = "") -> "Client":
        secret = secret or address.split("secret=")[1]
        answer = self.post("/login", {"secret": secret})
        assert answer.status == 200, answer.body
        self.cookie = answer.headers["Set-Cookie"].split(";")[0]
        self.csrf = json.loads(self.get("/api/session").body)["csrf"]
        return self

    def get(self, path: str, **headers: str) -> Answer:
        return self._send(urllib.request.Request(self.root + path, headers={"Cookie": self.cookie, **headers}))

    def post(self, path: str, body: Any, **headers: str | None) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        ours = {
            "Content-Type": "application/json",
            "Origin": self.root,
            "Cookie": self.cookie,
            "X-CSRF-Token": self.csrf,
        }
        sent = {k: v for k, v in {**ours, **headers}.items() if v is not None}
        return self._send(urllib.request.Request(self.root + path, data, sent))

    def _send(self, request: urllib.request.Request) -> Answer:
        opener = urllib.request.build_opener(NoRedirect)
        try:
            with opener.open(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def test_nothing_is_told_or_taken_before_login(team: Team) -> None:
    team.pictures("closed")
    with team.page() as address:
        client = Client(address)
        for path in ("/api/session", "/api/evaluations", "/api/e/closed", "/api/e/closed/0/a.png"):
            assert client.get(path).status == 401, path
        for path in ("/", "/e/closed"):
            assert (client.get(path).status, client.get(path).headers["Location"]) == (303, "/login"), path
        assert client.post("/api/e/closed", {"card": 0, "choice": "A"}).status == 401
        assert client.post("/login", {"secret": "guess"}).status == 401
        assert client.get("/static/../cli.py").status == 404
        assert client.get("/api/session", Cookie="genops-review=guess").status == 401
        assert client.get("/login", Host="evil.example").status == 421
    assert team.verdicts("closed") == []


def test_a_large_body_is_refused_before_anybody_is_known(team: Team) -> None:
    with team.page() as address:
        for path in ("/login", "/api/e/any"):
            assert Client(address).post(path, b"x" * 20_000).status == 413


def test_a_request_that_another_page_makes_is_refused(team: Team) -> None:
    team.pictures("forged")
    said = {"card": 0, "choice": "A"}
    with team.page() as address, Client(address).logged_in(address) as client:
        for wrong in (
            {"X-CSRF-Token": "x"},
            {"X-CSRF-Token": None},
            {"Origin": "http://evil.example"},
            {"Origin": None},
        ):
            assert client.post("/api/e/forged", said, **wrong).status == 403, wrong
        assert team.verdicts("forged") == []
        for bad in (
            {"card": 99, "choice": "A"},
            {"card": "0", "choice": "A"},
            {"card": True, "choice": "A"},
            {"card": 0, "choice": "C"},
        ):
            assert client.post("/api/e/forged", bad).status == 400, bad
        assert client.post("/api/e/forged", b"[]").status == 400
        assert client.post("/api/e/forged", said).status == 200
        assert client.post("/api/e/forged", {"card": 0, "choice": "B"}).status == 200  # said before: it stays
    assert [v["choice"] for v in team.verdicts("forged")] == ["A"]


def test_every_answer_forbids_script_and_the_cookie_is_for_this_page_alone(team: Team) -> None:
    with team.page() as address:
        client = Client(address)
        answer = client.post("/login", {"secret": address.split("secret=")[1]})
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))
        for path in ("/login", "/static/review.js", "/api/session", "/nowhere"):
            policy = client.get(path).headers["Content-Security-Policy"]
            assert "default-src 'none'; script-src 'self'" in policy
            assert "unsafe" not in policy
    static = Path(__file__).parents[1] / "operator/genops/review/static"
    for page in static.glob("*.html"):
        assert "<script src=" in page.read_text()
        assert page.read_text().count("<script") == 1
        assert not re.search(r"\son\w+=|style=", page.read_text())


def account(team: Team, name: str, *verbs: str) -> str:
    """A service account that may do so much with verdicts, and its token."""
    team.kubectl("create", "serviceaccount", name)
    team.kubectl("create", "role", name, f"--verb={','.join(verbs)}", "--resource=genverdicts,genevaluations")
    team.kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={team.name}:{name}")
    return team.kubectl("create", "token", name).strip()


def test_with_tokens_each_judges_as_who_they_are(team: Team) -> None:
    team.pictures("shared", raters=2)
    ada, ben = (account(team, name, "get", "list", "create") for name in ("ada", "ben"))
    reader = account(team, "reader", "get", "list")
    with team.page("--login", "token") as address:
        cookie = Client(address).post("/login", {"secret": ada}).headers["Set-Cookie"]
        assert cookie.startswith("__Host-genops-review=")
        assert "Secure" in cookie.split("; ")
        for number, token in enumerate((ada, ben)):
            with Client(address).logged_in(address, token) as client:
                assert client.post("/api/e/shared", {"card": number, "choice": "Tie"}).status == 200
        refused = Client(address).post("/login", {"secret": reader})
        assert (refused.status, "may not create genverdicts" in refused.body.decode()) == (403, True)
        for wrong in ("nonsense", "", ada[:-2], "a b", "é"):
            assert Client(address).post("/login", {"secret": wrong}).status == 401, wrong
    said = {v["pair"]: v["rater"] for v in team.verdicts("shared")}
    assert said == {n: f"system:serviceaccount:{team.name}:{who}" for n, who in enumerate(("ada", "ben"))}


def test_a_page_for_others_takes_no_kubeconfig(team: Team) -> None:
    with pytest.raises(AssertionError, match="add --login token"), team.page("--host", "0.0.0.0"):
        pass
