"""Tabular: CSV, JSON lines and Parquet to a float32 array, one column per declared or inferred column.

Numbers stay in their own units. A category is its rank among the sorted categories of train, -1 for one that train has
not; a missing value is NaN. String columns are checked and kept out of the array.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gencontract.codes import Code
from gencontract.task import Column, Wire
from gencontract.wire import canonical
from gentrainers.data import rows
from gentrainers.data.formats.base import Format, Readers, Shown, parse, samples
from gentrainers.data.npy import NpyWriter, blocks
from gentrainers.data.sample import Blob, Reject, Sample
from gentrainers.data.spool import Reader
from gentrainers.errors import JobError

Cells = list[Any]  # one per column: float, str or None
BATCH = 4096
INFER_ROWS = 1000
SHOWN = 8
TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0}
LARGEST = float(np.finfo(np.float32).max)  # a larger number would be stored as infinity
MISSING = ("", "na", "n/a", "nan", "null", "none")


class Options(Wire):
    """`maxCategories` bounds how many distinct texts an inferred column may have and still be a category."""

    max_categories: int = Field(50, ge=1, le=100_000)
    label: str | None = None  # a column whose value is the class of the row
    license_column: str | None = None


class Tabular(Format[Cells]):
    """See the module."""

    name: ClassVar[str] = "tabular"
    suffixes: ClassVar[frozenset[str]] = rows.SUFFIXES
    near_method: ClassVar[str] = ""

    def __init__(self, options: Mapping[str, Any], columns: Sequence[Column] = (), key: str | None = None) -> None:
        super().__init__(options, columns, key)
        self.options = parse(Options, options)
        names = [c.name for c in self.columns]
        if len(set(names)) < len(names):
            raise JobError(Code.BAD_CONFIG, f"columns: a name stands twice in {', '.join(names)}")

    def read(self, blob: Blob) -> Iterator[Sample | Reject]:
        """Read all rows of a file."""
        if not self.columns:
            self.columns = infer(blob, self.options.max_categories)
        self._check_header(blob)
        yield from samples(rows.read(blob), self.row)

    def _check_header(self, blob: Blob) -> None:
        """Find a column that is missing before reading millions of rows."""
        first = _first_rows(blob, 1)[0]
        have = sorted(first)
        asked = [c.name for c in self.columns if c.required]
        asked += [c for c in (self.options.label, self.options.license_column, self.key) if c]
        if gone := [c for c in asked if c not in have]:
            raise JobError(Code.BAD_DATA, f"{blob.name} has no column {', '.join(gone)}; it has {', '.join(have)}")

    def row(self, row: Mapping[str, Any], where: str) -> Sample:
        """Check one row against the columns."""
        cells = [_cell(row.get(c.name), c, where) for c in self.columns]
        beside = (self.options.label, self.options.license_column, self.key)
        label, license_, key = (None if c is None or row.get(c) is None else str(row[c]) for c in beside)
        return Sample(cells, where, label=label, license=license_, key=key)

    def dump(self, value: Cells) -> bytes:
        """Encode as canonical JSON."""
        return canonical(value)

    def load(self, data: bytes) -> Cells:
        """Undo `dump`."""
        return list(json.loads(data))

    def map_text(self, value: Cells, change: Callable[[str], str]) -> Cells:
        """Change every text cell."""
        return [change(c) if isinstance(c, str) else c for c in value]

    def measure(self, value: Cells) -> dict[str, float]:
        """Return each number column under its name, NaN where missing."""
        pairs = zip(self.columns, value, strict=True)
        return {_name(c): math.nan if v is None else v for c, v in pairs if c.type in ("number", "integer", "boolean")}

    def write(self, folder: Path, splits: Readers[Cells]) -> dict[str, Any]:
        """Write `x.npy` per split, `y.npy` where a label is named, and `columns.json` fitted on train."""
        kept = [(i, c) for i, c in enumerate(self.columns) if c.type != "string"]
        if not kept:
            raise JobError(Code.BAD_DATA, "columns: all are strings, which cannot be written as numbers; declare types")
        ranks = _categories(splits["train"], kept)
        for name, reader in splits.items():
            _write_rows(folder / name, reader, kept, ranks)
        fitted = [_fit(folder / "train" / "x.npy", j, c, ranks.get(i)) for j, (i, c) in enumerate(kept)]
        (folder / "columns.json").write_bytes(canonical(fitted))
        names = next(iter(splits.values())).table.label_names
        return {"columns": [{"name": _name(c), "type": c.type} for _, c in kept], "classes": names}

    def tallies(self, folder: Path) -> dict[str, dict[str, int]]:
        """Count the categories of train."""
        fitted = json.loads((folder / "columns.json").read_text())
        kept = [(j, c["name"], c["categories"]) for j, c in enumerate(fitted) if c.get("categories") is not None]
        return {name: _count(_column(folder / "train" / "x.npy", j), names) for j, name, names in kept}

    def show(self, reader: Reader[Cells]) -> Shown:
        """Quote a few rows."""
        names = [_name(c) for c in self.columns]
        rows_ = [dict(zip(names, reader.value(i), strict=True)) for i in range(min(SHOWN, len(reader)))]
        return Shown(texts=[json.dumps(r, ensure_ascii=False) for r in rows_])


def _name(column: Column) -> str:
    return column.map_to or column.name


def _cell(value: Any, column: Column, where: str) -> float | str | None:
    """Check and convert one cell. Raises Reject(schema) that names place, column, value and type."""
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        if column.required:
            raise Reject(f"{where}, column {column.name!r}", "is empty and the column is required", "schema")
        return None
    try:
        return _convert(value, column.type)
    except (ValueError, TypeError, OverflowError):
        shown = str(value)[:60]
        raise Reject(f"{where}, column {column.name!r}", f"{shown!r} is not of type {column.type}", "schema") from None


def _convert(value: Any, kind: str) -> float | str:
    if kind in ("string", "category"):
        return str(value)
    if kind == "boolean":
        return TRUTH[str(value).strip().lower()] if str(value).strip().lower() in TRUTH else _fail(value)
    number = float(value)
    if not abs(number) <= LARGEST or (kind == "integer" and not number.is_integer()):
        return _fail(value)
    return number


def _fail(value: Any) -> float:
    raise ValueError(value)


def infer(blob: Blob, most: int) -> list[Column]:
    """Guess the columns from the first rows of one file: the narrowest type that fits all of them."""
    found = _first_rows(blob, INFER_ROWS)
    return [_guess(name, [row.get(name) for row in found], most) for name in found[0]]


def _first_rows(blob: Blob, count: int) -> list[rows.Row]:
    whole = (row for _, row in rows.read(blob) if not isinstance(row, Reject))
    found = list(itertools.islice(whole, count))
    if not found:
        raise Reject(blob.name, "has no rows that can be read")
    return found


def _guess(name: str, values: Sequence[Any], most: int) -> Column:
    full = [v for v in values if v is not None and str(v).strip().lower() not in MISSING]
    required = len(full) == len(values)
    for kind in ("boolean", "integer", "number"):
        if full and all(_fits(v, kind) for v in full) and not (kind == "boolean" and _numeric(full)):
            return Column(name=name, type=kind, required=required)
    kind = "category" if len({str(v) for v in full}) <= min(most, max(2, len(full) // 2)) else "string"
    return Column(name=name, type=kind, required=required)


def _numeric(values: Sequence[Any]) -> bool:
    return all(str(v).strip() in ("0", "1") for v in values)


def _fits(value: Any, kind: str) -> bool:
    try:
        _convert(value, kind)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _categories(train: Reader[Cells], kept: Sequence[tuple[int, Column]]) -> dict[int, dict[str, int]]:
    """Rank the sorted categories of train, by column position."""
    seen: dict[int, set[str]] = {i: set() for i, c in kept if c.type == "category"}
    if seen:
        for cells in train:
            for i, values in seen.items():
                values.add(cells[i]) if cells[i] is not None else None
    return {i: {value: rank for rank, value in enumerate(sorted(values))} for i, values in seen.items()}


def _write_rows(
    folder: Path, reader: Reader[Cells], kept: Sequence[tuple[int, Column]], ranks: Mapping[int, Mapping[str, int]]
) -> None:
    with NpyWriter(folder / "x.npy", np.float32, (len(kept),)) as x:
        for first in range(0, len(reader), BATCH):
            batch = (reader.value(i) for i in range(first, min(first + BATCH, len(reader))))
            x.append(np.array([[_number(cells[i], ranks.get(i)) for i, _ in kept] for cells in batch], np.float32))
    if reader.table.label_names:
        with NpyWriter(folder / "y.npy", np.int64) as y:
            y.append(reader.labels())


def _number(cell: float | str | None, ranks: Mapping[str, int] | None) -> float:
    if cell is None:
        return math.nan
    return float(ranks.get(str(cell), -1)) if ranks is not None else float(cell)


def _fit(path: Path, position: int, column: Column, ranks: Mapping[str, int] | None) -> dict[str, Any]:
    """Describe one column of train: mean and scale by exactly rounded sums, or the categories in order."""
    about: dict[str, Any] = {"name": _name(column), "type": column.type}
    if ranks is not None:
        return {**about, "categories": list(ranks)}
    values = _column(path, position).astype(np.float64)
    full = values[~np.isnan(values)]
    mean = math.fsum(full) / max(len(full), 1)
    scale = math.sqrt(math.fsum((full - mean) ** 2) / max(len(full), 1))
    return {**about, "mean": mean, "scale": scale or 1.0, "missing": int(len(values) - len(full))}


def _column(path: Path, position: int) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *(rows_[:, position] for rows_ in blocks(path))])


def _count(codes: NDArray[np.float32], categories: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(codes[codes >= 0].astype(np.int64), minlength=len(categories))
    return {name: int(n) for name, n in zip(categories, counts, strict=True)}
