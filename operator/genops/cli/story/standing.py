"""Where one object stands: its phase, the condition that says why, and whether people may be content with it.

Reads statuses as every reader may. It must not know what an object waits for.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from genops.core.conditions import is_true
from genops.core.kinds import (
    DEPLOYMENT,
    GEN_DATASET,
    GEN_DEPLOYMENT,
    GEN_EVALUATION,
    GEN_MODEL,
    GEN_TRAINING_JOB,
    GEN_VERDICT,
    JOB,
    JOB_SET,
    POD,
    Kind,
)
from genops.core.model import Key, Manifest
from genops.core.reasons import Reason
from genops.shell.pods import pod_seen

Tone = Literal["good", "bad", "waiting"]

# The condition that carries what the kind's rules say, and the one that says that all is well.
TELLING = {
    GEN_MODEL: "Ready",
    GEN_DATASET: "Ready",
    GEN_TRAINING_JOB: "Complete",
    GEN_EVALUATION: "Complete",
    GEN_DEPLOYMENT: "Progressing",
}
FINAL = {**TELLING, GEN_DEPLOYMENT: "Ready"}
# Said on Ready whatever the kind: a spec or a child that was refused.
REFUSALS = (Reason.INVALID_SPEC, Reason.CHILD_REFUSED)
BAD = ("Failed", "Blocked", "Degraded", "Halted")


@dataclass(frozen=True)
class Standing:
    """Where an object is."""

    phase: str
    reason: str = ""
    message: str = ""
    since: str = ""  # RFC 3339; empty where nobody wrote it down, as for phases that are not the last
    tone: Tone = "waiting"


MISSING = Standing("Missing", tone="bad")


def standing(key: Key, manifest: Manifest | None) -> Standing:
    """Read where an object of any kind stands."""
    if manifest is None:
        return MISSING
    if key.kind in TELLING:
        return _of_ours(key.kind, manifest)
    status = manifest.get("status") or {}
    if key.kind in (JOB, JOB_SET):
        return _of_job(status)
    if key.kind == POD:
        return _of_pod(manifest)
    if key.kind == DEPLOYMENT:
        return _of_server(manifest.get("spec") or {}, status)
    if key.kind == GEN_VERDICT:
        return Standing(str((manifest.get("spec") or {}).get("choice") or ""), tone="good")
    return Standing(str(status.get("phase") or ""))


def condition(manifest: Manifest | None, name: str) -> dict[str, Any]:
    """Find a condition; an empty one where it is not said."""
    conditions = ((manifest or {}).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == name), {})


def verdict_of(manifest: Manifest | None) -> str:
    """What an evaluation concluded; nothing while it has not."""
    status = (manifest or {}).get("status") or {}
    return str(status.get("verdict") or "") if is_true(status, "Complete") else ""


def seconds_since(moment: str, now: datetime) -> float:
    """Seconds since an RFC 3339 moment; 0 for none."""
    if not moment:
        return 0.0
    return max(0.0, (now - datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(UTC)).total_seconds())


def span(seconds: float) -> str:
    """Write a length of time in its largest unit.

    >>> [span(s) for s in (4, 200, 7300, 400_000)]
    ['4 s', '3 min', '2 h', '4 d']
    """
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def progress(manifest: Manifest | None) -> str:
    """Say how far an object is, where it says so itself."""
    return how_far(((manifest or {}).get("status") or {}).get("progress") or {})


def how_far(said: Manifest) -> str:
    """Write a progress as status has it in a few words."""
    parts = []
    if said.get("totalSteps"):
        parts.append(f"step {said.get('step', 0)} of {said['totalSteps']}")
    if "percent" in said:
        parts.append(f"{said['percent']} %")
    parts += [f"{m['name']} {m['value']}" for m in said.get("metrics", ()) if m.get("name") == "loss"]
    if said.get("etaSeconds"):
        parts.append(f"{span(float(said['etaSeconds']))} left")
    stage = str(said.get("stage") or "")
    return f"{stage}: {', '.join(parts)}" if stage and parts else stage or ", ".join(parts)


def _of_ours(kind: Kind, manifest: Manifest) -> Standing:
    status, meta = manifest.get("status") or {}, manifest["metadata"]
    if "deletionTimestamp" in meta:
        held = ", ".join(meta.get("finalizers") or ()) or "its dependents"
        return Standing("Deleting", Reason.DELETING, f"It is removed once {held} let it go", meta["deletionTimestamp"])
    keeper = (manifest.get("spec") or {}).get("managedBy")
    if keeper:
        return Standing("LeftAlone", message=f"spec.managedBy names {keeper}, so this operator leaves it alone")
    ready = condition(manifest, "Ready")
    said = ready if ready.get("reason") in REFUSALS else condition(manifest, TELLING[kind])
    phase = str(status.get("phase") or "Unseen")
    return Standing(
        phase,
        str(said.get("reason") or ""),
        str(said.get("message") or ""),
        _since(condition(manifest, FINAL[kind])),
        _tone(kind, manifest, phase, str(said.get("reason") or "")),
    )


def _since(final: Manifest) -> str:
    """When the condition that says that all is well came true. Its time says nothing of the phases before."""
    return str(final.get("lastTransitionTime") or "") if final.get("status") == "True" else ""


def _tone(kind: Kind, manifest: Manifest, phase: str, reason: str) -> Tone:
    if reason in REFUSALS or (phase in BAD and reason not in (Reason.SUSPENDED, Reason.WAITING_FOR_APPROVAL)):
        return "bad"
    if not is_true(manifest.get("status") or {}, FINAL[kind]):
        return "waiting"
    if kind == GEN_EVALUATION:
        return {"Passed": "good", "Failed": "bad"}.get(verdict_of(manifest), "waiting")  # type: ignore[return-value]
    return "waiting" if phase in ("RollingOut", "Retraining") else "good"


JOB_ENDS: tuple[tuple[str, str, Tone], ...] = (  # condition, phase; a JobSet says Completed
    ("Failed", "Failed", "bad"),
    ("Complete", "Complete", "good"),
    ("Completed", "Complete", "good"),
    ("Suspended", "Suspended", "waiting"),
)


def _of_job(status: Manifest) -> Standing:
    held = {c["type"]: c for c in status.get("conditions", ()) if c.get("status") == "True"}
    for name, phase, tone in JOB_ENDS:
        if said := held.get(name):
            since = str(said.get("lastTransitionTime") or "")
            return Standing(phase, str(said.get("reason") or ""), str(said.get("message") or ""), since, tone)
    return Standing("Running" if status.get("active") else "Pending", since=str(status.get("startTime") or ""))


def _of_pod(manifest: Manifest) -> Standing:
    seen, status = pod_seen(manifest), manifest.get("status") or {}
    since = seen.finished_at or seen.started_at or str(status.get("startTime") or "")
    if seen.exit_code:
        said = seen.report.message if seen.report else ""
        return Standing("Failed", f"exit code {seen.exit_code}", said, since, "bad")
    if seen.waiting or seen.unschedulable:
        return Standing(
            seen.phase, seen.waiting.split(":")[0] or "Unschedulable", seen.waiting or seen.unschedulable, since, "bad"
        )
    if seen.phase == "Running" and not is_true(status, "Ready"):
        return Standing("Running", "NotReady", since=since)
    return Standing(seen.phase, since=since, tone="good" if seen.phase in ("Running", "Succeeded") else "waiting")


def _of_server(spec: Manifest, status: Manifest) -> Standing:
    asked, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    return Standing(f"{ready} of {asked} ready", tone="good" if ready >= asked else "waiting")
