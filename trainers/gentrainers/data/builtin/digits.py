"""scikit-learn's digits: 1,797 grey pictures of 8x8 pixels, ten classes, values 0 to 16.

A value v is stored as round(v * 255 / 16), which `levels` in the body lets a reader undo exactly by
round(x * levels / 255); that keeps the binomial(16) likelihood of a pixel within reach.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gencontract.task import PrepareTask
from gentrainers.data.sample import Sample
from gentrainers.data.sources.base import Fetched
from gentrainers.pod import Pod

LICENSE = "CC-BY-4.0"  # UCI Optical Recognition of Handwritten Digits
LEVELS = 16


def fetch(task: PrepareTask, scratch: Path, pod: Pod) -> Fetched:
    """Give the first `source.samples` pictures, or all."""
    body = {"image": {"levels": LEVELS}}
    return Fetched("scikit-learn/digits", LICENSE, samples=lambda: samples(task.source.samples), body=body)


def samples(count: int | None = None) -> Iterator[Sample]:
    """Yield pictures in the order of the package."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * 255 / LEVELS).astype(np.uint8)[..., None]
    for number, (value, label) in enumerate(zip(pixels[:count], found.target[:count], strict=True)):
        yield Sample(value, where=f"digits[{number}]", label=str(label))
