"""Read files of records row by row: CSV, JSON lines, Parquet. Each row comes with the place it stands at.

Knows files of records; must not know what the columns mean.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gentrainers.data.sample import Blob, Reject

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
BATCH = 1024
FIELD_LIMIT = 16 << 20  # characters in one CSV field
csv.field_size_limit(FIELD_LIMIT)

Row = dict[str, Any]


def read(blob: Blob, columns: list[str] | None = None) -> Iterator[tuple[str, Row | Reject]]:
    """Yield (where, row) for each record; a damaged one comes as Reject, and reading goes on after it.

    Raises Reject where the file as a whole is not what its name says.
    """
    suffix = Path(blob.name).suffix.lower()
    if suffix == ".parquet":
        return _parquet(blob, columns)
    return _jsonl(blob) if suffix in (".jsonl", ".ndjson") else _csv(blob, "\t" if suffix == ".tsv" else ",")


def _jsonl(blob: Blob) -> Iterator[tuple[str, Row | Reject]]:
    with blob.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{blob.name} line {number}"
                yield where, _object(line, where)


def _object(line: bytes, where: str) -> Row | Reject:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Reject(where, f"is not JSON ({error})", "schema")
    if not isinstance(found, dict):
        return Reject(where, f"is a JSON {type(found).__name__}, wanted is one object per line", "schema")
    return found


def _csv(blob: Blob, delimiter: str) -> Iterator[tuple[str, Row | Reject]]:
    with blob.path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, strict=True)
        try:
            _check_names(list(reader.fieldnames or ()), blob)
            for row in reader:
                where = f"{blob.name} line {reader.line_num}"
                yield where, _whole(row, where)
        except UnicodeDecodeError as error:
            raise Reject(blob.name, f"is not UTF-8 text at byte {error.start} of a block") from None
        except csv.Error as error:
            raise Reject(f"{blob.name} line {reader.line_num}", f"is not CSV ({error})") from None


def _check_names(names: list[str], blob: Blob) -> None:
    if not names:
        raise Reject(blob.name, "is empty")
    if len(set(names)) < len(names):
        raise Reject(f"{blob.name} line 1", "names a column twice")


def _whole(row: Row, where: str) -> Row | Reject:
    if None in row or None in row.values():
        return Reject(where, "has more or fewer fields than line 1 names", "schema")
    return row


def _parquet(blob: Blob, columns: list[str] | None) -> Iterator[tuple[str, Row | Reject]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(blob.path, pre_buffer=False) as file:
            wanted = [c for c in columns if c in file.schema_arrow.names] if columns else None
            number = 0
            for batch in file.iter_batches(BATCH, columns=wanted, use_threads=False):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{blob.name} row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise Reject(blob.name, f"is not a Parquet file that can be read ({str(error).splitlines()[0]})") from None
