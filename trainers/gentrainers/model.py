"""A trained model, opened from its artifact: samples, likelihoods, and the whole generation for export.

Knows artifacts and families. It must not know how models are trained, judged or served.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gencontract.codes import Code
from gentrainers import artifact, rng
from gentrainers.errors import JobError
from gentrainers.families import DataShape, Family, Generation, configure, family
from gentrainers.feed import Documents, Rows, moved, scoring, training

WEIGHTS = "weights.safetensors"
CHUNK = 256  # samples drawn from one generator: what sample i looks like does not depend on the batch it is made in


class Model:
    """A family, its nets with their weights, and what is known of the data."""

    def __init__(self, kind: Family[Any], nets: dict[str, nn.Module], body: dict[str, Any], digest: str = "") -> None:
        self.kind, self.nets, self.body, self.digest = kind, nets, body, digest
        self.family: str = body["family"]
        self.data: DataShape = kind.data
        for net in nets.values():
            net.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return next(next(iter(self.nets.values())).parameters()).device

    def generation(self, **how: Any) -> Generation:
        """Return the whole generation as one module: `steps`, `guidance`, `length`, `temperature` override dials."""
        return self.kind.generation(self.nets, **how).eval()

    @torch.inference_mode()
    def sample(self, n: int, seed: int, condition: Any = None, **how: Any) -> NDArray[Any] | list[NDArray[Any]]:
        """Make n samples: uint8 [n, height, width, channels], float32 [n, columns], or a list of token arrays.

        `condition` is one class or one each, a caption or one each, or one prompt (list of tokens) each.
        """
        module = self.generation(**how)
        made = [
            module(*inputs)[0] if len(module.outputs) > 1 else module(*inputs)
            for inputs in self._inputs(module, n, seed, condition)
        ]
        together = torch.cat(made)
        if self.data.format in ("text", "music"):
            return [self.kind.trim(row) for row in together.cpu().numpy()]
        return self.data.decode(together)

    def _inputs(self, module: Generation, n: int, seed: int, condition: Any) -> Iterator[tuple[Tensor, ...]]:
        asked = _each(condition, n)
        for start in range(0, n, CHUNK):
            count = min(CHUNK, n - start)
            mine = asked[start : start + count] if asked is not None else None
            drawn = module.example(count, rng.mix(seed, start // CHUNK), mine)
            yield tuple(t.to(self.device) for t in drawn)

    @torch.inference_mode()
    def nll(self, split: Any, seed: int = 0) -> NDArray[np.float64] | None:
        """Return nats per sample (for sequences: per document), or None where the family cannot say."""
        feed = scoring(split, self.data)
        parts = [self._nll_of(feed, start, seed) for start in range(0, len(feed), CHUNK)]
        if any(p is None for p in parts):
            return None
        return feed.per_sample(np.concatenate([p for p in parts if p is not None]))

    def _nll_of(self, feed: Rows | Documents, start: int, seed: int) -> NDArray[np.float64] | None:
        which = np.arange(start, min(start + CHUNK, len(feed)))
        noise = rng.noise(seed, "nll", start, total=len(which), device=self.device)
        answer = self.kind.nll(self.nets, moved(feed.batch(which), self.device), noise)
        return None if answer is None else answer.double().cpu().numpy()


def _each(condition: Any, n: int) -> list[Any] | None:
    """Give each of n samples its condition: one for all, or one each."""
    if condition is None:
        return None
    many = condition if isinstance(condition, list | tuple | np.ndarray | Tensor) else [condition] * n
    if len(many) != n:
        raise JobError(Code.BAD_CONFIG, f"condition: {len(many)} given for {n} samples; give one, or one each")
    return list(many)


def device_for(name: str) -> torch.device:
    """Choose a device: auto, cpu or cuda. Raises JobError(NO_DEVICE) where the one asked for is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise JobError(Code.NO_DEVICE, "device cuda was asked for and no GPU is there; use auto or cpu, or a GPU node")
    return torch.device(name)


def load(uri: str, digest: str | None = None, device: str = "cpu") -> Model:
    """Open a model artifact, checked against its digests."""
    opened = artifact.open_artifact(uri, "model", digest)
    kind = _family(opened.body, uri)
    nets = kind.build()
    restore(nets, _weights(opened.path), uri)
    place = device_for(device)
    return Model(kind, {name: net.to(place) for name, net in nets.items()}, opened.body, opened.digest)


def save(folder: Path, nets: dict[str, nn.Module], history: list[dict[str, Any]]) -> None:
    """Write weights and history into a model's folder."""
    save_file({name: t.cpu().contiguous().clone() for name, t in named(nets).items()}, folder / WEIGHTS)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))


def named(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Name all weights of all nets: `<turn>.<name>`."""
    return {f"{turn}.{name}": t.detach() for turn, net in nets.items() for name, t in net.state_dict().items()}


@torch.no_grad()
def validation(kind: Family[Any], nets: Mapping[str, nn.Module], split: Any, limit: int = 2048) -> dict[str, float]:
    """Say how well nets do on a split: nats per sample where the family has them, else its own loss."""
    feed = training(split, kind.data)
    count = min(limit, len(feed))
    device = next(next(iter(nets.values())).parameters()).device
    sums: dict[str, float] = {}
    for start in range(0, count, CHUNK):
        which = np.arange(start, min(start + CHUNK, count))
        noise = rng.noise("validation", start, total=len(which), device=device)
        batch = moved(feed.batch(which, np.zeros_like(which)), device)
        for name, value in kind.loss(kind.turns[-1], nets, batch, noise).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(which)
    return {f"validation.{name}": total / count for name, total in sums.items()}


def restore(nets: dict[str, nn.Module], weights: dict[str, Tensor], uri: str) -> None:
    """Put weights into nets. Raises JobError(WRONG_CHECKPOINT) that names what does not fit."""
    for turn, net in nets.items():
        mine = {k.removeprefix(f"{turn}."): v for k, v in weights.items() if k.startswith(f"{turn}.")}
        try:
            net.load_state_dict(mine)
        except RuntimeError as error:
            detail = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
            raise JobError(Code.WRONG_CHECKPOINT, f"{uri}/{WEIGHTS} is of another model: {detail}") from None


def _family(body: dict[str, Any], uri: str) -> Family[Any]:
    try:
        kind = family(body["family"])
        return kind(configure(kind, body["size"], body["config"]), DataShape(**body["data"]))
    except KeyError as error:
        raise JobError(Code.BAD_DATA, f"{uri}: the manifest says nothing of {error}; train the model again") from None


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise JobError(Code.BAD_DATA, f"{folder / WEIGHTS} cannot be read: {error}") from None
