"""Clients of a model that a place serves, and how Prometheus finds its servers."""

from collections.abc import Sequence

from places import Place

from genops.demo import traffic


def targets(place: Place) -> str:
    """List the server pods of a place for Prometheus."""
    return traffic.targets(place.list("pods", "-l", "genops.dev/role=serve"), place.name)


class Traffic(traffic.Traffic):
    """A client of the Service of a GenDeployment."""

    def __init__(self, place: Place, name: str, wanted: Sequence[int]) -> None:
        address = place.get("service", f"{name}-serve")["spec"]["clusterIP"]
        super().__init__(f"http://{address}:8000/v2/models/{name}/infer", wanted)
