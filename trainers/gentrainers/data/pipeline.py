"""The stages of preparation, in order: collect, choose, divide, write.

What is kept depends on the set of samples alone: not on the order of files, nor on time, machine or run. Samples lie on
disk from `collect` on; only numbers about them are in memory. Must not know any format or source by name.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencontract.codes import Code
from gencontract.report import Progress
from gencontract.task import PrepareTask
from gentrainers.data import checks, filters, licenses, metadata, near, pii, splits
from gentrainers.data.checks import Findings
from gentrainers.data.formats.base import Format
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.data.spool import Indices, Reader, Spool, Table
from gentrainers.errors import JobError
from gentrainers.pod import Pod

BATCH = 512
PERSONAL = 1  # mark of a sample that still holds personal data
OWN_KEYS = ("content", "document", "name")


@dataclass(frozen=True)
class Prepared:
    """A set that is ready to be judged and written: `rows` of the spool by split, in canonical order."""

    spool: Spool
    table: Table
    rows: dict[str, Indices]
    findings: Findings

    def reader(self, format_: Format[Any], split: str, tick: Callable[[], None]) -> Reader[Any]:
        """Open one split."""
        return self.spool.reader(self.table, self.rows[split], format_.load, tick)


class Collector:
    """The first stage: read everything once, clean it sample by sample, and put it on disk."""

    def __init__(self, task: PrepareTask, format_: Format[Any], scratch: Path, pod: Pod) -> None:
        self.task, self.format, self.pod = task, format_, pod
        self.spool = Spool(scratch, format_.dump)
        self.findings = Findings()
        self.sketches = self._sketches(scratch)
        self._detects = task.pii != "off" or checks.tolerates(task.checks, "pii")
        self._labels_by_folder = format_.name == "images"

    def _sketches(self, scratch: Path) -> near.Sketches | None:
        wanted, method = self.task.dedup.near, self.format.near_method
        if wanted and not method:
            raise JobError(Code.BAD_CONFIG, f"dedup.near: {self.format.name} has no near-duplicates; leave it out")
        if not method or not (wanted or checks.tolerates(self.task.checks, "overlap")):
            return None
        asked = wanted.threshold or self.format.near_threshold if wanted else self.format.copy_threshold
        return near.Sketches(scratch, method, asked)

    def run(self, fetched: Fetched) -> None:
        """Take in all that was fetched. Raises JobError where nothing is left."""
        self._check_license(fetched)
        for batch in _batches(self._clean(fetched), BATCH):
            self.pod.give_way()
            self.pod.progress(Progress(stage="reading", step=self.findings.read))
            if self.sketches:
                self.sketches.add(self.format.sketch([sample.value for sample, _ in batch]))
            for sample, mark in batch:
                self.spool.add(sample, mark)
        if not len(self.spool):
            raise JobError(Code.BAD_DATA, f"no sample is left{self._why_nothing()}")

    def _why_nothing(self) -> str:
        if not self.findings.rejected:
            return ": the source is empty"
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.findings.rejected.items()))
        return f" of {self.findings.read}; left out: {reasons}"

    def _check_license(self, fetched: Fetched) -> None:
        licenses.check_list(self.task.licenses)
        stated = fetched.license
        if stated and not licenses.is_allowed(stated, self.task.licenses):
            allowed = ", ".join(self.task.licenses)
            raise JobError(Code.FORBIDDEN, f"the source's licence is {stated}, licenses allows {allowed}")

    def _clean(self, fetched: Fetched) -> Iterator[tuple[Sample, int]]:
        """Yield what passes licence, personal data and filters, each with its mark; count the rest."""
        for sample in self._accepted(fetched):
            if not licenses.is_allowed(sample.license or fetched.license, self.task.licenses):
                self.findings.reject("license", f"{sample.where}: {sample.license or fetched.license or 'none stated'}")
                continue
            mark = self._private(sample)
            if mark is None or self.format.empty(sample.value):
                self.findings.reject("empty" if mark is not None else "pii", sample.where)
                continue
            sample.facts = {**sample.facts, **self.format.measure(sample.value)}
            if not len(self.spool):
                filters.check_names(self.task.filters, sample.facts)
            if name := filters.refuses(self.task.filters, sample.facts, sample.label):
                self.findings.reject(f"filter {name}", sample.where)
                continue
            yield sample, mark

    def _private(self, sample: Sample) -> int | None:
        """Treat personal data as the task says: the mark to keep, or None to leave the sample out."""
        if not self._detects:
            return 0
        found: Counter[str] = Counter()
        value = self.format.map_text(sample.value, lambda text: pii.redact(text, found))
        caption = None if sample.caption is None else pii.redact(sample.caption, found)
        if self.task.pii == "redact":
            sample.value, sample.caption = value, caption
            return 0
        if found and self.task.pii == "drop":
            return None
        return PERSONAL if found else 0

    def _accepted(self, fetched: Fetched) -> Iterator[Sample]:
        """Yield what could be read; a refusal is counted where a check bounds it, and otherwise ends the job."""
        for found in self._read(fetched):
            self.findings.read += 1
            if not isinstance(found, Reject):
                yield found
            elif checks.tolerates(self.task.checks, found.kind):
                self.findings.reject(found.kind, str(found))
            else:
                hint = f"mend it, or add a check of kind {found.kind} to leave such items out"
                raise JobError(Code.BAD_DATA, f"{found}; {hint}")

    def _read(self, fetched: Fetched) -> Iterator[Sample | Reject]:
        if fetched.samples:
            return map(self.format.admit, fetched.samples())
        if fetched.records:
            return self._records(fetched)
        return self._files(fetched)

    def _records(self, fetched: Fetched) -> Iterator[Sample | Reject]:
        from gentrainers.data.formats.base import samples

        assert fetched.records
        return samples(fetched.records(), self.format.row)

    def _files(self, fetched: Fetched) -> Iterator[Sample | Reject]:
        about = metadata.read(fetched.blobs, self._labels_by_folder, self.format.key) if self._has_metadata else None
        blobs = [b for b in fetched.blobs if self.format.reads(b) and not (about and metadata.is_metadata(b))]
        if not blobs:
            wanted = f"of format {self.format.name} ({', '.join(sorted(self.format.suffixes))})"
            none = f"none of the {len(fetched.blobs)} files of the source is {wanted}"
            raise JobError(Code.BAD_DATA, none if fetched.blobs else f"the source is empty; put files {wanted} into it")
        for blob in blobs:
            for sample in self._file(blob):
                if about and isinstance(sample, Sample):
                    about.apply(sample, blob)
                yield sample

    @property
    def _has_metadata(self) -> bool:
        return self.format.name != "tabular"

    def _file(self, blob: Blob) -> Iterator[Sample | Reject]:
        try:
            for sample in self.format.read(blob):
                if isinstance(sample, Sample) and self.task.splits.key == "name":
                    sample.key = blob.name
                yield sample
        except Reject as refused:
            yield refused
        except PermissionError:
            raise JobError(Code.FORBIDDEN, f"{blob.name} cannot be read; check its owner and mode") from None


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


class Chooser:
    """The second and third stage: drop duplicates, and give each sample its split."""

    def __init__(self, collected: Collector, draws: bool) -> None:
        self.task, self.format, self.findings = collected.task, collected.format, collected.findings
        self.spool, self.sketches, self._draws = collected.spool, collected.sketches, draws
        self.table = _without_single_folder(collected.spool.table(), collected.format)

    def run(self) -> Prepared:
        """Choose and divide. Raises JobError where train stays empty."""
        rows = self._distinct()
        clusters = self._clusters(rows)
        if self.task.dedup.near:
            rows, clusters = self._one_per_cluster(rows, clusters)
        places = self._places(rows, clusters)
        self._note(rows, places, clusters)
        divided = {name: rows[places == number] for number, name in enumerate(splits.NAMES)}
        if not len(divided["train"]):
            raise JobError(Code.BAD_DATA, f"none of the {len(rows)} samples fell into train; give more or raise it")
        return Prepared(self.spool, self.table, divided, self.findings)

    @cached_property
    def _words(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Digests and groups as four big-endian words each, to sort by."""
        return tuple(c.view(">u8").astype(np.uint64) for c in (self.table.digests, self.table.groups))  # type: ignore[return-value]

    def _distinct(self) -> Indices:
        """Return the rows to keep in canonical order: by document and part, then by content."""
        digests, groups = self._words
        place = (self.table.ties, self.table.parts, *groups.T[::-1])
        by_content = np.lexsort((*place, *digests.T[::-1])).astype(np.int64)
        if self.task.dedup.exact and not self._draws:
            ranked = digests[by_content]
            first = np.concatenate([[True], (ranked[1:] != ranked[:-1]).any(axis=1)])
            by_content = by_content[first]
        self.findings.exact = len(self.table) - len(by_content)
        d, g = digests[by_content], groups[by_content]
        beside = (self.table.ties[by_content], *d.T[::-1], self.table.parts[by_content])
        return by_content[np.lexsort((*beside, *g.T[::-1]))]

    def _clusters(self, rows: Indices) -> Indices:
        return self.sketches.clusters(rows) if self.sketches else np.arange(len(rows), dtype=np.int64)

    def _one_per_cluster(self, rows: Indices, clusters: Indices) -> tuple[Indices, Indices]:
        """Keep the first of each cluster."""
        kept = clusters == np.arange(len(rows))
        self.findings.near = len(rows) - int(kept.sum())
        return rows[kept], np.arange(int(kept.sum()), dtype=np.int64)

    def _places(self, rows: Indices, clusters: Indices) -> NDArray[np.int64]:
        return np.array(splits.place(self._keys(rows), self.task.splits), np.int64)

    def _keys(self, rows: Indices) -> Iterator[bytes]:
        """Return what the split is decided by: content, the whole document, or a key that the data gives."""
        kind = self.task.splits.key
        if kind in ("content", "document"):
            column = self.table.digests if kind == "content" else self.table.groups
            return (column[row].tobytes() for row in rows)
        return self._given_keys(rows)

    def _given_keys(self, rows: Indices) -> Iterator[bytes]:
        reader = self.spool.reader(self.table, rows, self.format.load)
        for side in reader.sides():
            if side.key is None:
                known = f"use {', '.join(OWN_KEYS)}, or a column that the data has"
                raise JobError(Code.BAD_CONFIG, f"splits.key {self.task.splits.key!r}: a sample has none; {known}")
            yield side.key.encode()

    def _note(self, rows: Indices, places: NDArray[np.int64], clusters: Indices) -> None:
        """Count what the checks ask for."""
        labels = self.table.labels[rows]
        if self.table.label_names and (labels < 0).any():
            raise JobError(Code.BAD_DATA, f"{int((labels < 0).sum())} samples have no label, while others have one")
        self.findings.kept = len(rows)
        self.findings.classes = np.bincount(labels[labels >= 0], minlength=len(self.table.label_names)).tolist()
        self.findings.personal = int((self.table.marks[rows] & PERSONAL).sum())
        self.findings.held_out = int((places > 0).sum())
        self.findings.overlap = self._overlap(rows, places, clusters)

    def _overlap(self, rows: Indices, places: NDArray[np.int64], clusters: Indices) -> int:
        """Count held-out samples with a copy in train: by near-duplicate where sketches are there, else by content."""
        names = clusters if self.sketches else self._words[0][rows, 0]
        return int(np.isin(names[places > 0], names[places == 0]).sum())


def _without_single_folder(table: Table, format_: Format[Any]) -> Table:
    """Forget labels where all are the same: one folder is no classification."""
    if len(table.label_names) != 1 or (table.labels < 0).any():
        return table
    return replace(table, labels=np.full_like(table.labels, -1), label_names=[])
