"""TensorRT-RTX: as TensorRT."""

from .tensorrt import load

__all__ = ["load"]
