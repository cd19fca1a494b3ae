"""Places that data comes from, each against a real or in-memory counterpart: git, object store, hub, http, books."""

import hashlib
import io
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data import net, sources
from gentrainers.data.builtin import literature
from gentrainers.data.formats import make
from gentrainers.data.pipeline import Collector
from gentrainers.data.sources import base, git, hugging_face, s3
from gentrainers.errors import JobError
from gentrainers.jobs.prepare import run
from gentrainers.pod import Lines, Pod


def a_task(source: dict[str, Any], format_: str = "text", output: str = "/nowhere", **fields: Any) -> PrepareTask:
    return PrepareTask.model_validate({"source": source, "format": format_, "output": output, **fields})


def a_pod() -> Pod:
    return Pod(Lines(io.StringIO()))


# --- git ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, a link that leaves it, and a hook that would leave a trace."""
    root = tmp_path / "repository"
    root.mkdir()

    def call(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)

    call("init", "-q", "-b", "main")
    (root / "data").mkdir()
    (root / "data" / "a.txt").write_text("first")
    call("add", "-A")
    call("commit", "-q", "-m", "one")
    call("tag", "v1")
    (root / "data" / "b.txt").write_text("second")
    (root / "data" / "c.txt").symlink_to("/etc/hostname")
    call("add", "-A")
    call("commit", "-q", "-m", "two")
    return root


def test_git_takes_the_newest_or_the_asked_revision(repository: Path, tmp_path: Path) -> None:
    source = {"kind": "git", "uri": f"file://{repository}", "path": "data"}
    newest = _fetch_into(tmp_path / "one", source)
    assert [b.name for b in newest.blobs] == ["a.txt", "b.txt", "c.txt"]
    assert (newest.blobs[2].path).read_text() == "/etc/hostname"  # a link comes as the text it is, not as the file
    tagged = _fetch_into(tmp_path / "two", {**source, "revision": "v1"})
    assert [b.name for b in tagged.blobs] == ["a.txt"]
    assert len(newest.revision) == 40
    assert newest.revision != tagged.revision


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"path": "../.."}, Code.FORBIDDEN),
        ({"path": "nowhere"}, Code.MISSING_INPUT),
        ({"revision": "gone"}, Code.MISSING_INPUT),
    ],
)
def test_git_stays_in_the_repository(more: dict[str, str], code: Code, repository: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        _fetch_into(tmp_path / "x", {"kind": "git", "uri": f"file://{repository}", **more})
    assert caught.value.code is code


def test_git_takes_no_settings_from_the_machine(
    monkeypatch: pytest.MonkeyPatch, repository: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {trace}")
    monkeypatch.setenv("GIT_TRACE", str(trace))
    _fetch_into(tmp_path / "x", {"kind": "git", "uri": f"file://{repository}"})
    assert not trace.exists()


def _fetch_into(folder: Path, source: dict[str, Any]) -> base.Fetched:
    folder.mkdir()
    return git.fetch(a_task(source), folder, a_pod())


# --- object store ------------------------------------------------------------------------------------------------------


def test_a_prefix_of_a_store_is_copied(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket-a/set/one.txt", b"one")
    store.pipe("/bucket-a/set/deep/two.txt", b"two")
    task = a_task({"kind": "s3", "uri": "memory://bucket-a/set"})
    found = s3.copy(store, "memory://bucket-a/set", task, tmp_path, a_pod())
    assert [b.name for b in found.blobs] == ["deep/two.txt", "one.txt"]


def test_a_store_without_the_prefix_is_a_missing_input(tmp_path: Path) -> None:
    task = a_task({"kind": "s3", "uri": "memory://bucket-b/none"})
    with pytest.raises(JobError) as caught:
        s3.copy(fsspec.filesystem("memory"), "memory://bucket-b/none", task, tmp_path, a_pod())
    assert caught.value.code is Code.MISSING_INPUT


def test_a_secret_without_its_keys_is_told_of_by_the_names_it_has_and_never_by_a_value(tmp_path: Path) -> None:
    (tmp_path / "minio").mkdir()
    (tmp_path / "minio" / "AWS_ACCESS_KEY").write_text("do-not-tell")
    task = a_task({"kind": "s3", "uri": "s3://bucket/set", "secret": str(tmp_path / "minio")})
    with pytest.raises(JobError) as caught:
        sources.fetch(task, tmp_path, a_pod())
    assert caught.value.code is Code.BAD_CONFIG
    says = "the Secret minio has no key AWS_ACCESS_KEY_ID, which source.kind s3 needs; its keys: AWS_ACCESS_KEY"
    assert str(caught.value) == f"source.secretRef: {says}"


def test_a_secret_that_nothing_would_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="read with s3 alone") as caught:
        sources.fetch(a_task({"kind": "git", "uri": "https://x.example/y", "secret": "/s"}), tmp_path, a_pod())
    assert caught.value.code is Code.UNSUPPORTED


class Evil:
    """A store whose keys and errors are set by the test."""

    def __init__(self, keys: dict[str, Any] | Exception) -> None:
        self.keys = keys

    def _strip_protocol(self, uri: str) -> str:
        return uri.removeprefix("s3://")

    def find(self, root: str, detail: bool) -> dict[str, Any]:
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"b/p/../../escape": {"size": 1}}, Code.BAD_DATA),
        ({"b/p/x": {"size": 1 << 50}}, Code.BAD_DATA),
        (PermissionError("denied"), Code.FORBIDDEN),
        (OSError("connection reset"), Code.SOURCE_UNAVAILABLE),
    ],
)
def test_a_store_that_misbehaves(keys: Any, code: Code, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        s3.copy(Evil(keys), "s3://b/p", a_task({"kind": "s3", "uri": "s3://b/p"}), tmp_path, a_pod())
    assert caught.value.code is code


# --- hub ---------------------------------------------------------------------------------------------------------------


class Rows(list[dict[str, Any]]):
    """What the hub's library gives, as far as it is used."""

    def __init__(self, rows: list[dict[str, Any]], names: list[str] | None = None) -> None:
        super().__init__(rows)
        self.info = type("Info", (), {"license": "CC0-1.0"})()
        self.features = {"label": type("ClassLabel", (), {"names": names})()}


def _collect(found: base.Fetched, format_: str, tmp_path: Path) -> Collector:
    task = a_task({"kind": "huggingFace", "name": "a/b"}, format_)
    collector = Collector(task, make(format_, {}), tmp_path, a_pod())
    collector.run(found)
    return collector


def test_rows_of_a_hub_become_text_and_pictures(tmp_path: Path) -> None:
    task = a_task({"kind": "huggingFace", "name": "a/b", "split": "all"})
    asked: dict[str, Any] = {}

    def load(name: str, **how: Any) -> Rows:
        asked.update(how, name=name)
        return Rows([{"text": "one"}, {"text": "two"}])

    found = hugging_face.take(load, task, "a/b", "abc")
    assert asked == {"name": "a/b", "split": "all", "revision": "abc", "streaming": True, "trust_remote_code": False}
    assert (found.revision, found.license) == ("abc", "CC0-1.0")
    assert len(_collect(found, "text", tmp_path).spool) == 2
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    pictures = Rows([{"image": image, "label": 1}, {"image": image.rotate(90), "label": 0}], ["cat", "dog"])
    table = _collect(hugging_face.take(lambda *_, **__: pictures, task, "a/b", "abc"), "images", tmp_path).spool.table()
    assert table.label_names == ["cat", "dog"]
    assert table.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("error", "code"), [(FileNotFoundError("no"), Code.MISSING_INPUT), (ConnectionError("no"), Code.SOURCE_UNAVAILABLE)]
)
def test_a_hub_that_has_or_answers_nothing(error: Exception, code: Code) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise error

    with pytest.raises(JobError) as caught:
        hugging_face.take(load, a_task({"kind": "huggingFace", "name": "a/b"}), "a/b", "abc")
    assert caught.value.code is code


# --- http --------------------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    root = tmp_path / "served"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield root, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_files_behind_urls_become_a_dataset(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, url = served
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "data.txt").write_text("\n".join(f"{name} line {n}" for n in range(50)))
    urls = [f"{url}/a/data.txt", f"{url}/b/data.txt"]
    digest = hashlib.sha256((root / "a" / "data.txt").read_bytes()).hexdigest()
    source = {"kind": "http", "urls": urls, "sha256": {urls[0]: digest}}
    task = a_task(source, output=str(tmp_path / "out"), options={"document": "line"})
    with pytest.raises(JobError, match=net.ALLOW_PRIVATE) as caught:
        run(task, a_pod())
    assert caught.value.code is Code.FORBIDDEN
    monkeypatch.setenv(net.ALLOW_PRIVATE, "1")
    assert run(task, a_pod()).samples == 100


# --- folders and books -------------------------------------------------------------------------------------------------


def test_a_folder_lists_plain_files_in_order_and_follows_only_inner_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    (root / "b" / "2.txt").write_text("2")
    (root / "a.txt").write_text("a")
    (root / ".hidden").write_text("x")
    (root / "inner.txt").symlink_to("a.txt")
    assert [b.name for b in base.gather(root, tmp_path, a_pod())] == ["a.txt", "b/2.txt", "inner.txt"]


def test_a_revision_names_content_and_not_names(tmp_path: Path) -> None:
    for folder, names in (("one", "ab"), ("two", "xy")):
        (tmp_path / folder).mkdir()
        for name, data in zip(names, ("1", "2"), strict=True):
            (tmp_path / folder / name).write_text(data)
    found = [base.content_revision(base.gather(tmp_path / f, tmp_path, a_pod())) for f in ("one", "two")]
    assert found[0] == found[1]


def test_a_book_that_no_package_has_is_unsupported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        literature.BOOKS, "opticks", literature.Book("no-such-package", literature.BOOKS["opticks"].files)
    )
    with pytest.raises(JobError, match="no-such-package") as caught:
        sources.fetch(a_task({"kind": "builtin", "name": "opticks"}), tmp_path, a_pod())
    assert caught.value.code is Code.UNSUPPORTED
