"""A git repository, fetched shallow by the git program. Its content is data: hooks, submodules and filters stay off."""

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from gencontract.codes import Code
from gencontract.task import PrepareTask
from gentrainers.data import net
from gentrainers.data.sources.base import Fetched, gather, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod

SECONDS = 1800
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
SAFE = ("core.hooksPath=/dev/null", "core.symlinks=false", "core.fsmonitor=false", "http.followRedirects=false")


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Fetch one revision and list its files, or those of the sub-folder `source.path`."""
    uri: str = need(task.source, "uri")
    revision = task.source.revision or "HEAD"
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise JobError(Code.BAD_CONFIG, f"source.revision {revision!r} is not a branch, tag or commit")
    _judge(uri)
    folder = scratch / "git"
    folder.mkdir()
    _git(folder, "init", "--quiet", uri=uri)
    _git(folder, "fetch", "--quiet", "--depth=1", "--no-tags", "--", uri, revision, uri=uri)
    _git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD", uri=uri)
    commit = _git(folder, "rev-parse", "HEAD", uri=uri).strip()
    root = _below(folder, task.source.path or "")
    return Fetched(commit, license_of(task.source), gather(root, scratch, pod), about={"kind": "git"})


def _judge(uri: str) -> None:
    """Allow https (and http), with the same rules for hosts as downloads; local repositories as file://."""
    scheme = urlsplit(uri).scheme
    if scheme == "file":
        return
    if scheme not in ("https", "http"):
        raise JobError(Code.FORBIDDEN, f"source.uri {net.shown(uri)}: git sources are https://, http:// or file://")
    try:
        net.judge(uri, net.Policy())
    except net.Interrupted as error:
        raise JobError(Code.SOURCE_UNAVAILABLE, f"source.uri: {error}") from None


def _git(folder: Path, *arguments: str, uri: str) -> str:
    options = [part for setting in SAFE for part in ("-c", setting)]
    allowed = {"GIT_ALLOW_PROTOCOL": "https:http:file", "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    alone = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ASKPASS": "true"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | allowed | alone
    try:
        done = subprocess.run(  # git of the image's PATH  # nosec B607
            ["git", *options, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError:
        raise JobError(Code.UNSUPPORTED, "source.kind git: this image has no git program") from None
    except subprocess.TimeoutExpired:
        raise JobError(Code.SOURCE_UNAVAILABLE, f"source.uri {net.shown(uri)}: git took over {SECONDS} s") from None
    if done.returncode:
        raise _refused(done.stderr, uri)
    return done.stdout


def _refused(said: str, uri: str) -> JobError:
    last = (said.strip().splitlines() or ["git gave no reason"])[-1][:200]
    gone = any(w in said for w in ("not found", "does not exist", "couldn't find remote ref", "does not appear to be"))
    code = Code.MISSING_INPUT if gone else Code.SOURCE_UNAVAILABLE
    return JobError(code, f"source.uri {net.shown(uri)}: {last}")


def _below(folder: Path, path: str) -> Path:
    found = folder / path.strip("/")
    if not found.resolve().is_relative_to(folder.resolve()) or ".git" in Path(path).parts:
        raise JobError(Code.FORBIDDEN, f"source.path {path!r} leaves the repository")
    if not found.exists():
        raise JobError(Code.MISSING_INPUT, f"source.path {path!r} is not in the repository at this revision")
    return found
