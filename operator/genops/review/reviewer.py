"""One reviewer before the API server: who they are, what they may, what has been said, and giving a verdict.

All of it goes under the reviewer's own credentials. It must not know HTML or files.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genops.core.digest import short_hash
from genops.core.kinds import CLAIM, GEN_EVALUATION, GEN_VERDICT, Kind
from genops.core.model import Manifest
from genops.review.errors import ReviewError
from genops.shell.errors import ApiError
from genops.shell.kube import KubeApi

SELF = Kind("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
ACCESS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False)
VOLUME = Kind("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
FRESH_SECONDS = 10.0  # what others said may be so old
PAGE = "500"


@dataclass
class Reviewer:
    """A person who judges in one namespace, under `name`."""

    api: KubeApi
    name: str
    namespace: str
    shared: bool = False  # whether the connection is the page's own, and stays when they leave
    _said: dict[str, tuple[float, set[tuple[str, int]]]] = field(default_factory=dict)

    @classmethod
    async def known(cls, api: KubeApi, namespace: str) -> "Reviewer":
        """Ask the API server who the sender is, and whether they may judge. Raises ReviewError where not."""
        body = {"apiVersion": SELF.api_version, "kind": SELF.kind}
        name = str((await api.call("POST", SELF.path(), body=body))["status"]["userInfo"]["username"])
        for kind, verb in ((GEN_EVALUATION, "get"), (GEN_VERDICT, "list"), (GEN_VERDICT, "create")):
            if not await _may(api, kind, verb, namespace):
                raise ReviewError(f"{name} may not {verb} {kind.plural} in {namespace}; ask for that right", 403)
        return cls(api, name, namespace)

    async def waiting(self) -> list[Manifest]:
        """List the evaluations that wait for people."""
        found = await self.api.call("GET", GEN_EVALUATION.path(self.namespace))
        return [e for e in found["items"] if (e.get("status") or {}).get("phase") == "WaitingForHumans"]

    async def evaluation(self, name: str) -> Manifest:
        """Read an evaluation that people are asked about. Raises ReviewError for another."""
        found: Manifest = await self.api.call("GET", GEN_EVALUATION.path(self.namespace, name))
        if not found["spec"].get("human"):
            raise ReviewError(f"GenEvaluation {name} asks nobody: it has no spec.human", 404)
        if not (found.get("status") or {}).get("report"):
            raise ReviewError(f"GenEvaluation {name} is not measured yet; look again when it is WaitingForHumans")
        return found

    async def said(self, evaluation: str) -> set[tuple[str, int]]:
        """List who has judged which card."""
        known = self._said.get(evaluation)
        if known and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        query = {"limit": PAGE, "fieldSelector": f"spec.evaluationRef.name={evaluation}"}
        found: set[tuple[str, int]] = set()
        while True:
            page = await self.api.call("GET", GEN_VERDICT.path(self.namespace), query=query)
            found |= {(str(v["spec"].get("rater")), int(v["spec"]["pair"])) for v in page["items"]}
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        self._said[evaluation] = (time.monotonic(), found)
        return found

    async def judge(self, evaluation: Manifest, card: int, choice: str, comment: str) -> None:
        """Give a verdict. One that was given before stays as it is."""
        name = str(evaluation["metadata"]["name"])
        said = {"evaluationRef": {"name": name}, "rater": self.name, "pair": card, "choice": choice}
        identity = short_hash([evaluation["metadata"]["uid"], self.name, card], 16)
        body = {
            "apiVersion": GEN_VERDICT.api_version,
            "kind": GEN_VERDICT.kind,
            "metadata": {"name": f"{name[:40].rstrip('-')}-{identity}", "namespace": self.namespace},
            "spec": said | ({"comment": comment} if comment else {}),
        }
        try:
            await self.api.call("POST", GEN_VERDICT.path(self.namespace), body=body)
        except ApiError as error:
            if not error.already_exists:
                raise
        (await self.said(name)).add((self.name, card))

    async def folder(self, uri: str, stores: Mapping[str, Path]) -> Path:
        """Find pvc://<claim>/<folder> on this machine: where `stores` says, or in a volume that is a local folder."""
        claim, _, below = uri.removeprefix("pvc://").partition("/")
        if claim in stores:
            return stores[claim] / below
        try:
            volume = (await self.api.call("GET", CLAIM.path(self.namespace, claim)))["spec"].get("volumeName", "")
            spec = (await self.api.call("GET", VOLUME.path(None, volume)))["spec"]
        except ApiError as error:
            raise ReviewError(f"Claim {claim} cannot be found: {error.message}; {_mounted(claim)}") from None
        path = (spec.get("local") or spec.get("hostPath") or {}).get("path")
        if not path or not Path(path).is_dir():
            raise ReviewError(f"Claim {claim} is not on this machine; {_mounted(claim)}")
        return Path(path) / below


def _mounted(claim: str) -> str:
    return f"mount it and name the folder: genops review --store {claim}=FOLDER"


async def _may(api: KubeApi, kind: Kind, verb: str, namespace: str) -> bool:
    asked: dict[str, Any] = {"group": kind.group, "resource": kind.plural, "verb": verb, "namespace": namespace}
    body = {"apiVersion": ACCESS.api_version, "kind": ACCESS.kind, "spec": {"resourceAttributes": asked}}
    return bool((await api.call("POST", ACCESS.path(), body=body))["status"]["allowed"])
