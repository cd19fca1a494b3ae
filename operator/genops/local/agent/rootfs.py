"""The file tree a sandbox sees: the host's own, read-only, with things hidden and things mounted.

bubblewrap cannot make a mount point below a read-only folder. So the root is an empty tmpfs, every entry of the host's
root is bound into it by itself, and a folder that lacks a needed mount point is opened up the same way.
Pure but for reading the names in the host's folders.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, Protocol

Kind = Literal["bind", "mask", "dir"]
# proc and dev come from the kernel; the others hold what belongs to people or to other programs.
FRESH = ("/proc", "/dev")
MASKED = ("/root", "/home", "/run", "/mnt", "/media", "/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet")
NULLED = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-")


@dataclass(frozen=True)
class Point:
    """Something that stands at a path of the sandbox other than what the host has there."""

    target: str
    kind: Kind = "bind"
    source: str = ""
    read_only: bool = True


class Host(Protocol):
    """The host's file tree, as far as its names matter."""

    def names(self, path: str) -> list[str]:
        """List a folder; empty for anything else."""

    def exists(self, path: str) -> bool:
        """Say whether something is there."""

    def link(self, path: str) -> str | None:
        """Return what a symbolic link says, or nothing."""

    def real(self, path: str) -> str:
        """Resolve the links in a path, as far as it exists."""


class RealHost:
    """The machine's own file tree."""

    def names(self, path: str) -> list[str]:
        """List a folder; empty for anything else."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Say whether something is there."""
        return os.path.lexists(path)

    def link(self, path: str) -> str | None:
        """Return what a symbolic link says, or nothing."""
        return os.readlink(path) if os.path.islink(path) else None

    def real(self, path: str) -> str:
        """Resolve the links in a path, as far as it exists."""
        return os.path.realpath(path)


@dataclass
class _Tree:
    point: Point | None = None
    children: dict[str, "_Tree"] = field(default_factory=dict)


def arguments(points: Iterable[Point], host: Host) -> list[str]:
    """Return bubblewrap's arguments that build the tree. Later points win over earlier ones at the same path."""
    masks = [Point(path, "mask") for path in MASKED if host.exists(path) and host.link(path) is None]
    nulls = [Point(path, "bind", "/dev/null") for path in NULLED if host.exists(path)]
    settled = _settled([*masks, *nulls, *points], host)
    tree = _tree(settled.values())
    return ["--tmpfs", "/", *_opened("/", tree, host), *_closed(settled.values()), "--remount-ro", "/"]


def _settled(points: list[Point], host: Host) -> dict[str, Point]:
    """Resolve links in targets, since a mount lands where the link leads."""
    hidden = [point.target for point in points if point.kind == "mask"]
    result = {}
    for point in points:
        target = _resolved(point.target, hidden, host)
        result[target] = Point(target, point.kind, point.source, point.read_only)
    return result


def _resolved(target: str, hidden: list[str], host: Host) -> str:
    clean = os.path.normpath("/" + target.lstrip("/"))
    covered = any(clean.startswith(f"{path}/") for path in (*hidden, "/tmp", *FRESH))
    return clean if covered else host.real(clean)


def _tree(points: Iterable[Point]) -> _Tree:
    root = _Tree()
    for point in points:
        place = root
        for part in PurePosixPath(point.target).parts[1:]:
            place = place.children.setdefault(part, _Tree())
        place.point = point
    return root


def _opened(path: str, tree: _Tree, host: Host) -> Iterator[str]:
    """Show every entry of a host folder by itself, with the points that stand among and below them."""
    for name in host.names(path):
        child = os.path.join(path, name)
        if name not in tree.children and child not in FRESH:
            yield from _shown(child, host)
    if path == "/":
        yield from ("--proc", "/proc", "--dev", "/dev")
    for name, below in tree.children.items():
        yield from _placed(os.path.join(path, name), below, host)


def _placed(path: str, tree: _Tree, host: Host) -> Iterator[str]:
    if tree.point is not None:
        yield from _point(tree.point)
        yield from _beneath(path, tree)
    elif path in FRESH or not host.exists(path):
        yield from _beneath(path, tree)
    elif all(host.exists(os.path.join(path, name)) for name in tree.children):
        yield from ("--ro-bind", path, path)
        for name, below in tree.children.items():
            yield from _placed_over(os.path.join(path, name), below, host)
    else:
        yield from ("--dir", path)
        yield from _opened(path, tree, host)


def _placed_over(path: str, tree: _Tree, host: Host) -> Iterator[str]:
    """Place points in a folder whose parent is already bound as a whole."""
    if tree.point is not None:
        yield from _point(tree.point)
        yield from _beneath(path, tree)
    elif all(host.exists(os.path.join(path, name)) for name in tree.children):
        for name, below in tree.children.items():
            yield from _placed_over(os.path.join(path, name), below, host)
    else:
        yield from ("--tmpfs", path)
        yield from _opened(path, tree, host)
        yield from ("--remount-ro", path)


def _beneath(path: str, tree: _Tree) -> Iterator[str]:
    """Place points below one that has been placed: bubblewrap makes the folders on the way."""
    for name, below in tree.children.items():
        child = os.path.join(path, name)
        if below.point is not None:
            yield from _point(below.point)
        yield from _beneath(child, below)


def _point(point: Point) -> tuple[str, ...]:
    if point.kind == "mask":
        return ("--tmpfs", point.target)
    if point.kind == "dir":
        return ("--dir", point.target)
    return ("--ro-bind" if point.read_only else "--bind", point.source, point.target)


def _closed(points: Iterable[Point]) -> Iterator[str]:
    for point in points:
        if point.kind == "mask":
            yield from ("--remount-ro", point.target)


def _shown(path: str, host: Host) -> tuple[str, ...]:
    link = host.link(path)
    return ("--symlink", link, path) if link is not None else ("--ro-bind", path, path)
