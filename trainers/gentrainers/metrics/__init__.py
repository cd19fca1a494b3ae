"""Metrics: one per file, each with a `METRIC` that says what it is; the listing of this folder is the registry.

Adding a metric is adding a file. What metrics share is in `kit/`. A metric sees a bench: it must not know of tasks,
gates, artifacts or pods.
"""

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.metrics.kit.metric import Metric


@cache
def all_metrics() -> dict[str, Metric]:
    """Return every metric by name, sorted by name."""
    files = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    found = [import_module(f"{__name__}.{stem}").METRIC for stem in files]
    return {m.name: m for m in sorted(found, key=lambda m: m.name)}


def find(name: str, where: str = "metrics") -> Metric:
    """Find a metric by name. Raises JobError that names the closest one and lists what there is."""
    known = all_metrics()
    if name in known:
        return known[name]
    if name == "custom":
        raise JobError(
            Code.UNSUPPORTED, f"{where}.name = 'custom' is measured by an image of your own, not by this one"
        )
    close = get_close_matches(name.lower(), [k.lower() for k in known], n=1)
    hint = "".join(f"; did you mean {k}?" for k in known if [k.lower()] == close)
    raise JobError(Code.BAD_CONFIG, f"{where}.name = {name!r} is not a metric{hint} Known: {', '.join(known)}")
