"""Measure one window of served traffic against a dataset: embeddings of both, and the kernel test between them.

Inputs are compared as classes that were asked for, prompts by the runs of three characters that they are made of, and
outputs in the features of the random extractor, which needs no fitting. Must not know when windows end, or what follows
from a number.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gencontract.codes import Code
from gencontract.report import MetricReport, Progress, Report
from gencontract.task import DriftTask
from gentrainers import captured
from gentrainers.data import Dataset, open_dataset
from gentrainers.data.tokenizers import from_json
from gentrainers.errors import JobError
from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.rows import Rows, take, windows
from gentrainers.metrics.kit.two_samples import compare
from gentrainers.pod import Pod

SEQUENCES = ("text", "music")
GRAMS, DIMS = 3, 256  # of a prompt: characters in a run, and numbers that the runs are counted in
Served = list[tuple[dict[str, Any], Any]]  # rows of records, each with its sample
Sides = tuple[Floats, Floats]


def run(task: DriftTask, pod: Pod) -> Report:
    """Measure. A window with too few samples is reported with their number, and without a measurement."""
    dataset = open_dataset(task.reference.uri, task.reference.digest)
    pod.progress(Progress(stage="reading records"))
    served = [s for s in captured.within(task.captured, task.since, task.until, task.engine) if _counts(s[0], task.of)]
    if len(served) < task.min_samples:
        message = f"{len(served)} samples, {task.min_samples} are needed"
        return Report(verb=task.verb, code=Code.DONE, samples=len(served), message=message)
    pod.give_way()
    random = np.random.default_rng(task.seed)
    chosen = [served[i] for i in _choice(len(served), task.samples, random)]
    live, known = SIDES[task.of](chosen, dataset, lambda n: _choice(n, task.samples, random))
    pod.progress(Progress(stage="comparing"))
    found = compare(live, known, task.permutations, task.seed)
    metrics = [MetricReport(name=n, value=v, samples=len(live)) for n, v in (("mmd", found.value), ("pValue", found.p))]
    message = f"mmd {found.value:.3g}, p-value {found.p:.3g}"
    return Report(verb=task.verb, code=Code.DONE, samples=len(served), metrics=metrics, message=message)


def _counts(row: dict[str, Any], of: str) -> bool:
    """Say whether a sample tells of that side: a request that names no class has no input to compare."""
    if of == "input":
        return row.get("asked") is not None
    return of == "output" or row.get("caption") is not None or row.get("prompt") is not None


def _choice(count: int, most: int, random: np.random.Generator) -> Sequence[int]:
    return sorted(random.permutation(count)[:most].tolist())


Choose = Callable[[int], Sequence[int]]


def _inputs(served: Served, dataset: Dataset, choose: Choose) -> Sides:
    """Compare classes: one number each, of which one is 1."""
    labels = dataset.split("train").arrays.get("y")
    if labels is None:
        raise _cannot("input", "the dataset has no classes")
    known = np.asarray(labels[choose(len(labels))], np.int64).reshape(-1)
    live = np.array([row["asked"] for row, _ in served], np.int64)
    every = np.eye(int(max(known.max(), live.max())) + 1)
    return every[live], every[known]


def _prompts(served: Served, dataset: Dataset, choose: Choose) -> Sides:
    """Compare prompts with the dataset's captions, or with its documents, cut to the prompts' lengths."""
    found = [row.get("caption", row.get("prompt")) for row, _ in served]
    said = [text for text in found if isinstance(text, str)]
    if len(said) < len(found):
        raise _cannot("prompt", "prompts of music are no text")
    split = dataset.split("train")
    if split.captions:
        known = [split.captions[i] for i in choose(len(split.captions))]
    elif dataset.body["format"] == "text":
        tokenizer = from_json(dataset.json("tokenizer.json"))
        texts = [tokenizer.decode(split.document(i).tolist()) for i in choose(len(split.arrays["offsets"]) - 1)]
        known = [text[: len(said[i % len(said)])] for i, text in enumerate(texts)]
    else:
        raise _cannot("prompt", "the dataset has no captions")
    return grams(said), grams(known)


def grams(texts: Iterable[str]) -> Floats:
    """Count runs of three characters by hash, each text as a direction [n, 256]."""
    counts = np.stack([_counted(text) for text in texts])
    directions: Floats = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12)
    return directions


def _counted(text: str) -> Floats:
    out = np.zeros(DIMS)
    padded = f" {text.lower()} "
    for at in range(len(padded) - GRAMS + 1):
        place = hashlib.blake2b(padded[at : at + GRAMS].encode(), digest_size=2).digest()
        out[int.from_bytes(place, "big") % DIMS] += 1
    return out


def _outputs(served: Served, dataset: Dataset, choose: Choose) -> Sides:
    """Compare samples with those of the dataset, in the features of one network with random weights."""
    from gentrainers.metrics.kit.extractors import Material, make

    modality, split = str(dataset.body["format"]), dataset.split("train")
    if modality in SEQUENCES:
        live: Rows = _tokens(served, dataset)
        length = int(np.median([len(row) for row in live]))
        rows: Rows = windows(split.arrays["tokens"], split.arrays["offsets"], max(length, 1))
    else:
        live, rows = np.stack([sample for _, sample in served]), split.arrays["x"]
        if live.shape[1:] != rows.shape[1:]:
            raise _cannot("output", f"samples are {live.shape[1:]}, those of the dataset {rows.shape[1:]}")
    extractor = make("random", Material(rows, split.arrays.get("y"), modality, dataset.body, dataset.digest))
    return extractor.features(live), extractor.features(take(rows, choose(len(rows))))


def _tokens(served: Served, dataset: Dataset) -> list[Any]:
    """Return the tokens of each answer, cut behind its end."""
    if dataset.body["format"] == "text":
        tokenizer = from_json(dataset.json("tokenizer.json"))
        return [np.asarray(tokenizer.encode(row["text"]), np.int64) for row, _ in served if row["text"]]
    return [_cut(np.asarray(sample, np.int64), int(dataset.body["tokens"]["end"])) for _, sample in served]


def _cut(row: Any, end: int) -> Any:
    ends = np.flatnonzero(row == end)
    return row[: ends[0] + 1] if len(ends) else row


def _cannot(of: str, why: str) -> JobError:
    return JobError(
        Code.UNSUPPORTED, f"drift of {of} cannot be measured: {why}; name another referenceRef, or watch another side"
    )


SIDES: dict[str, Callable[[Served, Dataset, Choose], Sides]] = {
    "input": _inputs,
    "prompt": _prompts,
    "output": _outputs,
}
