"""Limits on memory and CPU by control groups, version 1 or 2, where the machine lets us make some.

Where it does not, `None` is returned and the caller watches memory by other means. Knows the kernel's files only.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds over which CPU time is shared out


@dataclass(frozen=True)
class Parent:
    """Where groups may be made: one folder for memory and one for CPU, the same one under version 2."""

    version: int
    memory: Path
    cpu: Path | None

    @property
    def folders(self) -> list[Path]:
        """The folders in which groups are made."""
        return sorted({self.memory, self.cpu or self.memory})


@dataclass(frozen=True)
class Group:
    """The control group of one container."""

    parent: Parent
    name: str

    @property
    def folders(self) -> list[Path]:
        """The folders that make up the group."""
        return [folder / self.name for folder in self.parent.folders]

    @property
    def entries(self) -> list[str]:
        """The files that a process writes its number to."""
        return [str(folder / "cgroup.procs") for folder in self.folders]

    def kills(self) -> int:
        """Return how many processes of the group were killed for want of memory."""
        file = "memory.events" if self.parent.version == 2 else "memory.oom_control"
        lines = _read(self.parent.memory / self.name / file).splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def remove(self) -> None:
        """Remove the group; the kernel refuses while something runs in it."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()


def find_parent(tag: str) -> Parent | None:
    """Make a folder of our own where the machine lets us, or return nothing."""
    mine = _own_groups()
    if "memory" in mine:
        memory = _made(_visible(ROOT / "memory", mine["memory"]) / tag, "memory.limit_in_bytes")
        cpu = _made(_visible(ROOT / "cpu", mine.get("cpu", "/")) / tag, "cpu.cfs_quota_us")
        return Parent(1, memory, cpu) if memory else None
    start = ROOT / mine.get("", "/").lstrip("/")
    for folder in (start, *start.parents):
        made = _made(folder / tag, "memory.max") if folder.is_relative_to(ROOT) else None
        if made and _write(made / "cgroup.subtree_control", "+memory"):
            cpu = made if _write(made / "cgroup.subtree_control", "+cpu") else None
            return Parent(2, made, cpu)
    return None


def create(parent: Parent, name: str, memory: int | None, cpus: float | None) -> Group:
    """Make a group with limits. Raises OSError where the kernel refuses."""
    group = Group(parent, name)
    for folder in group.folders:
        folder.mkdir(exist_ok=True)
    if memory:
        _limit_memory(parent.memory / name, parent.version, memory)
    if cpus and parent.cpu:
        _limit_cpu(parent.cpu / name, parent.version, cpus)
    return group


def remember(parent: Parent, file: Path) -> None:
    """Write down where groups are made, for whoever cleans up after a killed agent."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{folder}\n" for folder in parent.folders))


def clean_up(file: Path) -> None:
    """Remove the groups that were written down, and their folders; the kernel refuses where something still runs."""
    for folder in map(Path, _read(file).splitlines()):
        for group in (*(child for child in folder.glob("*") if child.is_dir()), folder):
            with suppress(OSError):
                group.rmdir()
    file.unlink(missing_ok=True)


def _limit_memory(folder: Path, version: int, limit: int) -> None:
    if version == 2:
        (folder / "memory.max").write_text(str(limit))
        _write(folder / "memory.swap.max", "0")
        _write(folder / "memory.oom.group", "1")
        return
    (folder / "memory.limit_in_bytes").write_text(str(limit))
    _write(folder / "memory.memsw.limit_in_bytes", str(limit))


def _limit_cpu(folder: Path, version: int, cpus: float) -> None:
    quota = max(1000, int(cpus * PERIOD))
    if version == 2:
        _write(folder / "cpu.max", f"{quota} {PERIOD}")
    else:
        _write(folder / "cpu.cfs_quota_us", str(quota))


def _own_groups() -> dict[str, str]:
    """Read our own groups: controller to path under version 1, an empty name to path under version 2."""
    result = {}
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        result.update(dict.fromkeys(controllers.split(","), path))
    return result


def _visible(mount: Path, own: str) -> Path:
    """Return our own group's folder, or the mount itself where a container hides it."""
    folder = mount / own.lstrip("/")
    return folder if folder.is_dir() else mount


def _made(folder: Path, proof: str) -> Path | None:
    """Make a folder; it is worth something only if the kernel put the controller's file into it."""
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
        if os.access(folder / proof, os.W_OK):
            return folder
        folder.rmdir()
    return None


def _write(file: Path, text: str) -> bool:
    try:
        file.write_text(text)
    except OSError:
        return False
    return True


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
