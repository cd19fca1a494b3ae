"""Windows that are measured by embeddings: a Job for each, and its outcome, which stands in the status from then on.

A Job is named by its window, so that each is measured once, after every restart too. It stays until its outcome is
written, and goes then. One is made at a time for each watch, the newest window first, and is let end. While the newest
window is measured, the row before it counts: otherwise a drift would be unknown at each window's end.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from gencontract import layout
from gencontract.report import Report
from gencontract.task import DriftTask, Input, Run, TaskFile
from genops.core.conditions import timestamp
from genops.core.digest import short_hash
from genops.core.jobs import JobFacts, read_job
from genops.core.kinds import DEPLOYMENT, GEN_DATASET, JOB
from genops.core.model import Key, Manifest, Resource, Seen
from genops.core.names import child_name
from genops.core.podspec import Trying, Work, claims_of, job, pod_path
from genops.core.reasons import Reason
from genops.core.reporting import Handover, data_of, number
from genops.stages.deployment import capture
from genops.stages.deployment.gate import read_inputs
from genops.stages.deployment.servers import Version, read_servers
from genops.stages.deployment.spec import Drift, Spec
from genops.stages.deployment.windows import Window, ends

TEST = "mmd"
ROLE = "drift"
SETTLE_SECONDS = 30  # until the last record of a window is in the store, after its rotateSeconds
CHANCE = 0.01  # p-value that a window must be below, where the watch gives no alpha
DEADLINE_SECONDS = 1800
SECONDS = 1.0  # until an outcome that was found is looked at again, and the next window measured


@dataclass(frozen=True)
class Measuring:
    """One watch's windows, the Job that is to be, and what stands in the status afterwards."""

    windows: tuple[Window, ...]
    recorded: Manifest  # of the status' entry
    job: Manifest | None = None
    fresh: bool = False  # an outcome was found that is not written yet


def settle(obj: Resource[Spec]) -> float:
    """Return how long after its end a window's records are all in the store."""
    return SETTLE_SECONDS + (obj.spec.capture.rotate_seconds if obj.spec.capture else 0)


def jobs_of(seen: Seen) -> tuple[str, ...]:
    """Name the Jobs that measure, whose pods are to be looked at."""
    labels = ((m["metadata"]["name"], m["metadata"].get("labels") or {}) for m in seen.children.get(JOB, ()))
    return tuple(name for name, own in labels if own.get(layout.LABEL_ROLE) == ROLE)


def reference(obj: Resource[Spec], watch: Drift, seen: Seen) -> Handover:
    """Find the data to compare with: named by the watch, or what the engine was made with."""
    if watch.reference_ref:
        return data_of(Key(GEN_DATASET, obj.namespace, watch.reference_ref.name), seen)
    return read_inputs(obj, seen).data or Handover(
        "", why_not="Nothing says what the model was trained on; set referenceRef"
    )


def measure(obj: Resource[Spec], watch: Drift, seen: Seen, version: str, now: datetime) -> Measuring | tuple[str, str]:
    """Judge the windows that were measured, and say which is next. A reason and a message where none can be."""
    data = reference(obj, watch, seen)
    if data.why_not or not data.digest:
        return Reason.NO_REFERENCE, data.why_not or f"{data.what} has no digest to be named by"
    if obj.spec.capture and watch.window_seconds > obj.spec.capture.retention_seconds:
        return Reason.TOO_FEW_SAMPLES, "capture.retentionSeconds is less than windowSeconds; raise it"
    servers = read_servers(seen.children.get(DEPLOYMENT, ()), ())
    asked = Asked(obj, watch, servers[version].version, data)
    return asked.measuring(seen, now)


@dataclass(frozen=True)
class Asked:
    """What one watch asks about one version."""

    obj: Resource[Spec]
    watch: Drift
    version: Version
    data: Handover

    @property
    def key(self) -> str:
        """Hash all that an outcome depends on besides its window."""
        said = self.watch.model_dump(mode="json", by_alias=True, include={"of", "window_seconds", "min_samples"})
        return short_hash([self.obj.uid, self.watch.name, said, self.version.digest, self.data.digest])

    def measuring(self, seen: Seen, now: datetime) -> Measuring:
        """Put together what the status knows and what a Job has found since."""
        wanted = [e for e in ends(self.watch, now, settle(self.obj), more=1) if e > self._began()]
        known = {e: said for e, said in self._known().items() if e in wanted}
        facts = {e: self._facts(seen, e) for e in wanted if e not in known}
        found = {e: _outcome(f) for e, f in facts.items() if f.finished}
        outcomes = known | found
        late = bool(wanted) and wanted[0] not in outcomes and len(wanted) > 1
        row = wanted[late : self.watch.consecutive + late]
        return Measuring(
            tuple(self._window(e, outcomes.get(e), facts.get(e)) for e in row),
            {"key": self.key, "measured": [{"end": _moment(e), **outcomes[e]} for e in wanted if e in outcomes]},
            self._next(seen, wanted, facts),
            bool(found),
        )

    def _next(self, seen: Seen, wanted: list[int], facts: dict[int, JobFacts]) -> Manifest | None:
        """The Job that is there already, else the one of the newest window of the row that has no outcome."""
        there = next((e for e, f in facts.items() if f.exists), None)
        missing = next((e for e in wanted[: self.watch.consecutive] if e in facts), None)
        end = missing if there is None else there
        return None if end is None else self._job(seen, end)

    def _began(self) -> float:
        """Return when the object was made: windows that ended before had no traffic."""
        made = self.obj.metadata.get("creationTimestamp")
        return datetime.fromisoformat(made.replace("Z", "+00:00")).timestamp() if made else 0.0

    def _known(self) -> dict[int, Manifest]:
        entries = (e for e in self.obj.status.get("drift") or () if e.get("name") == self.watch.name)
        entry: Manifest = next(entries, {})
        if entry.get("key") != self.key:
            return {}
        return {_seconds(m["end"]): {k: v for k, v in m.items() if k != "end"} for m in entry.get("measured", ())}

    def _name(self, end: int) -> str:
        return child_name(self.obj.name, f"{ROLE}-{end}", self.key)

    def _facts(self, seen: Seen, end: int) -> JobFacts:
        name = self._name(end)
        return read_job(seen.child(JOB, name), seen.pods.get(name, ()))

    def _job(self, seen: Seen, end: int) -> Manifest:
        return seen.child(JOB, self._name(end)) or self._built(seen, end)

    def _built(self, seen: Seen, end: int) -> Manifest:
        obj, watch = self.obj, self.watch
        task = DriftTask(
            reference=Input(uri=pod_path(self.data.uri), digest=self.data.digest),
            captured=pod_path(capture.location(obj)),
            engine=self.version.digest,
            of=watch.of if watch.of != "feature" else "input",
            since=end - watch.window_seconds,
            until=end,
            min_samples=max(watch.min_samples, 2),
            permutations=max(999, math.ceil(2 / (watch.alpha or CHANCE))),
        )
        optimize = obj.spec.optimize
        work = Work(
            role=ROLE,
            task=TaskFile(run=Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid), task=task),
            image=seen.config.trainer_image,
            claims=claims_of(self.data.uri, capture.location(obj)),
            template=optimize.template if optimize else None,
            read_only=True,
        )
        return job(obj, work, Trying(1, DEADLINE_SECONDS), seen.config, self.key, self._name(end))

    def _window(self, end: int, outcome: Manifest | None, facts: JobFacts | None) -> Window:
        at = f"In the window to {_moment(end)}"
        if outcome is None:
            stuck = facts.stuck if facts else ""
            return Window(end, None, reason=Reason.MEASURING, message=f"{at}: {stuck or 'it is being measured'}")
        if outcome.get("reason"):
            return Window(end, None, reason=outcome["reason"], message=f"{at}: {outcome.get('message', '')}")
        value, p = float(outcome["value"]), float(outcome["pValue"])
        most, limit = self.watch.alpha or CHANCE, self.watch.threshold
        text = f"{at} mmd is {value:.3g}, its p-value {p:.3g}, with {outcome['samples']} samples"
        return Window(end, p < most and value > (limit or -math.inf), value, limit, message=text)


def _outcome(facts: JobFacts) -> Manifest:
    """Write what a Job found as it stands in status: a number, or why there is none."""
    if facts.failed or facts.report is None:
        why = facts.failure
        return {
            "reason": why.reason if why else Reason.NO_REPORT,
            "message": why.message[:1024] if why else "The pod left no report",
        }
    return _numbers(facts.report)


def _numbers(said: Report) -> Manifest:
    found = {m.name: m.value for m in said.metrics}
    value, p = found.get("mmd"), found.get("pValue")
    if value is None or p is None:
        return {"samples": said.samples or 0, "reason": Reason.TOO_FEW_SAMPLES, "message": said.message}
    return {"samples": said.samples or 0, "value": number(value, 6), "pValue": number(p, 6)}


def wake_after(obj: Resource[Spec], watch: Drift, measuring: Measuring, now: datetime) -> float:
    """Look again when the next window may be measured, and soon where an outcome was found."""
    if measuring.fresh:
        return SECONDS
    return ends(watch, now, settle(obj))[0] + watch.window_seconds + settle(obj) - now.timestamp()


def _moment(end: int) -> str:
    return timestamp(datetime.fromtimestamp(end, UTC))


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp())
