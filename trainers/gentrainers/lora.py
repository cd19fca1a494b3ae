"""Low-rank adapters: fine-tune a few numbers beside each matrix and leave the matrix alone (Hu et al. 2021).

    y = x W^T + (x A^T) B^T,   A drawn, B zero at first, so that fine-tuning starts from the base model itself

Knows linear layers, nothing of families or training.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """W to W + B A."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, into = weight.shape
        rank = min(rank, out, into)
        self.down = nn.Parameter(torch.randn(rank, into, dtype=weight.dtype) / into**0.5)
        self.up = nn.Parameter(torch.zeros(out, rank, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def adapted(net: nn.Module, rank: int) -> nn.Module:
    """Freeze a net and give each of its linear layers an adapter that can be trained."""
    net.requires_grad_(False)
    for layer in [m for m in net.modules() if isinstance(m, nn.Linear)]:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
        layer.get_parameter("parametrizations.weight.original").requires_grad_(False)
    return net


def merged(net: nn.Module) -> nn.Module:
    """Return a copy whose adapters are added into the matrices: the base model's own shape again."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return net
