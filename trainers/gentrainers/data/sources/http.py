"""Files behind http(s) URLs, each checked against its SHA-256 where the task gives one."""

from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gencontract.codes import Code
from gencontract.report import Progress
from gencontract.task import PrepareTask
from gentrainers.data import net
from gentrainers.data.archive import name_trouble
from gentrainers.data.sources.base import Fetched, content_revision, gather, license_of, need
from gentrainers.errors import JobError
from gentrainers.pod import Pod


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Download every URL into one folder, then list the files as any folder's."""
    urls: list[str] = need(task.source, "urls")
    if unknown := sorted(set(task.source.sha256) - set(urls)):
        raise JobError(Code.BAD_CONFIG, f"source.sha256 names {net.shown(unknown[0])}, which is not in source.urls")
    folder = scratch / "http"
    folder.mkdir()
    policy = net.Policy(tick=lambda done: _tell(pod, done))
    for number, url in enumerate(urls):
        target = folder / _file_name(url)
        if target.exists():
            target = folder / f"{number}-{target.name}"
        net.download(url, target, policy, task.source.sha256.get(url))
    blobs = gather(folder, scratch, pod)
    return Fetched(content_revision(blobs), license_of(task.source), blobs, about={"kind": "http"})


def _tell(pod: Pod, done: int) -> None:
    pod.give_way()
    pod.progress(Progress(stage="downloading", step=done >> 20))  # in MiB


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if name and not name_trouble(name) and not name.startswith(".") else "data"
