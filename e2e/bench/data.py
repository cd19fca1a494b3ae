"""Measure data preparation against its gates, and print one table: `python -P e2e/bench/data.py [--quick]`.

Memory is the peak of a process of its own, as the kernel counts it. Rates are per second of CPU time of one core, since
other work may share the machine. Nothing is kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORDS = 20_000
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the table. `gate` is the bound, at least or at most by `more`."""

    name: str
    value: float
    unit: str
    gate: float
    more: bool
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.value >= self.gate if self.more else self.value <= self.gate


def main() -> int:
    """Run all measurements. Exits 1 where a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data; memory gates then say little")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    rows = []
    for measure in (exact, minhash, tokens, images, text_memory, image_memory):
        for row in measure(scale):
            rows.append(row)
            print(_line(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([row.__dict__ for row in rows], indent=2) + "\n")
    return 0 if all(row.passed for row in rows) else 1


def _line(row: Row) -> str:
    mark, bound = ("ok  " if row.passed else "MISS"), ("at least" if row.more else "at most")
    return f"{mark} {row.name:38} {row.value:12,.0f} {row.unit:10} {bound} {row.gate:12,.0f}  {row.note}"


def exact(scale: float) -> Iterator[Row]:
    """Digest values and find the equal ones among them."""
    import hashlib

    data = os.urandom(64 * MIB)
    for size in (4096, 65_536):
        values = [data[i : i + size] for i in range(0, len(data), size)]

        def work(values: list[bytes] = values) -> None:
            digests = b"".join(hashlib.sha256(v).digest() for v in values)
            np.unique(np.frombuffer(digests, "S32"))

        yield Row(f"exact dedup, {size >> 10} KiB values", 64 / _seconds(work), "MiB/s", 500, True)


def minhash(scale: float) -> Iterator[Row]:
    """Documents of 200 words from text to clusters: words, shingles, 128 permutations, bands, comparison."""
    from gentrainers.data import near
    from gentrainers.data.formats import make

    text = make("text", {})
    count = int(50_000 * scale)
    documents = [" ".join(words) for words in _words(count, 200)]

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            sketches = near.Sketches(Path(folder), "minhash", 0.8)
            for first in range(0, count, 512):
                sketches.add(text.sketch(documents[first : first + 512]))
            sketches.clusters(np.arange(count))

    yield Row("MinHash, 200-word documents", count / _seconds(work), "docs/s", 20_000, True)


def tokens(scale: float) -> Iterator[Row]:
    """Random windows of a memory-mapped token file."""
    with _dataset({"kind": "builtin", "name": "markov"}, "text") as dataset:
        split = dataset.split("train")
        starts = np.random.default_rng(0).integers(0, len(split.arrays["tokens"]) - 257, (200, 64))
        rate = starts.size * 256 / _seconds(lambda: [split.windows(s, 256) for s in starts])
    yield Row("token loader, windows of 256", rate, "tokens/s", 20e6, True)


def images(scale: float) -> Iterator[Row]:
    """Random batches of memory-mapped 32x32 pictures."""
    with _dataset({"kind": "builtin", "name": "sprites", "samples": 20_000}, "images") as dataset:
        split = dataset.split("train")
        batches = np.random.default_rng(0).integers(0, len(split), (200, 128))
        rate = batches.size / _seconds(lambda: [split.batch(b) for b in batches])
    yield Row("image loader, 32x32 RGB", rate, "images/s", 50_000, True)


def text_memory(scale: float) -> Iterator[Row]:
    """Prepare 1 GiB of text in many documents with near-duplicate removal, and as one file without."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        size = int(1024 * MIB * scale)
        _write_jsonl(source / "text.jsonl", size)
        task = {"source": {"kind": "path", "path": str(source)}, "format": "text", "dedup": {"near": {}}}
        yield _peak("1 GiB of text, 0.7 M documents", task, folder, 600, size)
        (source / "text.jsonl").unlink()
        _write_plain(source / "text.txt", size)
        yield _peak("1 GiB of text, one file", {**task, "dedup": {}, "pii": "redact"}, folder, 600, size)


def image_memory(scale: float) -> Iterator[Row]:
    """Prepare 100,000 PNG files of 32x32 pixels with near-duplicate removal."""
    from gentrainers.data.builtin import sprites

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        count = int(100_000 * scale)
        for index in range(count):
            sprite = sprites.sample(1, index)
            path = source / sprite.shape / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sprites.draw(sprite)).save(path, compress_level=1)
        task = {"source": {"kind": "path", "path": str(source)}, "format": "images"}
        yield _peak("100,000 pictures of 32x32", task, folder, 1024, count * 3072)


def _peak(name: str, task: dict[str, Any], folder: str, gate: float, size: int) -> Row:
    """Run one preparation in a process of its own and read its peak from its report."""
    path = Path(folder) / "task.json"
    whole = {"verb": "prepare", "output": f"{folder}/out", **task}
    path.write_text(json.dumps({"version": "genops.dev/task/v1", "task": whole}))
    log = Path(folder) / "report.json"
    environment = {**os.environ, "GENOPS_TERMINATION_LOG": str(log), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-P", "-m", "gentrainers", "--task", str(path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    report = json.loads(log.read_text())
    seconds = report["usage"]["cpuSeconds"]
    note = f"{seconds:.0f} CPU s, {size / MIB / seconds:.1f} MiB/s, {report['samples']:,} samples"
    return Row(name, report["usage"]["peakMemoryBytes"] / MIB, "MiB peak", gate, False, note)


def _dataset(source: dict[str, Any], format_: str) -> Any:
    from contextlib import contextmanager

    from gencontract.task import PrepareTask
    from gentrainers.data import open_dataset
    from gentrainers.jobs.prepare import run
    from gentrainers.pod import Lines, Pod

    @contextmanager
    def opened() -> Iterator[Any]:
        with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
            output = f"{folder}/out"
            task = PrepareTask.model_validate({"source": source, "format": format_, "output": output})
            run(task, Pod(Lines(nowhere)))
            yield open_dataset(output)

    return opened()


def _words(count: int, each: int) -> Iterator[list[str]]:
    random = np.random.default_rng(0)
    vocabulary = np.array([f"{''.join(random.choice(list('etaoinshrdlu'), 5))}{n}" for n in range(WORDS)])
    for _ in range(count):
        yield vocabulary[random.integers(0, WORDS, each)].tolist()


def _write_jsonl(path: Path, size: int) -> None:
    with path.open("w") as out:
        for words in _words(1 << 40, 150):
            out.write(json.dumps({"text": " ".join(words)}) + "\n")
            if out.tell() >= size:
                return


def _write_plain(path: Path, size: int) -> None:
    with path.open("w") as out:
        for words in _words(1 << 40, 150):
            out.write(" ".join(words) + ".\n")
            if out.tell() >= size:
                return


def _seconds(work: Callable[[], Any], tries: int = 3) -> float:
    """Return the least CPU time of a few tries."""
    best = float("inf")
    for _ in range(tries):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


if __name__ == "__main__":
    raise SystemExit(main())
