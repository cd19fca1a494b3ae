"""URLs that try to lead a pod into closed networks, and downloads that break, lie or go round in circles."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gencontract.codes import Code
from gentrainers.data import net
from gentrainers.errors import JobError

DATA = bytes(range(256)) * 400
PUBLIC = ["93.184.216.34"]


@dataclass
class Site:
    """A loopback server whose answers are set by path, and what was asked of it."""

    port: int = 0
    hits: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `site` is set by the fixture."""

    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.site.hits.append(self.path)
        self.close_connection = True
        getattr(self, "answer_" + self.path.strip("/").partition("?")[0], self.answer_missing)()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        said = {"Content_Length": str(len(body)), "Connection": "close", **headers}
        for name, value in said.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_data(self) -> None:
        self.reply(200, DATA)

    def answer_missing(self) -> None:
        self.reply(404)

    def answer_secret(self) -> None:
        self.reply(403)

    def answer_loop(self) -> None:
        self.reply(302, Location="/loop")

    def answer_moved(self) -> None:
        self.reply(301, Location="/data")

    def answer_inward(self) -> None:
        self.reply(302, Location="http://169.254.169.254/latest/meta-data/")

    def answer_tofile(self) -> None:
        self.reply(302, Location="file:///etc/passwd")

    def answer_broken(self) -> None:
        """Break off in the middle the first time, and go on by range the second."""
        asked = self.headers.get("Range")
        if asked:
            self.site.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.reply(206, DATA[start:], Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}", ETag='"v1"')
            return
        self.reply(200, DATA[:5000], Content_Length=str(len(DATA)), ETag='"v1"')

    def answer_changing(self) -> None:
        """Break off once; then another version is there, and the range is not honoured."""
        if len(self.site.hits) == 1:
            self.reply(200, b"old" * 100, Content_Length="1000", ETag='"v1"')
        else:
            self.reply(200, DATA, ETag='"v2"')

    def answer_busy(self) -> None:
        self.reply(503) if len(self.site.hits) < 3 else self.reply(200, DATA)

    def answer_down(self) -> None:
        self.reply(500)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Handler,), {"site": found}))
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


OPEN = net.Policy(private=True, pause=0, timeout=5)
SHUT = net.Policy(private=False, pause=0, timeout=2, resolve=lambda host, port: PUBLIC)

TRICKS = [
    "http://127.0.0.1:{port}/data",
    "http://127.0.0.2:{port}/data",
    "http://127.1:{port}/data",
    "http://127.0.1:{port}/data",
    "http://2130706433:{port}/data",
    "http://0x7f000001:{port}/data",
    "http://0x7f.0.0.1:{port}/data",
    "http://0177.0.0.1:{port}/data",
    "http://017700000001:{port}/data",
    "http://127.0.0.1.:{port}/data",
    "http://0:{port}/data",
    "http://0.0.0.0:{port}/data",
    "http://[::1]:{port}/data",
    "http://[::]:{port}/data",
    "http://[0:0:0:0:0:0:0:1]:{port}/data",
    "http://[::ffff:127.0.0.1]:{port}/data",
    "http://[::ffff:7f00:1]:{port}/data",
    "http://[::127.0.0.1]:{port}/data",
    "http://[64:ff9b::7f00:1]:{port}/data",
    "http://[2002:7f00:1::]:{port}/data",
    "http://[fe80::1]:{port}/data",
    "http://[fe80::1%25lo]:{port}/data",
    "http://[fc00::1]:{port}/data",
    "http://[::1%25lo]:{port}/data",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://100.100.100.200/latest/meta-data/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://user@127.0.0.1:{port}/data",
    "http://example.org@127.0.0.1:{port}/data",
    "http://127.0.0.1:{port}@example.org/data",
    "http://example.org:80@127.0.0.1:{port}/",
    "http://example.org#@127.0.0.1:{port}/../",
    "http://example.org\\@127.0.0.1:{port}/data",
    "http://127.0.0.1\t:{port}/data",
    "http://127.0.0.1:{port}\r\nHost: evil/data",
    " http://127.0.0.1:{port}/data",
    "http:///127.0.0.1:{port}/data",
    "http:127.0.0.1:{port}/data",
    "//127.0.0.1:{port}/data",
    "127.0.0.1:{port}/data",
    "http://①②⑦.⓪.⓪.①:{port}/data",
    "http://127。0。0。1:{port}/data",
    "http://ⓛocalhost:{port}/data",
    "http://example.org:0/",
    "http://example.org:99999/",
    "http://example.org:port/",
    "http://-example.org/",
    "http://exa mple.org/",
    "http://[::1/",
    "http://[127.0.0.1]:{port}/",
    "http://[v1.x]/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:{port}/data",
    "gopher://127.0.0.1:{port}/_data",
    "dict://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}!/",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "HTTP://127.0.0.1:{port}/data",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "",
]


@pytest.mark.parametrize("url", TRICKS)
def test_a_trick_never_reaches_a_closed_network(url: str, site: Site, tmp_path: Path) -> None:
    connected = []
    policy = replace(SHUT, resolve=lambda host, port: connected.append(host) or PUBLIC)  # type: ignore[func-returns-value]
    if url == "http://example.org#@127.0.0.1:{port}/../":  # harmless: a fragment, and the host is example.org
        assert net.judge(url.format(port=site.port), policy).host == "example.org"
        return
    with pytest.raises(JobError) as caught:
        net.download(url.format(port=site.port), tmp_path / "x", policy)
    assert caught.value.code in (Code.FORBIDDEN, Code.BAD_CONFIG)
    assert not site.hits
    assert not (tmp_path / "x").exists()


def test_there_are_enough_tricks() -> None:
    assert len(TRICKS) >= 40


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["93.184.216.34", "127.0.0.1"]],
)
def test_a_name_that_leads_inward_is_refused_even_beside_a_good_address(answer: list[str], tmp_path: Path) -> None:
    policy = replace(SHUT, resolve=lambda host, port: answer)
    with pytest.raises(JobError, match="GENOPS_ALLOW_PRIVATE_SOURCES") as caught:
        net.download("http://rebind.example.org/", tmp_path / "x", policy)
    assert caught.value.code is Code.FORBIDDEN


def test_a_name_is_resolved_once_and_the_connection_goes_to_that_address(site: Site, tmp_path: Path) -> None:
    """A name server that answers differently the second time gains nothing."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    policy = replace(OPEN, resolve=resolve)
    net.download(f"http://data.example.org:{site.port}/data", tmp_path / "x", policy)
    assert asked == ["data.example.org"]
    assert (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize("path", ["/inward", "/tofile"])
def test_a_redirect_is_judged_like_a_first_url(path: str, site: Site, tmp_path: Path) -> None:
    """The first address is opened for the test alone; what it redirects to is not."""

    class OpenOnce:
        max_bytes, timeout, pause = 1 << 20, 2.0, 0.0
        tick = staticmethod(lambda done: None)
        resolve = staticmethod(net.lookup)

        @property
        def private(self) -> bool:
            return not site.hits

    with pytest.raises(JobError) as caught:
        net.download(site.url(path), tmp_path / "x", OpenOnce())  # type: ignore[arg-type]
    assert caught.value.code is Code.FORBIDDEN
    assert site.hits == [path]


def test_https_is_not_left_for_http() -> None:
    with pytest.raises(JobError, match="from https"):
        net._next("https://a.example/x", "http://a.example/x")


def test_a_download_follows_a_redirect(site: Site, tmp_path: Path) -> None:
    found = net.download(site.url("/moved"), tmp_path / "x", OPEN, hashlib.sha256(DATA).hexdigest())
    assert found == hashlib.sha256(DATA).hexdigest()


def test_a_broken_transfer_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    net.download(site.url("/broken"), tmp_path / "x", OPEN)
    assert (tmp_path / "x").read_bytes() == DATA
    assert site.ranges == ["bytes=5000-"]


def test_another_version_starts_again(site: Site, tmp_path: Path) -> None:
    net.download(site.url("/changing"), tmp_path / "x", OPEN)
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    net.download(site.url("/busy"), tmp_path / "x", OPEN)
    assert len(site.hits) == 3


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/nowhere", Code.MISSING_INPUT, "404"),
        ("/secret", Code.FORBIDDEN, "403"),
        ("/loop", Code.BAD_DATA, "redirected more than"),
        ("/down", Code.SOURCE_UNAVAILABLE, "500"),
    ],
)
def test_an_answer_that_is_none(path: str, code: Code, says: str, site: Site, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=says) as caught:
        net.download(site.url(path + "?token=secret"), tmp_path / "x", OPEN)
    assert caught.value.code is code
    assert "secret=" not in str(caught.value)
    assert "token" not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_a_wrong_digest_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"source\.sha256") as caught:
        net.download(site.url("/data"), tmp_path / "x", OPEN, "0" * 64)
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert not (tmp_path / "x").exists()


def test_more_than_the_cap_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="larger than 1000 bytes"):
        net.download(site.url("/data"), tmp_path / "x", replace(OPEN, max_bytes=1000))


def test_a_host_without_address_counts_as_unavailable(tmp_path: Path) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(JobError) as caught:
        net.download("http://nowhere.example/", tmp_path / "x", replace(SHUT, resolve=nowhere))
    assert caught.value.code is Code.SOURCE_UNAVAILABLE
