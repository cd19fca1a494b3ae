"""Families of generative models, one readable file each. `_base.py` says what a family is."""

from gentrainers.families._base import (
    Config,
    DataShape,
    Family,
    Generation,
    Loss,
    TensorSpec,
    configure,
    family,
    names,
    shape_of,
)

__all__ = [
    "Config",
    "DataShape",
    "Family",
    "Generation",
    "Loss",
    "TensorSpec",
    "configure",
    "family",
    "names",
    "shape_of",
]
