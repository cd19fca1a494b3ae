"""What is reported of a pod: phase, conditions and container states, as a kubelet reports them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from genops.local.agent.facts import Json, is_sidecar, stamp

LOST_CODE = 137
LOST_REASON = "ContainerStatusUnknown"
CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"


@dataclass
class ContainerRecord:
    """What the agent knows of one container."""

    name: str
    image: str
    state: Json
    last_state: Json = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def running(self) -> bool:
        """Say whether the container runs now."""
        return "running" in self.state

    @property
    def exit_code(self) -> int | None:
        """Return the code of a container that has ended and is not waiting to start again."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    @property
    def ever_started(self) -> bool:
        """Say whether the container has run at some time."""
        return "waiting" not in self.state or bool(self.last_state)

    def wait(self, reason: str, message: str = "") -> None:
        """Note that the container does not run yet, or not again yet."""
        self._remember()
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}

    def run(self, container_id: str, moment: datetime) -> None:
        """Note that the container runs."""
        self._remember()
        self.state = {"running": {"startedAt": stamp(moment)}}
        self.container_id = container_id

    def end(self, terminated: Json) -> None:
        """Note how the container ended."""
        self.state = {"terminated": terminated}
        self.ready = self.started = False

    def about_to_start(self) -> None:
        """Count a restart, if this is not the first start."""
        self._remember()
        self.restarts += bool(self.last_state)

    def _remember(self) -> None:
        if "terminated" in self.state:
            self.last_state = self.state


@dataclass
class PodRecord:
    """What the agent knows of one pod."""

    containers: dict[str, ContainerRecord]
    inits: dict[str, ContainerRecord]
    started: datetime
    address: str = ""
    initialized: bool = False
    finished: bool = False
    failed_reason: str = ""  # set where the pod as a whole was ended
    failed_message: str = ""
    disrupted: str = ""  # why the node ended the pod, which is not the pod's fault

    def everyone(self) -> Iterable[ContainerRecord]:
        """List all containers."""
        return [*self.inits.values(), *self.containers.values()]


def fresh(pod: Json, now: datetime) -> PodRecord:
    """Begin the record of a pod that has never run."""
    inits = pod["spec"].get("initContainers", [])
    waiting = INITIALIZING if inits else CREATING
    return PodRecord(
        containers={c["name"]: _waiting(c, waiting) for c in pod["spec"]["containers"]},
        inits={c["name"]: _waiting(c, INITIALIZING) for c in inits},
        started=now,
    )


def recovered(pod: Json, now: datetime) -> PodRecord:
    """Begin the record from what was last reported: containers that ran then have died with the agent."""
    record = fresh(pod, now)
    status = pod.get("status", {})
    if status.get("startTime"):
        record.started = datetime.fromisoformat(status["startTime"].replace("Z", "+00:00"))
    record.address = status.get("podIP", "")
    record.initialized = any(c["type"] == "Initialized" and c["status"] == "True" for c in status.get("conditions", []))
    record.finished = status.get("phase") in ("Succeeded", "Failed")
    record.failed_reason, record.failed_message = status.get("reason", ""), status.get("message", "")
    for reported in status.get("containerStatuses", []):
        _recover(record.containers.get(reported["name"]), reported, now)
    for reported in status.get("initContainerStatuses", []):
        _recover(record.inits.get(reported["name"]), reported, now)
    return record


def report(pod: Json, record: PodRecord, node_address: str, now: datetime) -> Json:
    """Return the status to write."""
    phase = phase_of(record)
    ids = {"podIP": record.address, "podIPs": [{"ip": record.address}]} if record.address else {}
    inits = [_container_status(record.inits[c["name"]]) for c in pod["spec"].get("initContainers", [])]
    return {
        "phase": phase,
        "reason": record.failed_reason or None,
        "message": record.failed_message or None,
        "observedGeneration": pod["metadata"].get("generation"),
        "startTime": stamp(record.started),
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        **ids,
        "conditions": _conditions(pod, record, phase, now),
        **({"initContainerStatuses": inits} if inits else {}),
        "containerStatuses": [_container_status(record.containers[c["name"]]) for c in pod["spec"]["containers"]],
    }


def phase_of(record: PodRecord) -> str:
    """Return the phase: a pod is over only when the agent says so, whatever its containers did."""
    if record.finished:
        good = not record.failed_reason and all(c.exit_code == 0 for c in record.containers.values())
        return "Succeeded" if good else "Failed"
    if record.initialized and all(c.ever_started for c in record.containers.values()):
        return "Running"
    return "Pending"


def terminated(code: int, reason: str, message: str, times: tuple[datetime, datetime], container_id: str) -> Json:
    """Return the state of a container that has ended."""
    ended = {"exitCode": code, "reason": reason, "startedAt": stamp(times[0]), "finishedAt": stamp(times[1])}
    return {**ended, "containerID": container_id, **({"message": message} if message else {})}


def _conditions(pod: Json, record: PodRecord, phase: str, now: datetime) -> list[Json]:
    sidecars = [record.inits[c["name"]] for c in pod["spec"].get("initContainers", []) if is_sidecar(c)]
    needed = [*record.containers.values(), *sidecars]
    unready = sorted(c.name for c in needed if not c.ready)
    reason, message = _why_unready(phase, unready)
    closed = _closed_gates(pod)
    done = record.initialized or phase == "Succeeded"
    uninitialized = "" if done else f"containers with incomplete status: [{' '.join(_incomplete(record))}]"
    found = [
        _condition("PodReadyToStartContainers", bool(record.address) and not record.finished),
        _condition("Initialized", done, "ContainersNotInitialized", uninitialized),
        _condition("ContainersReady", not reason, reason, message),
        _condition("Ready", not (reason or closed), reason or "ReadinessGatesNotReady", message or closed),
    ]
    if record.disrupted:
        disruption = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        found.append({**disruption, "message": record.disrupted})
    if phase == "Succeeded":
        found[1] = {**_condition("Initialized", True), "reason": "PodCompleted"}
    before = {c["type"]: c for c in pod.get("status", {}).get("conditions", [])}
    return [_with_time(condition, before.get(condition["type"]), now) for condition in found]


def _why_unready(phase: str, unready: list[str]) -> tuple[str, str]:
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    return ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]") if unready else ("", "")


def _closed_gates(pod: Json) -> str:
    """Name the conditions that others must set before the pod counts as ready, and have not."""
    held = {c["type"] for c in pod.get("status", {}).get("conditions", []) if c["status"] == "True"}
    missing = sorted({gate["conditionType"] for gate in pod["spec"].get("readinessGates", [])} - held)
    return f"the status of pod readiness gates is not True: {missing}" if missing else ""


def _incomplete(record: PodRecord) -> list[str]:
    return [c.name for c in record.inits.values() if c.exit_code != 0 and not c.started]


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:
    if holds:
        return {"type": kind, "status": "True", "reason": None, "message": None}
    return {"type": kind, "status": "False", "reason": reason or None, "message": message or None}


def _with_time(condition: Json, before: Json | None, now: datetime) -> Json:
    same = before is not None and before.get("status") == condition["status"]
    moment = before.get("lastTransitionTime") if before and same else None
    return {**condition, "lastTransitionTime": moment or stamp(now)}


def _container_status(record: ContainerRecord) -> Json:
    started = record.started if record.running else False
    return {
        "name": record.name,
        "image": record.image,
        "imageID": f"local://{record.image}" if record.ever_started else "",
        **({"containerID": record.container_id} if record.container_id else {}),
        "ready": record.ready,
        "started": started,
        "restartCount": record.restarts,
        "state": record.state,
        "lastState": record.last_state,
    }


def _waiting(container: Json, reason: str) -> ContainerRecord:
    return ContainerRecord(container["name"], container["image"], {"waiting": {"reason": reason}})


def _recover(record: ContainerRecord | None, reported: Json, now: datetime) -> None:
    if record is None:
        return
    record.restarts = reported.get("restartCount", 0)
    record.last_state = reported.get("lastState", {})
    record.container_id = reported.get("containerID", "")
    record.state = reported.get("state") or record.state
    if record.running:
        began = datetime.fromisoformat(record.state["running"]["startedAt"].replace("Z", "+00:00"))
        message = "The container could not be located when the node agent started again"
        record.end(terminated(LOST_CODE, LOST_REASON, message, (began, now), record.container_id))
