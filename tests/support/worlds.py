"""Worlds for tables of tests: objects of ours, the Jobs and pods they may have, and what a plan makes of them.

a_dataset("digits", source={"builtin": {"name": "digits"}})
a_job(plan_job).failed(Code.BAD_DATA, "x.png is not an image")
"""

import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gencontract.codes import Code
from gencontract.report import Artifact, Progress, Report
from gencontract.wire import encode_progress, encode_report
from genops.core.conditions import merge
from genops.core.kinds import JOB, Kind
from genops.core.model import Key, Manifest, Plan, PodSeen, Resource, Seen, Stage
from genops.shell.pods import pod_seen

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
EARLIER = "2026-01-01T11:59:00Z"
DIGEST = "sha256:" + "a" * 64


def resource(
    stage: Stage[Any], name: str, spec: Manifest, status: Manifest | None = None, **meta: Any
) -> Resource[Any]:
    """An object of ours as read from the API server."""
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1, **meta}
    parsed = stage.spec.model_validate(spec)
    return Resource(stage.kind, name, "team", metadata["uid"], 1, parsed, status or {}, metadata)


@dataclass(frozen=True)
class AJob:
    """A Job as it may stand, with its pods."""

    manifest: Manifest
    pods: tuple[PodSeen, ...] = ()

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    def _status(self, **status: Any) -> "AJob":
        manifest = copy.deepcopy(self.manifest)
        manifest["status"] = {"startTime": EARLIER, **status}
        return replace(self, manifest=manifest)

    def _pod(self, state: Manifest, phase: str, log: str = "") -> "AJob":
        name = f"{self.name}-{len(self.pods)}"
        status = {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]}
        return replace(self, pods=(*self.pods, pod_seen({"metadata": {"name": name}, "status": status}, log)))

    def waiting(self, reason: str, message: str) -> "AJob":
        state = {"waiting": {"reason": reason, "message": message}}
        return self._status(active=1)._pod(state, "Pending")

    def running(self, progress: Progress | None = None) -> "AJob":
        log = encode_progress(progress) if progress else ""
        return self._status(active=1, ready=1)._pod({"running": {"startedAt": EARLIER}}, "Running", log)

    def succeeded(self, report: Report | None) -> "AJob":
        ended = {"exitCode": 0, "finishedAt": EARLIER, "message": encode_report(report) if report else ""}
        done = {"type": "Complete", "status": "True", "lastTransitionTime": EARLIER}
        return self._status(succeeded=1, conditions=[done])._pod({"terminated": ended}, "Succeeded")

    def pod_failed(self, code: int, message: str = "", **report: Any) -> "AJob":
        """One pod failed, and the Job will make another."""
        return self._ended(code, message, **report)._status(failed=1)

    def failed(self, code: int, message: str = "", **report: Any) -> "AJob":
        """The Job failed for good."""
        condition = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "lastTransitionTime": EARLIER}
        return self._ended(code, message, **report)._status(failed=1, conditions=[condition])

    def _ended(self, code: int, message: str, **report: Any) -> "AJob":
        said = encode_report(Report(verb="prepare", code=Code(code), message=message, **report)) if message else ""
        ended = {"exitCode": int(code), "finishedAt": EARLIER, "message": said}
        if code == 137:
            ended["reason"] = "OOMKilled"
        return self._pod({"terminated": ended}, "Failed")

    def overdue(self) -> "AJob":
        condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": EARLIER}
        return self._status(failed=1, conditions=[condition])


@dataclass(frozen=True)
class World:
    """One object, its Job if there is one, and what it refers to."""

    stage: Stage[Any]
    obj: Resource[Any]
    references: dict[Key, Manifest] = field(default_factory=dict)
    others: tuple[AJob, ...] = ()  # Jobs besides the one that a plan is asked about
    vouched: bool = True  # whether the API server checks who gives a verdict

    def plan(self, job: AJob | None = None, now: datetime = NOW) -> Plan:
        jobs = (*([job] if job else []), *self.others)
        children: dict[Kind, tuple[Manifest, ...]] = {JOB: tuple(j.manifest for j in jobs)} if jobs else {}
        pods = {j.name: j.pods for j in jobs}
        return self.stage.plan(self.obj, Seen(children, self.references, pods, vouched=self.vouched), now)

    def job(self) -> AJob:
        """The Job that a fresh object asks for."""
        manifest = next(m for m in self.plan().children if m["kind"] == "Job")
        return AJob(manifest)

    def told(self, plan: Plan) -> "World":
        """The same world after the plan's status was written."""
        conditions = merge(plan.conditions, (), 1, NOW)
        return replace(self, obj=replace(self.obj, status={**plan.status, "conditions": conditions}))


def artifact(uri: str = "/genops/store/genops-store/x", digest: str = DIGEST) -> Artifact:
    return Artifact(uri=uri, digest=digest)


def condition(plan: Plan, kind: str) -> Any:
    return next(c for c in plan.conditions if c.type == kind)


def kinds_of(plan: Plan) -> list[str]:
    return sorted(f"{m['kind']}/{m['metadata']['name']}" for m in plan.children)
