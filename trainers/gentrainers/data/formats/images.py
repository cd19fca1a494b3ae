"""Images: PNG, JPEG and their like to uint8 arrays [height, width, channels] of one size.

Every picture is decoded in full, turned upright by its EXIF tag, laid on white where it is transparent, and resized by
one filter (Lanczos, with antialias), because other filters move quality scores on equal data. Near-duplicates are found
by a 64-bit hash of low DCT frequencies.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from gencontract.codes import Code
from gencontract.task import Column, Wire
from gentrainers.data.formats.base import Format, Readers, Shown, parse
from gentrainers.data.npy import NpyWriter
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.spool import Reader
from gentrainers.errors import JobError

Pixels = NDArray[np.uint8]  # [height, width, channels]
Side = Annotated[int, Field(ge=1, le=4096)]

DECODERS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
FILTER = Image.Resampling.LANCZOS
BATCH = 256
SHOWN = 64
HASH_SIDE = 32
HASH_KEEP = 8
PICTURE_BYTES = 400_000


class Options(Wire):
    """Size None keeps the size that all pictures share."""

    size: Side | tuple[Side, Side] | None = None  # one side, or (height, width)
    channels: Literal[1, 3] | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    max_pixels: int = Field(64_000_000, ge=1)


class Images(Format[Pixels]):
    """See the module."""

    name: ClassVar[str] = "images"
    suffixes: ClassVar[frozenset[str]] = frozenset(
        {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
    )
    near_method: ClassVar[str] = "hamming"
    near_threshold: ClassVar[float] = 60 / 64
    copy_threshold: ClassVar[float] = 1.0  # tiny pictures of one kind are alike within a few bits

    def __init__(self, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> None:
        super().__init__(options, columns, key)
        self.options = parse(Options, options)
        self._shape: tuple[int, ...] | None = None
        self._first = ""

    def read(self, blob: Blob) -> Iterator[Sample]:
        """Decode one file."""
        try:
            with warnings.catch_warnings(), Image.open(blob.path, formats=DECODERS) as image:
                warnings.simplefilter("ignore")
                yield self._sample(image, blob.name)
        except UnidentifiedImageError:
            raise Reject(
                blob.name, "is not a picture that can be read (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM)"
            ) from None
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise Reject(blob.name, f"is a damaged picture ({error})") from None

    def row(self, row: Mapping[str, Any], where: str) -> Sample:
        """Take the picture, label and caption of a record."""
        image = next((v for v in row.values() if isinstance(v, Image.Image)), None)
        if image is None:
            raise Reject(where, f"has no picture; its fields are {', '.join(sorted(row))}", "schema")
        sample = self._sample(image, where)
        label, caption = row.get("label"), row.get("caption", row.get("text"))
        sample.label = None if label is None else str(label)
        sample.caption = None if caption is None else str(caption)
        return sample

    def admit(self, sample: Sample) -> Sample:
        """Bring an array into the asked size."""
        return self._keep(Image.fromarray(sample.value.squeeze()), sample, self.options.channels)

    def _sample(self, image: Image.Image, where: str) -> Sample:
        width, height = image.size
        if width * height > self.options.max_pixels:
            raise Reject(where, f"has {width}x{height} pixels, options.maxPixels is {self.options.max_pixels}")
        facts = {"width": float(width), "height": float(height)}
        upright = ImageOps.exif_transpose(_eight_bits(image))
        return self._keep(upright, Sample(None, where, facts=facts), self.options.channels or 3)

    def _keep(self, image: Image.Image, sample: Sample, channels: int | None) -> Sample:
        if channels:
            image = _on_white(image).convert("L" if channels == 1 else "RGB")
        resized = self._resize(image)
        value = np.asarray(resized, np.uint8).reshape(resized.height, resized.width, -1)
        self._same_shape(value.shape, sample.where)
        sample.value = value
        sample.facts = sample.facts or {"width": float(image.width), "height": float(image.height)}
        return sample

    def _resize(self, image: Image.Image) -> Image.Image:
        size = self.options.size
        if size is None:
            return image
        height, width = (size, size) if isinstance(size, int) else size
        if image.size == (width, height):
            return image
        if self.options.fit == "crop":
            return ImageOps.fit(image, (width, height), FILTER)
        if self.options.fit == "pad":
            return ImageOps.pad(image, (width, height), FILTER, color="white")
        return image.resize((width, height), FILTER)

    def _same_shape(self, shape: tuple[int, ...], where: str) -> None:
        self._shape, self._first = (self._shape or shape), (self._first or where)
        if shape != self._shape:
            sizes = f"{where} is {_by(shape)} and {self._first} is {_by(self._shape)}"
            raise JobError(Code.BAD_DATA, f"{sizes}; set options.size so that all become one size")

    def dump(self, value: Pixels) -> bytes:
        """Encode shape and pixels."""
        return np.array(value.shape, "<u2").tobytes() + value.tobytes()

    def load(self, data: bytes) -> Pixels:
        """Undo `dump`."""
        height, width, channels = np.frombuffer(data, "<u2", 3).tolist()
        return np.frombuffer(data, np.uint8, offset=6).reshape(height, width, channels)

    def measure(self, value: Pixels) -> dict[str, float]:
        """Return brightness, contrast (standard deviation) and entropy in bits, by integer sums: equal anywhere."""
        return measure(value)

    def sketch(self, values: Sequence[Pixels]) -> NDArray[np.uint64]:
        """Hash each picture: [n, 1]."""
        return np.array([[perceptual_hash(v)] for v in values], np.uint64)

    def write(self, folder: Path, splits: Readers[Pixels]) -> dict[str, Any]:
        """Write `x.npy`, `y.npy` and `captions.json`."""
        classes = next(iter(splits.values())).table.label_names
        shape = self._shape or (0, 0, 0)
        for name, reader in splits.items():
            _write_pixels(folder / name / "x.npy", reader, shape)
            if classes:
                with NpyWriter(folder / name / "y.npy", np.int64) as y:
                    y.append(reader.labels())
        height, width, channels = shape
        return {"image": {"height": height, "width": width, "channels": channels, "classes": classes}}

    def show(self, reader: Reader[Pixels]) -> Shown:
        """Lay the first samples out in a grid."""
        each = math.prod(self._shape or (1,)) * (3 if (self._shape or (0, 0, 3))[2] == 1 else 1)
        count = min(len(reader), SHOWN, max(1, PICTURE_BYTES // each))
        return Shown(picture=grid([reader.value(i) for i in range(count)])) if count else Shown()


def measure(value: Pixels) -> dict[str, float]:
    """Measure one picture; see Images.measure. A served model's outputs are measured by the same function."""
    counts = np.bincount(value.ravel(), minlength=256).astype(np.int64)
    levels = np.arange(256)
    total = int(counts.sum())
    mean = int((counts * levels).sum()) / total
    square = int((counts * levels * levels).sum()) / total
    shares = counts[counts > 0] / total
    entropy = -math.fsum(float(s) * math.log2(s) for s in shares)
    return {"brightness": mean, "contrast": math.sqrt(max(square - mean * mean, 0)), "entropy": abs(entropy)}


def perceptual_hash(value: Pixels) -> int:
    """Hash a picture to 64 bits: the signs, about their median, of its lowest DCT-II frequencies.

    Small changes of light, size or compression change few bits. A picture of one colour hashes to its brightness.
    """
    grey = Image.fromarray(value.squeeze()).convert("L").resize((HASH_SIDE, HASH_SIDE), FILTER)
    low = _dct_low(np.asarray(grey).astype(np.int64))
    if not low.ravel()[1:].any():
        return int(low[0, 0]) & 0xFFFF_FFFF
    median = int(np.sort(low.ravel()[1:])[31])
    bits = (low > median).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _dct_low(grey: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 8x8 lowest frequencies of a 32x32 picture in whole numbers, so that the bits are equal anywhere."""
    found: NDArray[np.int64] = np.right_shift(_COSINES @ grey @ _COSINES.T, 20)
    return found


def _cosines() -> NDArray[np.int64]:
    waves = [
        [math.cos(math.pi * (2 * x + 1) * u / (2 * HASH_SIDE)) for x in range(HASH_SIDE)] for u in range(HASH_KEEP)
    ]
    scaled: NDArray[np.int64] = np.rint(np.array(waves) * (1 << 14)).astype(np.int64)
    return scaled


_COSINES = _cosines()


def grid(values: Sequence[Pixels]) -> Pixels:
    """Lay pictures out in a near-square grid [height, width, 3], a white line between them."""
    across = math.ceil(math.sqrt(len(values)))
    height, width, _ = values[0].shape
    down = math.ceil(len(values) / across)
    canvas = np.full((down * (height + 1) - 1, across * (width + 1) - 1, 3), 255, np.uint8)
    for number, value in enumerate(values):
        top, left = number // across * (height + 1), number % across * (width + 1)
        canvas[top : top + height, left : left + width] = value  # one channel spreads over three
    return canvas


def _write_pixels(path: Path, reader: Reader[Pixels], shape: tuple[int, ...]) -> None:
    with NpyWriter(path, np.uint8, shape) as x:
        for first in range(0, len(reader), BATCH):
            x.append(np.stack([reader.value(i) for i in range(first, min(first + BATCH, len(reader)))]))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring 16-bit grey to 8 by its high byte; Pillow would clip it."""
    if not image.mode.startswith("I"):
        image.load()
        return image
    tag = image.getexif()
    scaled = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    scaled.getexif().update(tag)
    return scaled


def _on_white(image: Image.Image) -> Image.Image:
    if not (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        return image
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
