"""Ask a Triton server through tritonclient: is it ready, and what does it generate.

Knows the protocol and the names of the friendly model's inputs and outputs.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

Array = NDArray[Any]
HEALTH_SECONDS = 3  # a probe waits 5


@dataclass(frozen=True)
class Client:
    """A connection to one model by gRPC."""

    target: str
    model: str
    version: str = ""
    seconds: float = 60
    probe: bool = False  # its requests are left out of the model's metrics

    def __post_init__(self) -> None:
        object.__setattr__(self, "_connection", grpc.InferenceServerClient(self.target))

    @property
    def _grpc(self) -> Any:
        return self.__dict__["_connection"]

    def ready(self) -> bool:
        """Say whether the server and the model would take requests."""
        try:
            server = self._grpc.is_server_ready(client_timeout=HEALTH_SECONDS)
            return bool(server and self._grpc.is_model_ready(self.model, self.version, client_timeout=HEALTH_SECONDS))
        except InferenceServerException:
            return False

    def live(self) -> bool:
        """Say whether the server answers at all."""
        try:
            return bool(self._grpc.is_server_live(client_timeout=HEALTH_SECONDS))
        except InferenceServerException:
            return False

    def generate(self, seeds: Array, conditions: Mapping[str, Array] | None = None) -> Array:
        """Make one sample per seed, int64 [n, 1]. Raises InferenceServerException with the server's words."""
        arrays = {"seed": seeds, **(conditions or {})}
        inputs = [_input(name, array) for name, array in arrays.items()]
        wanted = [grpc.InferRequestedOutput("sample")]
        answer = self._grpc.infer(
            self.model,
            inputs,
            self.version,
            outputs=wanted,
            client_timeout=self.seconds,
            parameters={"probe": True} if self.probe else None,
        )
        return _sample(answer)

    def times(self, batch: int, count: int = 20) -> list[float]:
        """Time requests one after the other, in milliseconds."""
        seeds = np.arange(batch, dtype=np.int64).reshape(-1, 1)
        out = []
        for _ in range(count):
            started = time.perf_counter()
            self.generate(seeds)
            out.append(1000 * (time.perf_counter() - started))
        return out

    def close(self) -> None:
        """Close the connection."""
        self._grpc.close()


def _sample(answer: Any) -> Array:
    """Read the sample. An answer with a shape and no data, as the Python back end gives under numpy 2, is empty."""
    try:
        sample: Array = answer.as_numpy("sample")
    except ValueError:
        return np.empty(0, np.uint8)
    return sample


def _input(name: str, array: Array) -> Any:
    tensor = grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def difference(got: Array, expected: Array, levels: int = 255) -> str:
    """Say how an answer differs from the one expected by more than rounding does, or nothing.

    Bytes may be one level of the data apart in 2 % of places, since another CPU rounds otherwise; of sequences half
    must be equal, since one other token changes all that follow.
    """
    if got.shape != expected.shape:
        hint = "; the server's Python packages need numpy below 2" if got.size == 0 else ""
        return f"shape {list(got.shape)} instead of {list(expected.shape)}{hint}"
    if expected.dtype == np.uint8:
        return _bytes_apart(got.astype(int), expected.astype(int), 255 / levels)
    if expected.dtype.kind in "iu":
        equal = float(np.all(got == expected, axis=tuple(range(1, got.ndim))).mean())
        return "" if equal >= 0.5 else f"{1 - equal:.0%} of the sequences differ"
    error = float(np.abs(got - expected).max()) if np.isfinite(got).all() else float("inf")
    return "" if error <= 1e-2 else f"values up to {error:.3g} apart"


def _bytes_apart(got: NDArray[np.int64], expected: NDArray[np.int64], level: float) -> str:
    apart = np.abs(got - expected)
    share = float((apart > 0).mean())
    if apart.max(initial=0) <= level + 1 and share <= 0.02:
        return ""
    return f"bytes up to {int(apart.max())} apart, {share:.1%} of them differ"
