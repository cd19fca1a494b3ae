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

    def __init__(self, folder: Path) -> None:
        self.url, self.key, self.secret = f"http://127.0.0.1:{free_port()}", uuid.uuid4().hex, uuid.uuid4().hex
        self._root, self._log = folder / "buckets", folder / "buckets.log"
        self._root.mkdir()

    def start(self) -> None:
        """Start it, and wait until it answers; what it held before is there again."""
        program = programs.versitygw(progress.Quiet())
        keys = ["--access", self.key, "--secret", self.secret]
        command = [program, "--port", self.url.removeprefix("http://"), *keys, "--quiet", "posix", str(self._root)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers, START_SECONDS, self._log.read_text)

    def stop(self) -> None:
        """End it: nobody answers at its address."""
        self._process.terminate()
        self._process.wait(30)

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
    made = Buckets(folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
