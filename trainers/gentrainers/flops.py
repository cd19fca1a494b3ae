"""Model FLOPs utilisation: what a step's arithmetic is of what the device could do at most.

Peaks are dense bf16 figures of the makers (not the doubled ones "with sparsity"). On a device that is not in the table
there is no figure rather than a guess.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

PEAKS = {  # bf16 dense, FLOP/s
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
}
TF32_SHARE = 0.5


def peak(device: torch.device, precision: str) -> float | None:
    """Return the device's peak in FLOP/s, or None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = next((p for key, p in PEAKS.items() if key in name), None)
    return found if found is None or precision == "bf16" else found * TF32_SHARE


def count(work: Callable[[], Any]) -> int:
    """Count the FLOPs of some work by running it once, eagerly."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


class Meter:
    """Turns steps per second into utilisation, once the FLOPs of a step are known."""

    def __init__(self, device: torch.device, precision: str) -> None:
        self.peak = peak(device, precision)
        self.flops = 0

    def learn(self, work: Callable[[], Any], times: float) -> None:
        """Count the FLOPs of a step from a smaller piece of work that is done `times` as often in it."""
        if self.peak:
            self.flops = int(count(work) * times)

    def mfu(self, steps_per_second: float) -> float | None:
        """Return the utilisation, or None where the peak is not known."""
        if not self.peak or not self.flops:
            return None
        return round(self.flops * steps_per_second / self.peak, 4)
