"""How an exporter says that an engine cannot be built. Knows nothing else."""


class NotBuilt(Exception):
    """A runtime could not build this engine; the message says why, and what would help."""


def first_line(error: BaseException, limit: int = 300) -> str:
    """Name an error in one line for people."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:limit]
