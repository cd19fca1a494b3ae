"""A real S3 gateway over a folder, for sources and artifacts in buckets; it and all it holds go at the end."""

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import s3fs
from monitoring import free_port
from operators import until

from genops.local import programs, progress

START_SECONDS = 30.0


class Buckets:
    """The gateway as its administrator sees it."""

    def __init__(self, url: str, key: str, secret: str) -> None:
        self.url, self.key, self.secret = url, key, secret

    @property
    def files(self) -> Any:
        """A file system that remembers nothing, since others write too."""
        own = {"key": self.key, "secret": self.secret, "endpoint_url": self.url}
        return s3fs.S3FileSystem(**own, use_listings_cache=False, skip_instance_cache=True)

    def flip(self, path: str) -> None:
        """Change one byte in the middle of an object."""
        data = bytearray(self.files.cat_file(path))
        data[len(data) // 2] ^= 1
        self.files.pipe_file(path, bytes(data))

    def answers(self) -> bool:
        """Say whether it can be asked."""
        try:
            self.files.ls("")
        except Exception:
            return False
        return True


@contextmanager
def buckets(folder: Path) -> Iterator[Buckets]:
    """Run a gateway on a loopback port, with keys of its own."""
    made = Buckets(f"http://127.0.0.1:{free_port()}", uuid.uuid4().hex, uuid.uuid4().hex)
    root = folder / "buckets"
    root.mkdir()
    program = programs.versitygw(progress.Quiet())
    keys = ["--access", made.key, "--secret", made.secret]
    command = [program, "--port", made.url.removeprefix("http://"), *keys, "--quiet", "posix", str(root)]
    with (folder / "buckets.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(made.answers, START_SECONDS, lambda: (folder / "buckets.log").read_text())
        yield made
    finally:
        process.terminate()
        process.wait(30)
