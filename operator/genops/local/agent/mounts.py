"""Turns a container's volumeMounts into points of its file tree. Reads and makes folders inside volumes only."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from genops.local.agent.environment import ConfigError
from genops.local.agent.expansion import expand
from genops.local.agent.facts import Json
from genops.local.agent.rootfs import Point
from genops.local.agent.volumes import Volume


def points(container: Json, volumes: Mapping[str, Volume], env: Mapping[str, str]) -> list[Point]:
    """Return the mounts of a container, outer before inner. Raises ConfigError for one that cannot be."""
    mounts = sorted(container.get("volumeMounts", []), key=lambda mount: str(mount["mountPath"]))
    placed = [_point(mount, volumes, env) for mount in mounts]
    for outer in placed:
        _make_inner_points(outer, placed)
    return placed


def _point(mount: Json, volumes: Mapping[str, Volume], env: Mapping[str, str]) -> Point:
    volume = volumes[mount["name"]]
    below = mount.get("subPath") or expand(mount.get("subPathExpr", ""), env)
    source = inside(volume.path, below) if below else volume.path
    return Point(mount["mountPath"], "bind", str(source), volume.read_only or bool(mount.get("readOnly")))


def inside(base: Path, below: str) -> Path:
    """Return a path within a volume, made as a folder where nothing is. Raises ConfigError where it leads out."""
    path = Path(os.path.realpath(base / below))
    if os.path.isabs(below) or ".." in below.split("/") or not path.is_relative_to(os.path.realpath(base)):
        raise ConfigError(f'subPath "{below}" leaves its volume')
    if not path.exists():
        path.mkdir(parents=True)
    return path


def _make_inner_points(outer: Point, placed: Iterable[Point]) -> None:
    """Make the mount points that lie inside this mount, which may be mounted read-only."""
    for inner in placed:
        below = os.path.relpath(inner.target, outer.target)
        if inner is not outer and not below.startswith("..") and os.path.isdir(outer.source):
            _make_like(Path(outer.source) / below, Path(inner.source))


def _make_like(path: Path, source: Path) -> None:
    if path.exists() or path.is_symlink():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if source.is_dir() else path.touch()
