"""The last stage: write a prepared set with everything that describes it.

Every file is part of the artifact's digest, pictures and pages too, and so each is equal wherever it is made: no
times, no paths, no names of machines, no compressor. Must not know any format or source by name.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gencontract.report import CheckReport
from gencontract.task import PrepareTask
from gencontract.wire import canonical
from gentrainers.artifact import sha256_file
from gentrainers.data import card, croissant, pictures, reference, splits
from gentrainers.data.formats.base import Format
from gentrainers.data.npy import NpyWriter
from gentrainers.data.pipeline import Prepared
from gentrainers.data.sources.base import Fetched
from gentrainers.data.spool import Reader

CODE = "gentrainers.data/1"  # raised whenever the same input gives other bytes than before
DIGEST_ROWS = 1 << 16
PII_SAYS = {
    "redact": "Text was searched for e-mail, IP, phone, card and IBAN numbers; findings were replaced by their kind.",
    "drop": "Samples with e-mail, IP, phone, card or IBAN numbers were left out.",
    "flag": "Text was searched for e-mail, IP, phone, card and IBAN numbers; samples that have some were kept.",
    "off": "Not searched for.",
}


def body_of(task: PrepareTask, fetched: Fetched, prepared: Prepared) -> dict[str, Any]:
    """Say what is known before anything is written."""
    found = prepared.findings
    asked = task.model_dump(mode="json", by_alias=True, include={"filters", "dedup", "pii", "columns", "options"})
    return {
        "format": task.format,
        "code": CODE,
        "source": {**fetched.about, "revision": fetched.revision},
        "license": fetched.license,
        "asked": {**asked, "splits": task.splits.model_dump(mode="json", by_alias=True)},
        "counts": {"read": found.read, "kept": found.kept, "exact": found.exact, "near": found.near, **found.rejected},
        "splits": {},
    }


def write(
    folder: Path,
    body: dict[str, Any],
    task: PrepareTask,
    format_: Format[Any],
    fetched: Fetched,
    prepared: Prepared,
    judged: Sequence[CheckReport],
    tick: Callable[[], None],
) -> None:
    """Write all files of the artifact below `folder`, and complete its body."""
    readers = {name: prepared.reader(format_, name, tick) for name in splits.NAMES}
    _merge(body, format_.write(folder, readers))
    _merge(body, fetched.body)
    for name, reader in readers.items():
        _write_keys(folder / name, reader)
        _write_captions(folder / name, reader)
        body["splits"][name] = {"samples": len(reader), "digest": folder_digest(folder / name)}
    drift = _reference(folder, format_, readers["train"])
    (folder / "reference.json").write_bytes(canonical(drift))
    texts = _texts(task, body)
    shown = format_.show(readers["train"])
    picture = None if shown.picture is None else pictures.png(shown.picture)
    if picture:
        (folder / "samples.png").write_bytes(picture)
    about = croissant.describe(folder, _name(body), fetched.license, texts)
    (folder / "croissant.json").write_text(json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    page = card.render(body, texts, prepared.findings, judged, drift, picture, shown.texts)
    (folder / "card.html").write_text(page, encoding="utf-8")


def folder_digest(folder: Path) -> str:
    """Digest a split: the names and digests of its files, in order."""
    lines = [f"{p.name} {sha256_file(p)}" for p in sorted(folder.iterdir())]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _write_keys(folder: Path, reader: Reader[Any]) -> None:
    with NpyWriter(folder / "keys.npy", np.uint8, (32,)) as keys:
        for first in range(0, len(reader), DIGEST_ROWS):
            keys.append(reader.table.digests[reader.rows[first : first + DIGEST_ROWS]])


def _write_captions(folder: Path, reader: Reader[Any]) -> None:
    """Write captions as one JSON list, where any sample has one."""
    captions = [side.caption for side in reader.sides()] if reader.table.captioned else []
    if captions:
        (folder / "captions.json").write_bytes(canonical([c or "" for c in captions]))


def _reference(folder: Path, format_: Format[Any], train: Reader[Any]) -> dict[str, Any]:
    numbers = {name: column[train.rows] for name, column in train.table.facts.items()}
    tallies = dict(format_.tallies(folder))
    if names := train.table.label_names:
        counts = np.bincount(train.labels(), minlength=len(names))
        tallies["class"] = {name: int(n) for name, n in zip(names, counts, strict=True)}
    return reference.build(len(train), numbers, tallies)


def _merge(body: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add what a format or source says; what both say of one part is joined."""
    for name, value in more.items():
        body[name] = {**body[name], **value} if isinstance(body.get(name), dict) else value


def _name(body: Mapping[str, Any]) -> str:
    return str(body["source"].get("name") or f"{body['format']}-{body['source']['kind']}")


def _texts(task: PrepareTask, body: Mapping[str, Any]) -> dict[str, str]:
    counts = body["counts"]
    origin = body["source"].get("name") or f"a source of kind {body['source']['kind']}"
    return {
        "description": f"{counts['kept']} samples of {task.format} from {origin}, kept of {counts['read']} read.",
        "personalSensitiveInformation": PII_SAYS[task.pii],
        "dataBiases": "The set is as its source is; see the distribution of each feature.",
        "dataLimitations": "Split by hash of a key: shares are met on average, and small sets may miss them.",
        "dataUseCases": "Training, evaluation and drift monitoring of generative models.",
    }
