"""The port: what the shell asks of a cluster. Two adapters keep it: kube.py on a real API server, fake.py in memory.

The same contract tests run against both. Plain dicts in, plain dicts out; faults are raised (errors.py).
"""

from collections.abc import Mapping
from typing import Any, Protocol

from genops.core.kinds import Kind
from genops.core.model import Manifest

FIELD_MANAGER = "genops"


class Cluster(Protocol):
    """A Kubernetes API, as far as the operator needs one."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Read one object; None where there is none."""

    async def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[list[Manifest], int]:
        """Read all objects of a kind, and the resource version of the whole list."""

    async def create(self, kind: Kind, body: Manifest) -> Manifest:
        """Create an object. Raises ApiError with `already_exists` where the name is taken."""

    async def replace(self, kind: Kind, body: Manifest) -> Manifest:
        """Replace an object. Raises ApiError with `conflict` where its resource version is not the newest."""

    async def apply(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the full intent by server-side apply as field manager `genops`, taking fields over."""

    async def apply_status(self, kind: Kind, body: Manifest) -> Manifest:
        """Apply the status by server-side apply on the subresource.

        Raises ApiError: `not_found` where the object has gone, `conflict` where a resource version that the body
        names is not the newest.
        """

    async def patch(self, kind: Kind, namespace: str, name: str, body: Any) -> Manifest:
        """Merge a patch into an object. Raises ApiError as `apply_status` does."""

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete the object of that uid, its dependents in the background; one that has gone is fine.

        One that carries finalizers is marked, and goes with the last of them.
        """

    async def log_tail(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """Read the last lines of a container's log; empty while there is none."""

    async def serves(self, kind: Kind) -> bool:
        """Say whether the cluster knows the kind."""
