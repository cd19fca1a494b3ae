"""Check what an evaluation asks for before anything is loaded: metrics, gates, options, seeds.

Every refusal names the field, its value and the remedy. Knows the task; must not know how anything is measured.
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gencontract.codes import Code
from gencontract.task import EvaluateTask, MetricGate
from gentrainers import metrics
from gentrainers.errors import JobError
from gentrainers.metrics.kit.examine import Asked
from gentrainers.metrics.kit.metric import Metric


def asked(task: EvaluateTask) -> list[Asked]:
    """Return what is asked, checked. Raises JobError(BAD_CONFIG)."""
    _check_seeds(task.seeds)
    if not task.metrics:
        raise _bad("metrics: none are given; name at least one, such as fid with op <= and a threshold")
    found = [_one(gate, f"metrics[{i}]", task) for i, gate in enumerate(task.metrics)]
    keys = [(a.metric.name, tuple(sorted(a.options.items()))) for a in found]
    twice = next((a for i, a in enumerate(found) if keys[i] in keys[:i]), None)
    if twice:
        raise _bad(f"metrics: {twice.metric.name} is named twice; put op, threshold and maxRegression into one entry")
    return found


def check_modality(asked: list[Asked], modality: str) -> None:
    """Refuse metrics that this kind of data has not. Raises JobError(BAD_CONFIG)."""
    for i, a in enumerate(asked):
        if modality not in a.metric.modalities:
            fit = [m.name for m in metrics.all_metrics().values() if modality in m.modalities]
            raise _bad(
                f"metrics[{i}].name = {a.metric.name!r} is for {', '.join(a.metric.modalities)}, and the dataset holds "
                f"{modality}; for {modality} there are {', '.join(fit)}"
            )


def _check_seeds(seeds: list[int]) -> None:
    if not seeds:
        raise _bad("seeds: the list is empty; give at least 5 different numbers, such as [0, 1, 2, 3, 4]")
    twice = sorted({s for s in seeds if seeds.count(s) > 1})
    if twice:
        raise _bad(f"seeds: {twice[0]} is given twice, which would count one set of samples as two; remove one")
    if min(seeds) < 0:
        raise _bad(f"seeds: {min(seeds)} is negative; give numbers from 0 on")


def _one(gate: MetricGate, where: str, task: EvaluateTask) -> Asked:
    metric = metrics.find(gate.name, where)
    if (gate.op is None) != (gate.threshold is None):
        missing, given = ("threshold", f"op = {gate.op!r}") if gate.op else ("op", f"threshold = {gate.threshold}")
        raise _bad(f"{where} ({gate.name}): {given} has no {missing}; give both or neither")
    for name, value in (("threshold", gate.threshold), ("maxRegression", gate.max_regression)):
        if value is not None and not math.isfinite(value):
            raise _bad(f"{where}.{name} = {value} is no number to compare with; give a finite one")
    _check_regression(gate, where, task)
    return Asked(metric, gate, _options(metric, gate.options, where))


def _check_regression(gate: MetricGate, where: str, task: EvaluateTask) -> None:
    if gate.max_regression is None:
        return
    if gate.max_regression < 0:
        raise _bad(f"{where}.maxRegression = {gate.max_regression} is negative; give how much worse is still right")
    if task.baseline is None:
        raise _bad(
            f"{where}.maxRegression = {gate.max_regression} needs a baseline and none is given; set baseline, or use "
            "op and threshold"
        )


def _options(metric: Metric, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name, value in given.items():
        if name not in metric.options:
            raise _bad(f"{where}.options.{name} = {value!r} is not an option of {metric.name}{_known(metric, name)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _bad(f"{where}.options.{name} = {value!r} is not a whole number from 1 on")
    return {**metric.options, **given}


def _known(metric: Metric, name: str) -> str:
    if not metric.options:
        return "; it has none"
    close = get_close_matches(name, metric.options, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"{hint} Known: {', '.join(metric.options)}"


def _bad(message: str) -> JobError:
    return JobError(Code.BAD_CONFIG, message)
