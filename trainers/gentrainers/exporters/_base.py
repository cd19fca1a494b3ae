"""What an exporter is, and how one is found.

Knows no runtime; the runtimes import this.
"""

import hashlib
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from gentrainers.exporters._graph import Graph

Array = NDArray[Any]


@dataclass(frozen=True)
class Options:
    """What an engine is built for."""

    precision: str = "fp32"
    batches: tuple[int, ...] = (1, 16)  # sizes that will be asked for; the largest bounds a dynamic batch
    capabilities: tuple[str, ...] = ()  # of NVIDIA GPUs, such as "89"; empty is the one that is here
    calibration: tuple[list[Array], ...] = ()  # int8: inputs of typical generations


@dataclass(frozen=True)
class Built:
    """What a build says of its engine beyond its files."""

    pinned: tuple[int, ...] = ()  # batch sizes that it was built for; empty runs any
    compiled: bool | None = None  # torch: compiled ahead of time, or eager
    elsewhere: str = ""  # why it cannot run on this machine
    more: dict[str, Any] = field(default_factory=dict)


class Exporter(Protocol):
    """One runtime."""

    name: str
    packages: tuple[str, ...]  # whose versions an engine depends on
    precisions: tuple[str, ...]
    native: str | None  # Triton's own back end for it, taken where the server has one
    model_file: str

    def available(self) -> str | None:
        """Say why engines cannot be built here, or None."""

    def build(self, graph: Graph, options: Options, folder: Path) -> Built:
        """Write the engine's files into `folder`. Raises NotBuilt."""


def names() -> list[str]:
    """List the runtimes as tasks name them.

    >>> "onnx" in names() and "tensorrt-rtx" in names()
    True
    """
    return sorted(p.stem.replace("_", "-") for p in Path(__file__).parent.glob("[!_]*.py"))


def exporter(name: str) -> Exporter:
    """Find a runtime by its name."""
    return cast(Exporter, import_module(f"{__package__}.{name.replace('-', '_')}").EXPORTER)


def runtime_version(exporter: Exporter) -> str:
    """Name the versions that an engine depends on: `torch==2.13.0 onnxruntime==1.32.0`."""
    return " ".join(f"{package}=={installed(package) or 'absent'}" for package in exporter.packages)


def installed(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def code_version(exporter: Exporter) -> str:
    """Hash the code that builds this runtime's engines and runs them, so that a changed exporter builds anew."""
    here = Path(__file__).parent
    runners = here.parent / "serving" / "backend" / "runners"
    own = exporter.name.replace("-", "_") + ".py"
    sources = [here / own, here / "_graph.py", runners / own]
    return hashlib.sha256(b"\0".join(p.read_bytes() for p in sources)).hexdigest()
