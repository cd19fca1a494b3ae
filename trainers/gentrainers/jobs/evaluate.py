"""Evaluate a model: measure it against real data and a baseline, decide its gates, and write the report.

Composes dataset, models, metrics and page. It must not know how anything is measured or drawn. On one kind of CPU the
report of the same inputs is the same bit for bit, measured times excepted. Nothing is written before all is known.
"""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gencontract.codes import Code
from gencontract.deck import DECK
from gencontract.report import Artifact, Progress, Report
from gencontract.task import EvaluateTask, Input
from gencontract.wire import canonical
from gentrainers import artifact, pages
from gentrainers import model as models
from gentrainers.data import Dataset, agreement, open_dataset
from gentrainers.data.tokenizers import from_json
from gentrainers.errors import JobError
from gentrainers.metrics.kit import asking, record
from gentrainers.metrics.kit.bench import Bench
from gentrainers.metrics.kit.examine import Asked, Finding, examine
from gentrainers.metrics.kit.gates import verdict
from gentrainers.metrics.kit.grounds import SEQUENCES, lay_out
from gentrainers.metrics.kit.makers import Model, ModelMaker
from gentrainers.pod import Pod

VERSION = "genops.dev/report/v1"
SAMPLER = ("sample_steps", "guidance", "temperature", "top_p", "length")  # other dials, other samples
Load = Callable[[str, str | None, str], Model]


def run(task: EvaluateTask, pod: Pod, load: Load = models.load) -> Report:
    """Evaluate the subject of a task; `load` opens models."""
    asked = asking.asked(task)
    artifact.check_place(task.output, "report")
    pod.progress(Progress(stage="opening", total=len(asked)))
    dataset = open_dataset(task.dataset.uri, task.dataset.digest)
    asking.check_modality(asked, str(dataset.body["format"]))
    subject = _model("subject", task.subject, dataset, task, load)
    baseline = _model("baseline", task.baseline, dataset, task, load) if task.baseline else None
    bench, other = _bench(task, dataset, subject, baseline, pod)
    _check_room(asked, bench)
    found = examine(asked, bench, other, task.alpha, _teller(pod, len(asked)))
    written = _record(task, dataset, subject, baseline, bench, found)
    return _report(task, found, written, _write(task, written, bench, other, dataset, pod))


def _model(role: str, where: Input, dataset: Dataset, task: EvaluateTask, load: Load) -> Model:
    """Load a model and see that it makes what the dataset holds. Raises JobError(BAD_CONFIG) where it does not."""
    found = load(where.uri, where.digest, task.device)
    for field, has, wants in agreement.differences(found.data, dataset):
        raise JobError(
            Code.BAD_CONFIG,
            f"{role}: {where.uri} makes {field} {has}, the dataset holds {field} {wants}; evaluate it on "
            "the dataset it was trained for",
        )
    return found


def _bench(
    task: EvaluateTask, dataset: Dataset, subject: Model, baseline: Model | None, pod: Pod
) -> tuple[Bench, ModelMaker | None]:
    modality = str(dataset.body["format"])
    length = _length(subject, dataset, task) if modality in SEQUENCES else 0
    ground = lay_out(dataset, task.split, length, lambda tokens: _decoded(dataset, tokens))
    split = dataset.split(task.split)
    makers = [
        ModelMaker(role, model, modality, split, ground.reference, length)
        for role, model in (("subject", subject), ("baseline", baseline))
        if model is not None
    ]
    bench = Bench(makers[0], ground, task.samples, tuple(task.seeds), tick=pod.give_way)
    return bench, makers[1] if baseline else None


def _length(subject: Model, dataset: Dataset, task: EvaluateTask) -> int:
    """Say how many tokens are compared: as many as the subject makes, in whole steps of all voices for music."""
    tokens = dataset.body["tokens"]
    made = int(np.median([len(row) for row in subject.sample(8, task.seeds[0])]))
    length = min(int(tokens["blockSize"]), made)
    length -= length % int(tokens.get("voices", 1))
    if length < 1:
        raise JobError(Code.BAD_DATA, f"subject: {task.subject.uri} makes empty sequences; train it for longer")
    return length


def _check_room(asked: list[Asked], bench: Bench) -> None:
    """Refuse more samples than there are real ones before any is made."""
    if any(a.metric.needs in ("features", "conditions") for a in asked):
        bench.ground.reference.draw(bench.n, 0)


def _teller(pod: Pod, total: int) -> Callable[[str], None]:
    done = iter(range(total + 1))

    def say(name: str) -> None:
        pod.give_way()
        pod.progress(Progress(stage=f"measuring {name}", step=next(done), total=total))

    return say


def _record(
    task: EvaluateTask, dataset: Dataset, subject: Model, baseline: Model | None, bench: Bench, found: list[Finding]
) -> dict[str, Any]:
    """Write everything down that report.json holds."""
    outcomes = [o for f in found for o in f.outcomes]
    return {
        "version": VERSION,
        "verdict": verdict(outcomes),
        "summary": _summary(found),
        "alpha": task.alpha,
        "samples": task.samples,
        "seeds": list(task.seeds),
        "split": task.split,
        "dataset": {"uri": task.dataset.uri, "digest": dataset.digest, "format": dataset.body["format"]},
        "subject": _identity(task.subject, subject),
        "baseline": _identity(task.baseline, baseline) if task.baseline and baseline else None,
        "extractors": {k[1]: e.digest for k, e in bench.memo.items() if k[0] == "extractor"},
        "agreementEncoder": next((p.digest for k, p in bench.memo.items() if k[0] == "pair"), None),
        "code": _code(),
        "notes": _notes(dataset, subject),
        "metrics": [record.finding(f, task.alpha) for f in found],
    }


def _identity(where: Input, found: Model) -> dict[str, Any]:
    config = found.body.get("config", {})
    return {
        "uri": where.uri,
        "digest": found.digest,
        "family": found.family,
        "size": found.body.get("size"),
        "step": found.body.get("step"),
        "seed": found.body.get("seed"),
        "datasetDigest": found.body.get("datasetDigest"),
        "weights": "ema" if config.get("ema") else "raw",
        "sampler": {name: config[name] for name in SAMPLER if name in config},
    }


def _code() -> dict[str, str]:
    return {"genops": metadata.version("genops"), "torch": torch.__version__, "numpy": np.__version__}


def _notes(dataset: Dataset, subject: Model) -> list[str]:
    """Say what a reader must know to read the numbers rightly."""
    trained_on = subject.body.get("datasetDigest")
    if trained_on and trained_on != dataset.digest:
        return ["The subject was trained on another dataset than this one: the tests for copying do not see that data."]
    return []


def _summary(found: list[Finding]) -> str:
    """Say in one line why the verdict is what it is."""
    gated = [f for f in found if f.outcomes]
    if not gated:
        return "Nothing was claimed: no metric has a threshold or maxRegression, so nothing can pass"
    for answer in (False, None):
        names = [f"{f.asked.metric.name}: {f.sentence}" for f in gated if f.passed is answer]
        if names:
            return "; ".join(names)
    return f"{len(gated)} of {len(gated)} gated metrics passed"


def _write(
    task: EvaluateTask, written: dict[str, Any], bench: Bench, other: ModelMaker | None, dataset: Dataset, pod: Pod
) -> str:
    """Write record, pictures and page as one artifact, and return its digest."""
    pod.progress(Progress(stage="writing the report", step=len(task.metrics), total=len(task.metrics)))
    pod.give_way()
    shown = pages.exhibit(bench, other, lambda tokens: _decoded(dataset, tokens))
    cards = pages.cards(bench, other, task.pairs, lambda tokens: _decoded(dataset, tokens)) if task.pairs else None
    body = {name: written[name] for name in ("verdict", "summary", "subject", "dataset", "metrics")}
    with artifact.writing(task.output, "report", body) as folder:
        _fill(folder, {**written, "exhibits": shown.texts}, shown.pictures)
        if cards:
            _deal(folder, cards)
    return artifact.digest_of(task.output)


def _fill(folder: Path, written: dict[str, Any], pictures: dict[str, bytes]) -> None:
    (folder / "report.json").write_bytes(canonical(written))
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    (folder / "report.html").write_text(pages.evaluation(written, pictures), encoding="utf-8")


def _deal(folder: Path, cards: pages.Cards) -> None:
    """Write the deck that people judge, and the samples it shows."""
    (folder / DECK).write_bytes(canonical(cards.deck.model_dump(mode="json", by_alias=True, exclude_none=True)))
    (folder / "deck").mkdir()
    for name, data in cards.files.items():
        (folder / name).write_bytes(data)


def _decoded(dataset: Dataset, tokens: Any) -> str:
    """Turn tokens into text; music stays tokens."""
    return from_json(dataset.json("tokenizer.json")).decode(np.asarray(tokens).tolist())


def _report(task: EvaluateTask, found: list[Finding], written: dict[str, Any], digest: str) -> Report:
    return Report(
        verb=task.verb,
        code=Code.DONE,
        message=f"{written['verdict']}: {written['summary']}",
        artifact=Artifact(uri=task.output, digest=digest),
        samples=task.samples,
        verdict=written["verdict"],
        metrics=record.brief(written["metrics"], found),
    )
