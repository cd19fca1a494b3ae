"""Datasets: how raw data becomes a checked and frozen artifact, and how the artifact is read.

`formats/` has one modality per file, `sources/` one kind of place per file, `builtin/` one set per file; the stages
between them are modules of this folder. Only `open_dataset` is for the other jobs.
"""

from gentrainers.data.dataset import Dataset, Split, open_dataset

__all__ = ["Dataset", "Split", "open_dataset"]
