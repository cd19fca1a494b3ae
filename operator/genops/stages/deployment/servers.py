"""The servers of a GenDeployment: which version each runs, and how it is, read from Deployments and pods. Pure.

A version is a model as one engine; a server is the Deployment that runs it. Knows nothing of what follows from it.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from gencontract import layout
from gencontract.wire import canonical, decode_report
from genops.core.jobs import Failure, pod_failure
from genops.core.model import Manifest, PodSeen
from genops.core.reasons import Reason
from genops.stages.deployment.spec import ScaleSpec

VERSION = f"{layout.GROUP}/version"  # as a label its id, as an annotation all of it
VERSION_LABEL = "genops_dev_version"  # the same, as Prometheus writes it
PATIENT = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")


@dataclass(frozen=True)
class Version:
    """A model as one engine. It is written on its server, so that it outlives the Job that built it."""

    id: str  # hash of everything that decides what the engine is
    model: str  # digest of the weights; empty where nobody knows it
    uri: str
    digest: str
    target: str
    evaluation: str = ""
    engines: tuple[Manifest, ...] = ()  # all that were tried, as status says it

    def dump(self) -> str:
        """Write it as an annotation."""
        return canonical(asdict(self)).decode()

    @classmethod
    def load(cls, text: str) -> "Version | None":
        """Read an annotation; None for one that is not ours."""
        try:
            said = json.loads(text)
            return cls(**{**said, "engines": tuple(said["engines"])})
        except (ValueError, TypeError, KeyError):
            return None


def strength(scale: ScaleSpec, running: int | None) -> int:
    """Count the servers of the version that answers: as the spec says, or as an autoscaler has decided so far."""
    if not autoscaled(scale):
        return scale.min
    assert scale.max is not None
    low = scale.min if scale.idle_to_zero_after_seconds else max(scale.min, 1)
    return min(max(running or low, low), scale.max)


def autoscaled(scale: ScaleSpec) -> bool:
    """Say whether there is anything for an autoscaler to decide."""
    return scale.max is not None and scale.max != scale.min


@dataclass(frozen=True)
class Server:
    """A version's Deployment as it stands."""

    version: Version
    manifest: Manifest
    desired: int
    ready: int = 0
    settled: bool = False  # every pod asked for is of the newest template and ready
    overdue: bool = False  # it made no progress for too long
    failure: Failure | None = None  # how a pod ended that is not ready again
    stuck: str = ""  # why a pod cannot start

    @property
    def id(self) -> str:
        """Which version."""
        return self.version.id

    @property
    def hopeless(self) -> bool:
        """Say whether waiting longer changes nothing."""
        return self.overdue or (self.failure is not None and not self.failure.retryable)

    @property
    def failed(self) -> Failure | None:
        """What went wrong with it last, where something did."""
        return self.failure or (Failure(self.reason, self.says) if self.overdue else None)

    @property
    def reason(self) -> str:
        """Why it is not ready, in one word."""
        if self.failure:
            return self.failure.reason if self.hopeless else Reason.CRASH_LOOP
        if self.stuck:
            return Reason.POD_NOT_STARTED
        return Reason.PROGRESS_DEADLINE_EXCEEDED if self.overdue else Reason.STARTING

    @property
    def says(self) -> str:
        """Why it is not ready, for people."""
        if self.failure:
            return self.failure.message
        late = f"{self.manifest['metadata']['name']} was not ready in time; see kubectl logs of its pods"
        return self.stuck or (late if self.overdue else "The server loads the engine and tries a first generation")


def read_servers(deployments: Iterable[Manifest], pods: Iterable[Manifest]) -> dict[str, Server]:
    """Read the Deployments of one object, by the id of their version, with what their pods say."""
    living = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    found = [_server(d, living) for d in deployments if "deletionTimestamp" not in d["metadata"]]
    return {s.id: s for s in found if s}


def _server(manifest: Manifest, pods: list[Manifest]) -> Server | None:
    meta, spec, status = manifest["metadata"], manifest.get("spec", {}), manifest.get("status") or {}
    version = Version.load(meta.get("annotations", {}).get(VERSION, ""))
    if version is None:
        return None
    mine = [p for p in pods if p["metadata"].get("labels", {}).get(VERSION) == version.id and not _is_ready(p)]
    desired, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    newest = status.get("observedGeneration", 0) >= meta.get("generation", 1)
    updated, existing = (int(status.get(f) or 0) for f in ("updatedReplicas", "replicas"))
    return Server(
        version=version,
        manifest=manifest,
        desired=desired,
        ready=ready,
        settled=newest and ready >= desired and existing == updated >= desired,
        overdue=newest and _said(status, "Progressing").get("reason") == "ProgressDeadlineExceeded",
        failure=next((f for f in map(_ended, mine) if f), None),
        stuck=next((s for s in map(_stuck, mine) if s), _refused(status)),
    )


def _said(status: Manifest, kind: str) -> Manifest:
    return next((c for c in status.get("conditions", ()) if c.get("type") == kind), {})


def _is_ready(pod: Manifest) -> bool:
    return bool(_said(pod.get("status") or {}, "Ready").get("status") == "True")


def _container(pod: Manifest) -> Manifest:
    all_of_it = (pod.get("status") or {}).get("containerStatuses", ())
    return next((c for c in all_of_it if c.get("name") == layout.CONTAINER), {})


def _ended(pod: Manifest) -> Failure | None:
    """How the container ended last. One that was asked to stop has not failed."""
    container = _container(pod)
    states = (container.get("state") or {}, container.get("lastState") or {})
    ended: dict[str, Any] = next((s["terminated"] for s in states if s.get("terminated")), {})
    code = int(ended.get("exitCode") or 0)
    if code == 0:
        return None
    seen = PodSeen(
        name=pod["metadata"]["name"],
        phase="Failed",
        exit_code=code,
        oom_killed=ended.get("reason") == "OOMKilled",
        finished_at=str(ended.get("finishedAt") or ""),
        report=decode_report(ended.get("message") or ""),
    )
    return _in_its_words(pod_failure(seen), seen, str(ended.get("message") or ""))


def _in_its_words(failure: Failure, seen: PodSeen, said: str) -> Failure:
    """Take what the container runtime says where the container could not speak: a command that is not there."""
    if seen.report or seen.oom_killed or not said.strip():
        return failure
    return replace(failure, message=f"{said.strip()[:1000]} (exit code {seen.exit_code}); see kubectl logs {seen.name}")


def _stuck(pod: Manifest) -> str:
    """Why a pod has not started: its image, its volume, its place."""
    waiting = (_container(pod).get("state") or {}).get("waiting") or {}
    if waiting.get("reason", "") not in PATIENT:
        return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    placed = _said(pod.get("status") or {}, "PodScheduled")
    return f"Unschedulable: {placed.get('message', '')}" if placed.get("reason") == "Unschedulable" else ""


def _refused(status: Manifest) -> str:
    """Why no pod could be made at all: a quota, an admission rule."""
    said = _said(status, "ReplicaFailure")
    return f"{said.get('reason')}: {said.get('message')}" if said.get("status") == "True" else ""
