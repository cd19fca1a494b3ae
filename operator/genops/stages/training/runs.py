"""The runs that exist: one Job or JobSet each, read with its pods. What a Job and its pods say, and nothing of phases.

A GenTrainingJob has one run, or one for each trial of its search. The Job carries which trial it is and what it was
given as annotations, so a run that exists is never made up anew, whatever a newer operator would choose.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gencontract import layout
from gencontract.codes import Retry, meaning
from gencontract.report import Checkpoint, Usage
from genops.core.jobs import JobFacts, read_job
from genops.core.kinds import JOB, JOB_SET
from genops.core.model import Manifest, PodSeen, Resource, Seen
from genops.stages.training.appdef import REPLICATED
from genops.stages.training.spec import Spec

TRIAL = f"{layout.GROUP}/trial"
DIALS = f"{layout.GROUP}/hyperparameters"


@dataclass(frozen=True)
class Run:
    """One run that was started."""

    number: int
    parameters: Mapping[str, int | str]
    manifest: Manifest
    job: JobFacts
    pods: tuple[PodSeen, ...]
    world: int  # processes that train together

    @property
    def name(self) -> str:
        """The name of its Job or JobSet."""
        return str(self.manifest["metadata"]["name"])

    @property
    def held(self) -> bool:
        """Say whether it is suspended, by us or by Kueue."""
        return bool(self.manifest.get("spec", {}).get("suspend"))

    @property
    def hopeless(self) -> bool:
        """Say whether it ended in a way that its Job does not know to be final: out of memory, or a hidden code."""
        return not self.job.finished and any(_final(p) for p in self.pods)

    @property
    def report_lost(self) -> bool:
        """Say whether its pods went, with their nodes, before their report was read."""
        return self.job.succeeded and not self.pods

    @property
    def ended(self) -> bool:
        """Say whether nothing more will come of it."""
        return self.job.failed or self.hopeless or (self.job.succeeded and not self.report_lost)

    @property
    def delivered(self) -> bool:
        """Say whether it ended with a model."""
        return self.job.succeeded and self.job.report is not None and self.job.report.artifact is not None

    @property
    def attempts(self) -> int:
        """How many times the first pod was started, as far as its traces are left."""
        traces = len([p for p in self.pods if p.index == 0])
        return max(traces, 1 if self.job.running or self.job.finished else 0)

    @property
    def started_at(self) -> str:
        """When the Job began."""
        return str((self.manifest.get("status") or {}).get("startTime") or "")

    @property
    def ended_at(self) -> str:
        """When it ended."""
        conditions = (self.manifest.get("status") or {}).get("conditions", ())
        ends = [c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"]
        at = ends[0].get("lastTransitionTime") if ends else self.job.failure and self.job.failure.time
        return str(at or "")

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that its pods spoke of."""
        said = [r and r.checkpoint for r in (self.job.progress, self.job.failure_report, self.job.report)]
        return max((c for c in said if c), key=lambda c: c.step, default=None)

    @property
    def image(self) -> str:
        """What the node says it ran, by digest."""
        return next((p.image for p in reversed(self.pods) if p.image), "")

    @property
    def usage(self) -> Usage:
        """What all attempts used. The first process speaks for the others, which do the same."""
        said = [p.report.usage for p in self.pods if p.index == 0 and p.report]
        return Usage(
            cpu_seconds=math.fsum(u.cpu_seconds for u in said) * self.world,
            gpu_seconds=math.fsum(u.gpu_seconds for u in said) * self.world,
            peak_memory_bytes=max((u.peak_memory_bytes for u in said), default=0),
        )


def read_runs(obj: Resource[Spec], seen: Seen) -> tuple[Run, ...]:
    """Read all runs, one for each number; of two with the same number the older one counts."""
    found: dict[int, Manifest] = {}
    for manifest in sorted(_manifests(seen), key=lambda m: _age(m), reverse=True):
        found[_number(manifest)] = manifest
    return tuple(_run(obj, found[number], seen) for number in sorted(found))


def pods_of(manifest: Manifest) -> str:
    """Name the Job whose pods do the work: the Job itself, or the one that a JobSet makes."""
    name = str(manifest["metadata"]["name"])
    return f"{name}-{REPLICATED}-0" if manifest["kind"] == JOB_SET.kind else name


def as_job(manifest: Manifest) -> Manifest:
    """Read a JobSet as if it were the Job that it holds."""
    if manifest["kind"] != JOB_SET.kind:
        return manifest
    status = manifest.get("status") or {}
    counts = status.get("replicatedJobsStatus") or ()
    names = {"Completed": "Complete", "Failed": "Failed"}
    conditions = [{**c, "type": names[c["type"]]} for c in status.get("conditions", ()) if c["type"] in names]
    return {
        **manifest,
        "status": {
            "startTime": manifest["metadata"].get("creationTimestamp"),
            "active": sum(c.get("active", 0) for c in counts),
            "ready": sum(c.get("ready", 0) for c in counts),
            "failed": status.get("restarts", 0),
            "conditions": conditions,
        },
    }


def _run(obj: Resource[Spec], manifest: Manifest, seen: Seen) -> Run:
    job, pods = as_job(manifest), seen.pods.get(pods_of(manifest), ())
    parameters: dict[str, Any] = json.loads(_annotations(manifest).get(DIALS, "{}"))
    world = obj.spec.nodes * obj.spec.procs_per_node
    return Run(_number(manifest), parameters, job, read_job(job, pods), pods, world)


def _manifests(seen: Seen) -> list[Manifest]:
    """All Jobs and JobSets; what comes out of a list does not say its kind."""
    return [
        {**m, "apiVersion": k.api_version, "kind": k.kind} for k in (JOB, JOB_SET) for m in seen.children.get(k, ())
    ]


def _age(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["metadata"].get("creationTimestamp", "")), str(manifest["metadata"]["name"])


def _number(manifest: Manifest) -> int:
    return int(_annotations(manifest).get(TRIAL, 0))


def _annotations(manifest: Manifest) -> Mapping[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _final(pod: PodSeen) -> bool:
    hidden = bool(pod.exit_code and pod.report and pod.report.code and meaning(pod.report.code).retry is Retry.NEVER)
    return pod.oom_killed or hidden
