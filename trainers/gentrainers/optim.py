"""Optimizers and learning rates: the rate is a pure function of the step, so that a schedule has no state to save.

Knows parameters by name, nothing of losses, data or files.
"""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from gentrainers.dist import whole
from gentrainers.families import Config

Parameters = Mapping[str, nn.Parameter]


def rate(config: Config, step: int) -> float:
    """Return the share of the peak rate at a step: a linear warm-up, then the schedule.

    >>> rate(Config(steps=100, warmup=10), 4), rate(Config(steps=100, warmup=0, schedule="constant"), 99)
    (0.5, 1.0)
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    left = (config.steps - step) / max(config.steps - config.warmup, 1)  # from 1 down to 0
    shape = {
        "constant": 1.0,
        "cosine": 0.5 - 0.5 * math.cos(math.pi * left),
        "wsd": min(1.0, left / config.cooldown) if config.cooldown else 1.0,
    }[config.schedule]
    return config.final_lr + (1 - config.final_lr) * shape


class Optimizers:
    """The optimizers of one turn: Muon for the matrices inside the net where it is asked for, AdamW for the rest."""

    def __init__(self, parameters: Parameters, config: Config, lr: float) -> None:
        self.parameters = dict(parameters)
        matrices = _matrices(self.parameters) if config.optimizer == "muon" else {}
        rest = {n: p for n, p in self.parameters.items() if n not in matrices}
        self.all: list[Optimizer] = [_adamw(rest, config, lr)] if rest else []
        if matrices:
            self.all.append(_muon(matrices, config, lr))
        self.peaks = [[g["lr"] for g in o.param_groups] for o in self.all]

    def step(self, share: float) -> None:
        """Take a step at a share of the peak rate."""
        for optimizer, peaks in zip(self.all, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * share
            optimizer.step()

    def clear(self) -> None:
        """Forget the gradients."""
        for optimizer in self.all:
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Name the state: `<parameter>/<key>`."""
        names: dict[Tensor, str] = {p: n for n, p in self.parameters.items()}
        return {
            f"{names[p]}/{key}": value
            for optimizer in self.all
            for p, values in optimizer.state.items()
            for key, value in values.items()
            if isinstance(value, Tensor)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put named state back."""
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for name, value in state.items():
            parameter, _, key = name.rpartition("/")
            by_parameter.setdefault(parameter, {})[key] = value
        names = {p: n for n, p in self.parameters.items()}
        for optimizer in self.all:
            ordered = [names[p] for g in optimizer.param_groups for p in g["params"]]
            found = {i: by_parameter[n] for i, n in enumerate(ordered) if n in by_parameter}
            optimizer.load_state_dict({"state": found, "param_groups": optimizer.state_dict()["param_groups"]})


def _adamw(parameters: Parameters, config: Config, lr: float) -> Optimizer:
    """Weight decay for matrices and kernels, none for gains, biases and embeddings of one axis."""
    decayed = [p for p in parameters.values() if p.dim() > 1]
    plain = [p for p in parameters.values() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": config.weight_decay}]
    groups.append({"params": plain, "weight_decay": 0.0})
    return AdamW([g for g in groups if g["params"]], lr=lr, betas=config.betas, fused=True)


def _muon(parameters: Parameters, config: Config, lr: float) -> Optimizer:
    """Muon with steps as large as AdamW's, so that one learning rate fits both (Liu et al. 2025)."""
    return Muon(list(parameters.values()), lr=lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")


def _matrices(parameters: Parameters) -> dict[str, nn.Parameter]:
    """Choose what Muon may have: matrices of repeated blocks, not embeddings and not the first or last layer."""
    return {n: p for n, p in parameters.items() if p.dim() == 2 and "blocks." in n and min(p.shape) > 1}


def norm_of(parameters: Parameters, clip: float) -> Tensor:
    """Clip the gradient of all parameters together and return its norm before that."""
    limit = clip or float("inf")
    norm = nn.utils.clip_grad_norm_(list(parameters.values()), limit, foreach=True)
    return whole(norm)
