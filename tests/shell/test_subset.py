"""When an object holds all that is wanted of it, and no field that is wanted no more."""

from typing import Any

from genops.core.names import APPLIED
from genops.shell.subset import contains, marked


def service(**selector: str) -> dict[str, Any]:
    return {"metadata": {"name": "front"}, "spec": {"selector": selector}}


def test_a_field_that_is_wanted_no_more_is_written_away() -> None:
    there = marked(service(app="front", version="a"))
    assert contains(there, marked(service(app="front", version="a")))
    assert contains(there, service(app="front")), "the fields alone would not tell"
    assert not contains(there, marked(service(app="front")))


def test_what_is_left_as_it_stands_is_not_written() -> None:
    there = marked(service(app="front"))
    there["metadata"]["resourceVersion"] = "7"
    there["spec"]["clusterIP"] = "10.0.0.1"
    assert marked(there) == there
    carried = {"metadata": {"name": "front", "annotations": {APPLIED: there["metadata"]["annotations"][APPLIED]}}}
    assert contains(there, marked(carried))
