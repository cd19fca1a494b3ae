"""Triton's Python back end: a seed and a condition in, a finished sample out.

A request gives `seed` [n, 1] and, where the model is conditional, a condition; noise is made here, so that a plain JSON
request gets pixels. The engine runs in this process, or, where the server has a native back end for it, in the model
that the parameter `native` names. Knows Triton's Python API and the engine; nothing of Kubernetes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from . import capture, native
from . import engine as engines
from .metrics import Metrics
from .noise import WrongInput

Array = NDArray[Any]


@dataclass
class Ask:
    """One request that can be answered: its rows of each input of the generation."""

    place: int
    seeds: list[int]
    given: dict[str, Array | None]
    inputs: list[Array]
    counted: bool  # a probe's samples are left out of the metrics


class TritonPythonModel:
    """One instance of the model. Triton calls initialize once, execute with one batch of requests at a time."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the engine beside this package, and register the metrics."""
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        # The engine's files may be links; a runtime that looks for more beside one must find it.
        folder = (Path(__file__).parent.parent / engines.SPEC).resolve().parent
        threads = int(parameters.get("threads", "0")) or None
        other = parameters.get("native")
        self.engine = native.load(folder, other) if other else engines.load(folder, threads)
        self.metrics = Metrics(pb_utils, args["model_name"], args["model_version"], self.engine.spec)
        self.capture = capture.from_environment(self.metrics.captured, _instances(config))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch of requests: the wrong ones with what is wrong, all others from one run of the engine."""
        answers: list[Any] = [None] * len(requests)
        asks = []
        for place, request in enumerate(requests):
            try:
                asks.append(self._read(place, request))
            except WrongInput as error:
                answers[place] = self._refuse("wrong", str(error), pb_utils.TritonError.INVALID_ARG)
        if asks:
            self._answer(asks, answers)
        return answers

    def finalize(self) -> None:
        """Write the last records, and tell the last numbers."""
        if self.capture:
            self.capture.close()
        self.metrics.close()

    def _read(self, place: int, request: Any) -> Ask:
        seeds = [int(s) for s in _array(request, "seed").reshape(-1)]
        given = {name: _optional(request, name) for name in self.engine.conditions}
        return Ask(place, seeds, given, self.engine.inputs(seeds, given), not _is_probe(request))

    def _answer(self, asks: list[Ask], answers: list[Any]) -> None:
        inputs = [np.concatenate(rows) for rows in zip(*(a.inputs for a in asks), strict=True)]
        try:
            raw = self.engine.raw(inputs)[0]
        except Exception as error:
            for ask in asks:
                answers[ask.place] = self._refuse(
                    "failed", f"the engine failed: {error}", pb_utils.TritonError.INTERNAL
                )
            return
        at = 0
        for ask in asks:
            answers[ask.place] = self._finish(ask, raw[at : at + len(ask.seeds)])
            at += len(ask.seeds)

    def _finish(self, ask: Ask, raw: Array) -> Any:
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            return self._refuse("failed", "the engine gave NaN or infinity", pb_utils.TritonError.INTERNAL)
        samples = engines.finish(self.engine.spec["sample"], raw)
        if ask.counted:
            self.metrics.answered(samples, ask.given)
            if self.capture:
                self.capture.offer(ask.seeds, ask.given, self._drawn(ask), samples)
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("sample", samples)])

    def _drawn(self, ask: Ask) -> dict[str, Array]:
        """Return the classes that the answer was made for, whether the request named them or not."""
        ports = zip(self.engine.spec["inputs"], ask.inputs, strict=True)
        return {port["name"]: value for port, value in ports if port["draw"] == "label"}

    def _refuse(self, outcome: str, message: str, code: int) -> Any:
        self.metrics.refused(outcome)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _array(request: Any, name: str) -> Array:
    array: Array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _optional(request: Any, name: str) -> Array | None:
    return None if pb_utils.get_input_tensor_by_name(request, name) is None else _array(request, name)


def _instances(config: Mapping[str, Any]) -> int:
    return max(1, sum(int(group.get("count", 1)) for group in config.get("instance_group", ())))


def _is_probe(request: Any) -> bool:
    parameters = request.parameters()
    return bool(parameters) and bool(json.loads(parameters).get("probe"))
