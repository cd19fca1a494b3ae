"""A shelf of fitted weights, by what they were fitted to. A pure cache: taking from it changes no bit of a result."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gentrainers.artifact import sha256_bytes

Weights = dict[str, Tensor]


def fitted(key: list[Any], fit: Callable[[], Mapping[str, Tensor]]) -> tuple[Weights, str]:
    """Return the weights for a key and the digest of their file; fit them where the shelf has none."""
    from safetensors.torch import load

    path = _place(key)
    if not path.exists():
        _put(fit(), path)
    data = path.read_bytes()
    return load(data), sha256_bytes(data)


def _place(key: list[Any]) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME", tempfile.gettempdir())) / "genops-extractors"
    name = hashlib.sha256(json.dumps([*key, torch.__version__]).encode()).hexdigest()
    return base / f"{name}.safetensors"


def _put(weights: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    save_file({name: value.contiguous() for name, value in sorted(weights.items())}, scratch)
    scratch.rename(path)
