"""What a run tells of itself as it goes: history.jsonl and TensorBoard event files, beside its checkpoints.

Adds up losses on the device and reads them only when a row is due. Knows numbers by name, nothing of their meaning.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HISTORY = "history.jsonl"
Unwritten = dict[str, tuple[float, int]]  # by name: a sum, and of how many


class Journal:
    """Rows of numbers by step. `folder` is None where nothing is to be written (remote stores, other processes)."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._sums: dict[str, Tensor] = {}
        self._count: dict[str, int] = {}
        self._board: Any = None

    def open(self, step: int) -> None:
        """Go on from a step: rows after it are dropped, since they will come again."""
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.rows = _read(self.folder / HISTORY)
            self._board = _board(self.folder / "tensorboard", step)
        self.rewind(step)

    def add(self, turn: str, terms: Mapping[str, Tensor]) -> None:
        """Take in the terms of one loss."""
        for name, value in terms.items():
            key = name if turn == "model" else f"{turn}.{name}"
            before = self._sums.get(key)
            self._sums[key] = value.detach() if before is None else before + value.detach()
            self._count[key] = self._count.get(key, 0) + 1

    def row(self, step: int, lr: float, agreed: Callable[[Tensor], Tensor]) -> None:
        """Write the means since the last row, `agreed` upon by all processes."""
        means: dict[str, float] = {}
        if self._sums:
            each = torch.stack([total / self._count[name] for name, total in self._sums.items()])
            means = dict(zip(self._sums, agreed(each).tolist(), strict=True))
        self._sums, self._count = {}, {}
        self.note(step, {**means, "lr": lr})

    def unwritten(self) -> Unwritten:
        """Return what was added since the last row: part of a run's state, since a row may span a stop."""
        pairs = {name: (float(total), self._count[name]) for name, total in self._sums.items()}
        return {name: pair for name, pair in pairs.items() if math.isfinite(pair[0])}

    def take_up(self, unwritten: Unwritten) -> None:
        """Go on from what was added since the last row."""
        self._sums = {name: torch.tensor(total) for name, (total, _) in unwritten.items()}
        self._count = {name: count for name, (_, count) in unwritten.items()}

    def note(self, step: int, numbers: dict[str, float]) -> None:
        """Write a row."""
        row = {"step": step, **{name: float(f"{value:.6g}") for name, value in numbers.items()}}
        self.rows.append(row)
        if not self.folder:
            return
        with (self.folder / HISTORY).open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)

    def latest(self) -> dict[str, float]:
        """Return the newest value of each number, and the loss that the terms add up to."""
        out: dict[str, float] = {}
        for row in self.rows[-20:]:
            out |= {name: value for name, value in row.items() if name != "step"}
        terms = [out[name] for name in self._count or out if name in out and name != "lr" and "." not in name]
        return out | ({"loss": sum(terms)} if terms and "loss" not in out else {})

    def rewind(self, step: int) -> None:
        """Forget what came after a step."""
        self.rows = [row for row in self.rows if row["step"] <= step]
        self._sums, self._count = {}, {}
        if self.folder:
            temporary = self.folder / (HISTORY + ".tmp")
            temporary.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
            temporary.rename(self.folder / HISTORY)

    def close(self) -> None:
        if self._board:
            self._board.close()


def _read(path: Path) -> list[dict[str, Any]]:
    """Read rows; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _board(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and only a training run needs it

    return SummaryWriter(str(folder), purge_step=step or None, flush_secs=30)
