"""Read a Job and its pods once, into facts. Every stage that runs pods uses this one reading."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gencontract.codes import Code, Meaning, Retry, meaning
from gencontract.report import Progress, Report
from genops.core.model import Manifest, PodSeen
from genops.core.reasons import Reason

# A Job younger than this is not asked for its progress: most short ones end before.
QUIET_SECONDS = 3
# How often a running Job's pods are asked, in seconds: a status may say where it is within 15 s.
POLL_SECONDS = 5


@dataclass(frozen=True)
class Failure:
    """The last thing that went wrong with a Job's pods."""

    reason: str
    message: str
    pod: str = ""
    exit_code: int | None = None
    retryable: bool = False
    time: str = ""

    @classmethod
    def read(cls, last: Manifest | None) -> "Failure | None":
        """Read one back that was written as `status.lastFailure`; its pod may have gone."""
        if not last:
            return None
        return cls(
            last.get("reason", ""),
            last.get("message", ""),
            last.get("pod", ""),
            last.get("exitCode"),
            bool(last.get("retryable", False)),
            last.get("time", ""),
        )

    def status(self, stage: str) -> Manifest:
        """Write it as `status.lastFailure`."""
        said = {
            "stage": stage,
            "reason": self.reason,
            "message": self.message,
            "pod": self.pod,
            "exitCode": self.exit_code,
            "retryable": self.retryable,
            "time": self.time,
        }
        return {k: v for k, v in said.items() if v not in (None, "")}


@dataclass(frozen=True)
class JobFacts:
    """What is known of one Job."""

    exists: bool = False
    active: bool = False  # it has pods that have not ended
    running: bool = False  # at least one of them runs
    succeeded: bool = False
    failed: bool = False  # for good
    attempts: int = 0  # pods that have failed
    report: Report | None = None  # of the pod that ended well
    failure_report: Report | None = None  # of the last pod that failed
    progress: Progress | None = None
    failure: Failure | None = None
    stuck: str = ""  # why a pod cannot start

    @property
    def finished(self) -> bool:
        """Say whether the Job has ended, one way or the other."""
        return self.succeeded or self.failed

    @property
    def poll_after(self) -> float | None:
        """When to ask for progress again, in seconds; what else happens to a Job and its pods is told by a watch."""
        return float(POLL_SECONDS) if self.running and not self.finished else None


def read_job(job: Manifest | None, pods: Iterable[PodSeen] = ()) -> JobFacts:
    """Read a Job and what was seen of its pods, oldest first."""
    if job is None:
        return JobFacts()
    status, seen = job.get("status") or {}, tuple(pods)
    ended = {c["type"]: c for c in status.get("conditions", ()) if c.get("status") == "True"}
    succeeded, failed = "Complete" in ended, ended.get("Failed")
    return JobFacts(
        exists=True,
        active=bool(status.get("active")),
        running=bool(status.get("ready")) or any(p.phase == "Running" for p in seen),
        succeeded=succeeded,
        failed=failed is not None,
        attempts=int(status.get("failed") or 0),
        report=_newest(p.report for p in seen if p.exit_code == 0),
        failure_report=_newest(p.report for p in seen if p.exit_code),
        progress=_newest(p.progress for p in seen),
        failure=_failure(seen, failed or ended.get("FailureTarget")),  # decided, while its pods still end
        stuck=_newest(p.waiting or (p.unschedulable and f"Unschedulable: {p.unschedulable}") for p in seen) or "",
    )


def has_ended(job: Manifest) -> bool:
    """Say whether a Job has ended, one way or the other."""
    conditions = (job.get("status") or {}).get("conditions", ())
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def is_under_way(job: Manifest, now: datetime) -> bool:
    """Say whether a Job has run long enough for its progress to be worth asking for."""
    status = job.get("status") or {}
    began = status.get("startTime")
    return bool(status.get("active")) and began is not None and age(began, now) >= QUIET_SECONDS


def age(since: str, now: datetime) -> float:
    """Seconds since an RFC 3339 moment of Kubernetes (UTC)."""
    moment = datetime.fromisoformat(since.replace("Z", "+00:00"))
    return (now - moment.astimezone(UTC)).total_seconds()


def _newest(values: Iterable[Any]) -> Any:
    found = [v for v in values if v]
    return found[-1] if found else None


def _failure(pods: tuple[PodSeen, ...], failed: Manifest | None) -> Failure | None:
    """What the last pod that failed says of itself; where none is left, what the Job's condition says."""
    bad = [p for p in pods if p.exit_code]
    if failed and failed.get("reason") == "DeadlineExceeded":
        text = "The Job ran longer than its deadline; raise it or make the work smaller"
        return Failure(Reason.DEADLINE_EXCEEDED, text, time=str(failed.get("lastTransitionTime") or ""))
    if bad:
        final = [p for p in bad if p.oom_killed or meaning(p.exit_code or 0).retry is Retry.NEVER]
        return pod_failure((final or bad)[-1])
    if failed is None:
        return None
    text = str(failed.get("message") or failed.get("reason") or "The Job failed")
    return Failure(meaning(Code.CRASHED).reason, text, time=str(failed.get("lastTransitionTime") or ""))


def pod_failure(pod: PodSeen) -> Failure:
    """Say why a pod ended, in its own words where it had any."""
    code = pod.exit_code or 0
    means: Meaning = meaning(Code.OUT_OF_MEMORY) if pod.oom_killed else meaning(code)
    said = pod.report.message if pod.report else ""
    if pod.oom_killed:
        said = "The container used more memory than its limit; raise resources.limits.memory or make the batch smaller"
    return Failure(
        reason=means.reason,
        message=said or f"{means.says} (exit code {code}); see kubectl logs {pod.name}",
        pod=pod.name,
        exit_code=code,
        retryable=not pod.oom_killed and meaning(code).retry is not Retry.NEVER,
        time=pod.finished_at,
    )
