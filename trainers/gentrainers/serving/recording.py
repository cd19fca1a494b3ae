"""Carry what a server keeps of its traffic from the pod's spool to the store: redacted, in finished records.

    back end ─► spool (on this pod) ─► redact ─► the open record (memory) ─► a finished record (the store) ─► removed

Runs beside the server and never in its way: while the store takes nothing, records stay in memory up to a bound, then
the spool fills, and then the back end drops and counts. Must not know how requests are answered.
"""

import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.codes import Code
from gencontract.task import Capture
from gentrainers import artifact, captured
from gentrainers.data import pii
from gentrainers.data.tokenizers import Tokenizer, from_json
from gentrainers.errors import JobError
from gentrainers.serving.assemble import Laid
from gentrainers.serving.backend.capture import ENVIRONMENT, SUFFIX
from gentrainers.serving.backend.features import said

Array = NDArray[Any]
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 5.0  # until a store that took nothing is tried again
FULL_BYTES = 32 << 20  # at which a record is finished before its time, and beyond which none is taken in
TOKENIZER = "tokenizer.json"
TEXTS = ("prompt", "caption", "text")  # of a row: what people wrote, or a model wrote for them


@dataclass
class Open:
    """The record that is being filled."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    samples: list[Array] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)  # personal data, by kind
    left_out: int = 0  # samples with personal data that were not to be kept
    began: float = 0.0
    bytes: int = 0

    def add(self, row: dict[str, Any], sample: Array | None, now: float) -> None:
        """Take in one sample."""
        self.began = self.began or now
        self.rows.append(row)
        self.bytes += len(json.dumps(row))
        if sample is not None:
            self.samples.append(sample)
            self.bytes += sample.nbytes


class Recorder:
    """One server pod's records of one engine."""

    def __init__(
        self, task: Capture, engine: str, laid: Laid, spool: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._task, self._engine, self._spec, self._spool, self._clock = task, engine, laid.spec, spool, clock
        self._tokenizer = _tokenizer(laid)
        self._open = Open()
        self._troubled = ""
        self._not_before = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        if not (laid.home / "genops_backend" / "capture.py").is_file():
            raise JobError(Code.UNSUPPORTED, "capture: the engine was built before there was any; build it again")

    @property
    def environment(self) -> dict[str, str]:
        """What tells the back end to keep requests."""
        said = {"folder": str(self._spool), "rate": self._task.rate, "perMinute": self._task.per_minute}
        return {ENVIRONMENT: json.dumps(said)}

    def start(self) -> None:
        """Begin, once the server is ready: with the folder there, requests are kept."""
        self._spool.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Record what the server left, once it has ended."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.look()
        self._finish(at_once=True)

    def look(self) -> None:
        """Take in what is in the spool, finish the record when it is time, and remove old ones."""
        for path in self._files():
            if self._open.bytes >= FULL_BYTES:
                break
            self._take(path)
        self._finish()

    def _look_on(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()

    def _files(self) -> list[Path]:
        return sorted(self._spool.glob(f"*{SUFFIX}"))

    def _take(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                request = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            self._say(f"a request on this pod's disk cannot be read and is left out: {error}")
        else:
            for row, sample in self._samples(request):
                self._add(row, sample)
        path.unlink(missing_ok=True)

    def _samples(self, request: Mapping[str, Array]) -> Iterator[tuple[dict[str, Any], Array | None]]:
        """Make a row of each sample; text goes into it, and all else stays an array."""
        columns = {name: column for name, column in self._columns(request).items() if column is not None}
        samples = request["sample"]
        for number in range(len(samples)):
            row = {name: column[number] for name, column in columns.items()}
            yield row, None if "text" in row else samples[number]

    def _columns(self, request: Mapping[str, Array]) -> dict[str, list[Any] | None]:
        out: dict[str, list[Any] | None] = {n: request[n].tolist() for n in ("at", "seed")}
        if self._tokenizer:
            out["text"] = self._decoded(request["sample"])
        for port in self._spec["inputs"]:
            asked, drawn = (request.get(f"{side}-{port['name']}") for side in ("given", "drawn"))
            if port["draw"] == "label" and drawn is not None:
                out |= {"label": drawn.reshape(-1).tolist(), "asked": _maybe(asked)}
            if port["draw"] == "caption" and asked is not None:
                out["caption"] = json.loads(asked.tobytes())
            if port["draw"] == "prompt" and asked is not None:
                rows = asked.reshape(len(request["sample"]), -1)
                out["prompt"] = self._decoded(rows) if self._tokenizer else rows.tolist()
        return out

    def _decoded(self, tokens: Array) -> list[Any]:
        assert self._tokenizer is not None
        return [self._tokenizer.decode(row.tolist()) for row in said(tokens, self._tokenizer.vocab)]

    def _add(self, row: dict[str, Any], sample: Array | None) -> None:
        if self._task.redact != "keep":
            found: Counter[str] = Counter()
            clean = {k: pii.redact(v, found) if k in TEXTS and isinstance(v, str) else v for k, v in row.items()}
            self._open.found += found
            if found and self._task.redact == "drop":
                self._open.left_out += 1
                return
            row = clean
        self._open.add(row, sample, self._clock())

    def _finish(self, at_once: bool = False) -> None:
        """Write the record when it is full or old. One that the store does not take stays open."""
        open_, now = self._open, self._clock()
        due = open_.bytes >= FULL_BYTES or now - open_.began >= self._task.rotate_seconds
        if not open_.rows or not (at_once or (due and now >= self._not_before)):
            return
        try:
            self._write(open_)
            self._forget(now)
        except (JobError, OSError) as error:
            self._not_before = now + AGAIN_SECONDS
            self._say(f"records wait for the store: {error}")
            return
        self._troubled = ""

    def _write(self, open_: Open) -> None:
        moments = [row["at"] for row in open_.rows]
        body = {
            "engine": self._engine,
            "format": self._spec["sample"]["format"],
            "samples": len(open_.rows),
            "redact": self._task.redact,
            "personal": dict(open_.found),
            "leftOut": open_.left_out,
        }
        name = captured.name_of(min(moments), max(moments), self._engine)
        with artifact.writing(f"{self._task.uri.rstrip('/')}/{name}", captured.KIND, body) as folder:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in open_.rows)
            (folder / captured.ROWS).write_text("".join(lines))
            if open_.samples:
                np.save(folder / captured.SAMPLES, np.stack(open_.samples), allow_pickle=False)
        self._open = Open()

    def _forget(self, now: float) -> None:
        """Remove records that are older than they are kept; other pods may be about the same."""
        for record in captured.records(self._task.uri):
            if record.last < now - self._task.keep_seconds:
                artifact.remove(f"{self._task.uri.rstrip('/')}/{record.name}")

    def _say(self, trouble: str) -> None:
        """Say a trouble once, until it is over or another one comes."""
        if trouble != self._troubled:
            self._troubled = trouble
            print(f"capture: {trouble}", flush=True)


def _tokenizer(laid: Laid) -> Tokenizer | None:
    """Return what makes text of tokens. Raises JobError where text could not be looked through for want of it."""
    if laid.spec["sample"]["format"] != "text":
        return None
    path = laid.home / TOKENIZER
    if not path.is_file():
        why = f"the engine carries no {TOKENIZER}, so what it is asked and answers cannot be looked through"
        raise JobError(Code.UNSUPPORTED, f"capture: {why}; build it again from a model that has one, or leave it out")
    return from_json(json.loads(path.read_text()))


def _maybe(asked: Array | None) -> list[int] | None:
    return None if asked is None else [int(v) for v in asked.reshape(-1)]
