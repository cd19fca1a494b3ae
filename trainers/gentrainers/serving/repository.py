"""Lay out Triton's model repository around an engine.

    <model>/config.pbtxt            the friendly model (seed in, sample out) by the Python back end
    <model>/native.pbtxt            the bare engine by the runtime's own back end, for servers that have it
    <model>/front.pbtxt             the friendly model when it asks that one
    <model>/<version>/              engine.json, the engine's files, model.py and genops_backend/

Triton reads config.pbtxt only; the launcher puts the others in its place. Knows files; starts nothing.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from gencontract.codes import Code
from gencontract.layout import MANIFEST, SIGNATURE
from gencontract.wire import canonical, explain
from gentrainers.errors import JobError
from gentrainers.serving import config
from gentrainers.serving.backend.engine import SPEC
from gentrainers.serving.config import Port

BACKEND = Path(__file__).parent / "backend"
ENTRY = "from genops_backend.model import TritonPythonModel  # noqa: F401\n"
TYPES = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}


class _Dials(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Batching(_Dials):
    """How requests are put together. Triton waits at most this long for more of them."""

    max_queue_delay_microseconds: int = Field(0, ge=0)
    preferred_batch_sizes: list[int] = []

    def message(self) -> dict[str, Any]:
        """Say it in Triton's words."""
        sizes = {"preferred_batch_size": self.preferred_batch_sizes} if self.preferred_batch_sizes else {}
        return sizes | {"max_queue_delay_microseconds": self.max_queue_delay_microseconds}


class Server(_Dials):
    """The dials of `OptimizeTask.server`. 0 threads takes what the container may use."""

    instances: int = Field(1, ge=1, le=64)
    dynamic_batching: Batching | bool = Batching()
    threads: int = Field(0, ge=0)

    @property
    def batching(self) -> dict[str, Any] | None:
        """Return Triton's message, or None where requests are not put together."""
        if isinstance(self.dynamic_batching, bool):
            return Batching().message() if self.dynamic_batching else None
        return self.dynamic_batching.message()


def dials(given: Mapping[str, Any]) -> Server:
    """Read the server's dials. Raises JobError(BAD_CONFIG) that names the field."""
    try:
        return Server.model_validate(dict(given))
    except ValidationError as error:
        raise JobError(Code.BAD_CONFIG, f"server: {explain(error)}") from None


@dataclass(frozen=True)
class Served:
    """One engine to be served."""

    model: str
    version: int
    engine: Path  # folder with the engine's files
    spec: Mapping[str, Any]  # its engine.json
    native: str | None  # Triton's own back end for it
    model_file: str
    max_batch: int
    server: Server
    gpu: bool = False


def write(folder: Path, served: Served) -> None:
    """Write the repository into `folder`."""
    home = folder / served.model
    version = home / str(served.version)
    shutil.copytree(served.engine, version, ignore=shutil.ignore_patterns(MANIFEST, SIGNATURE))
    shutil.copytree(BACKEND, version / "genops_backend", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    (version / "model.py").write_text(ENTRY)
    (version / SPEC).write_bytes(canonical(dict(served.spec)))
    sizes = sorted({1, served.max_batch})
    (home / "config.pbtxt").write_text(friendly(served, {"threads": str(served.server.threads)}, sizes))
    if served.native:
        (home / "native.pbtxt").write_text(bare(served, sizes))
        # A model may ask another only once the server is ready, so this one has no warm-up.
        (home / "front.pbtxt").write_text(friendly(served, {"native": native_name(served.model)}, []))


def native_name(model: str) -> str:
    """Name the bare model that stands behind the friendly one."""
    return f"{model}_engine"


def friendly(served: Served, parameters: Mapping[str, str], warmup: Sequence[int]) -> str:
    """Configure the model that people ask: a seed and a condition in, a sample out."""
    sample = served.spec["sample"]
    return config.model(
        served.model,
        "python",
        [Port("seed", "INT64", (1,)), *conditions(served.spec["inputs"])],
        [Port("sample", TYPES[sample["dtype"]], tuple(sample["shape"]))],
        served.max_batch,
        served.server.batching,
        served.server.instances,
        parameters=parameters,
        warmup=warmup,
    )


def conditions(inputs: Sequence[Mapping[str, Any]]) -> list[Port]:
    """List the inputs that a request may give or leave out."""
    ports = {
        "label": lambda s: Port(s["name"], "INT64", (1,), optional=True),
        "caption": lambda s: Port(s["name"], "BYTES", (1,), optional=True),
        "prompt": lambda s: Port(s["name"], "INT64", (-1,), optional=True),
    }
    return [ports[s["draw"]](s) for s in inputs if s["draw"] in ports]


def bare(served: Served, warmup: Sequence[int]) -> str:
    """Configure the engine itself: noise in, raw samples out, by the runtime's own back end."""
    inputs, outputs = native_ports(served.spec, served.native or "")
    return config.model(
        native_name(served.model),
        served.native or "",
        inputs,
        outputs,
        served.max_batch,
        served.server.batching,
        served.server.instances,
        gpu=served.gpu,
        warmup=warmup,
        model_file=served.model_file,
    )


def native_ports(spec: Mapping[str, Any], backend: str) -> tuple[list[Port], list[Port]]:
    """Name inputs and outputs as the back end wants them: `pytorch` goes by the number behind two underscores."""
    return tuple(  # type: ignore[return-value]
        [_native_port(s, i, backend) for i, s in enumerate(spec[side])] for side in ("inputs", "outputs")
    )


def _native_port(spec: Mapping[str, Any], place: int, backend: str) -> Port:
    name = f"{spec['name']}__{place}" if backend == "pytorch" else spec["name"]
    dims = tuple(spec["shape"][1:])
    # One number per sample has no dimension beside the batch, which Triton writes as [1] reshaped to [].
    return Port(name, TYPES[spec["dtype"]], dims or (1,), scalar=not dims)
