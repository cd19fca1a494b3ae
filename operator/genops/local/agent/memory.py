"""Memory limits without control groups: add up what a sandbox's processes use, and say when it is too much."""

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def used_by_tree(root: int, proc: Path = Path("/proc")) -> int:
    """Return the resident bytes of a process and all below it, counting each once, shared pages included."""
    children = _children(proc)
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        total += _resident(proc, pid)
        todo += children.get(pid, [])
    return total


def _children(proc: Path) -> dict[int, list[int]]:
    result: dict[int, list[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            result.setdefault(_parent(entry), []).append(int(entry.name))
    return result


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _resident(proc: Path, pid: int) -> int:
    try:
        return int((proc / str(pid) / "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
