"""An image and a condition (class or caption) embedded side by side, fitted on the train split in seconds.

A small contrastive pair in the manner of CLIP (Radford et al. 2021): one tower for images, one for conditions, 64
numbers of unit length each. A pure function of the dataset and SEED. It must not know any model that is judged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gentrainers.metrics.kit import shelf
from gentrainers.metrics.kit.arrays import Floats
from gentrainers.metrics.kit.extractors import BATCH, LARGEST, ImageNet, SequenceNet, as_tensor, one_thread
from gentrainers.metrics.kit.rows import Rows, take

SEED = 30
STEPS = 300
SHARPNESS = 10.0  # inverse temperature of the contrast
Conditions = npt.NDArray[Any]  # [n], int64 classes or str captions


@dataclass(frozen=True)
class Pair:
    """The two towers, frozen."""

    images: nn.Module
    conditions: nn.Module
    digest: str

    def agree(self, rows: Rows, conditions: Conditions) -> Floats:
        """Return how much more each image agrees with its own condition than with those of the others: [n].

        Cosine of the own pair minus the mean cosine with all n conditions (shuffled pairs), so that 0 is chance.
        """
        with torch.inference_mode(), one_thread():
            parts = [
                self.images(as_tensor(take(rows, range(i, min(i + 512, len(rows)))))) for i in range(0, len(rows), 512)
            ]
            seen = F.normalize(torch.cat(parts), dim=1).double()
            told = F.normalize(_told(self.conditions, conditions), dim=1).double()
        own = (seen * told).sum(1)
        return np.asarray((own - seen @ told.mean(0)).numpy(), np.float64)


def spelled(conditions: Conditions) -> Tensor:
    """Spell conditions as tokens: a class is one token, a caption its bytes. int64 [n, length], padded by -1."""
    if conditions.dtype.kind == "i":
        return torch.from_numpy(conditions.astype(np.int64))[:, None]
    return as_tensor([np.frombuffer(str(c).encode(), np.uint8) for c in conditions])


def fit(rows: Rows, conditions: Conditions, digest: str) -> Pair:
    """Fit both towers so that an image finds its condition among those of its batch, and the other way round.

    `digest` names the dataset that rows and conditions are the train split of.
    """
    assert not isinstance(rows, list), "only images have conditions that are scored"
    vocab = int(conditions.max()) + 1 if conditions.dtype.kind == "i" else 256
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(SEED)
        towers = nn.ModuleDict({"images": ImageNet(*rows.shape[1:]), "words": SequenceNet(vocab)})
        key = ["agreement", digest, list(rows.shape), vocab, STEPS, SEED]
        weights, known_as = shelf.fitted(key, lambda: _contrast(towers, rows, conditions))
    towers.load_state_dict(weights)
    towers.eval().requires_grad_(False)
    return Pair(towers["images"], towers["words"], known_as)


def _contrast(towers: nn.ModuleDict, rows: npt.NDArray[Any], conditions: Conditions) -> dict[str, Tensor]:
    optimizer = torch.optim.AdamW(towers.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    random = np.random.default_rng(SEED)
    for _ in range(STEPS):
        which = random.integers(0, min(len(rows), LARGEST), BATCH)
        told = _told(towers["words"], conditions[which])
        loss = _loss(towers["images"](as_tensor(rows[which])), told, conditions[which])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return towers.state_dict()


def _told(words: nn.Module, conditions: Conditions) -> Tensor:
    """Embed conditions [n, 64], each different one once."""
    different, back = np.unique(conditions, return_inverse=True)
    embedded: Tensor = words(spelled(different))
    return embedded[torch.from_numpy(back.reshape(-1))]


def _loss(seen: Tensor, told: Tensor, conditions: Conditions) -> Tensor:
    """Cross-entropy in both directions; images of equal condition are all right answers."""
    logits = SHARPNESS * F.normalize(seen, dim=1) @ F.normalize(told, dim=1).T
    same = torch.from_numpy(conditions[:, None] == conditions[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
