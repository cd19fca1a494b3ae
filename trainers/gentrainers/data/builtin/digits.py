"""scikit-learn's digits: 1,797 grey pictures of 8x8 pixels, ten classes, values 0 to 16.

A value v is stored as round(v * 255 / 16), which `levels` lets a reader undo exactly; that keeps the binomial(16)
likelihood of a pixel within reach.
"""

from collections.abc import Iterator

import numpy as np

from gentrainers.data.sample import Sample

LICENSE = "CC-BY-4.0"  # UCI Optical Recognition of Handwritten Digits
LEVELS = 16
IMAGE = {"levels": LEVELS}


def samples() -> Iterator[Sample]:
    """Yield all pictures in the order of the package."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * 255 / LEVELS).astype(np.uint8)[..., None]
    for number, (value, label) in enumerate(zip(pixels, found.target, strict=True)):
        yield Sample(value, where=f"digits[{number}]", label=str(label))
