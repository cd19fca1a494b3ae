"""One run's chain, link by link: what each object is called, and what it says of itself."""

from dataclasses import dataclass
from typing import Literal

from gencontract import layout
from genops.core.conditions import is_true
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_TRAINING_JOB, Kind
from genops.core.model import Key, Manifest, Resource, Seen
from genops.core.names import NAME_LIMIT, child_name
from genops.stages.model.spec import Spec

State = Literal["absent", "working", "done", "failed"]


@dataclass(frozen=True)
class Link:
    """One object of the chain."""

    kind: Kind
    name: str
    state: State = "absent"
    message: str = ""
    manifest: Manifest | None = None

    @property
    def status(self) -> Manifest:
        """What the object says of itself."""
        return (self.manifest or {}).get("status") or {}

    def says(self, condition: str) -> str:
        """The message of one of its conditions."""
        return _message(self.status, condition)

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Chain:
    """One run, as far as it has come."""

    number: int
    dataset: Link
    training: Link
    evaluation: Link

    @property
    def links(self) -> tuple[Link, ...]:
        """All links, in order."""
        return self.dataset, self.training, self.evaluation

    @property
    def verdict(self) -> str:
        """What the evaluation said, or nothing."""
        return str(self.evaluation.status.get("verdict") or "") if self.evaluation.state != "working" else ""

    @property
    def passed(self) -> bool:
        """Say whether the run's model passed."""
        return self.evaluation.state == "done" and self.verdict == "Passed"

    @property
    def rejected(self) -> bool:
        """Say whether the run's model was judged and did not pass."""
        return self.evaluation.state == "done" and self.verdict != "Passed"

    @property
    def open(self) -> bool:
        """Say whether the run still goes on."""
        return self.broken is None and self.evaluation.state != "done"

    @property
    def broken(self) -> Link | None:
        """The link that ended badly, if one did."""
        return next((link for link in self.links if link.state == "failed"), None)


def run_name(obj: Resource[Spec], number: int) -> str:
    """Name a run's objects: the model's name and the run's number.

    The name is cut where it would leave no room for the names of Jobs and their pods.
    """
    return child_name(obj.name, str(number), limit=NAME_LIMIT - 22)


def read_chain(obj: Resource[Spec], seen: Seen, number: int) -> Chain:
    """Read the objects of one run."""
    name = run_name(obj, number)
    return Chain(number, _dataset(obj, seen, name), _training(seen, name), _evaluation(seen, name))


def read_deployment(obj: Resource[Spec], seen: Seen) -> Link:
    """Read the deployment, which all runs share."""
    found = seen.child(GEN_DEPLOYMENT, obj.name)
    status = (found or {}).get("status") or {}
    state: State = "absent" if found is None else "done" if is_true(status, "Ready") else "working"
    return Link(GEN_DEPLOYMENT, obj.name, state, _message(status, "Ready"), found)


def numbers_of(seen: Seen) -> tuple[int, ...]:
    """The numbers of all runs that have objects."""
    owned = [m for kind in (GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION) for m in seen.children.get(kind, ())]
    found = {m["metadata"].get("labels", {}).get(layout.LABEL_RUN, "") for m in owned}
    return tuple(sorted(int(n) for n in found if n.isdigit()))


def _dataset(obj: Resource[Spec], seen: Seen, run: str) -> Link:
    ref = obj.spec.dataset.ref
    name = ref.name if ref else run
    found = seen.references.get(Key(GEN_DATASET, obj.namespace, name)) if ref else seen.child(GEN_DATASET, name)
    return _link(GEN_DATASET, name, found, done="Ready", failed_phases=("Failed", "Blocked"))


def _training(seen: Seen, name: str) -> Link:
    found = seen.child(GEN_TRAINING_JOB, name)
    return _link(GEN_TRAINING_JOB, name, found, done="Complete", failed_phases=("Failed",))


def _evaluation(seen: Seen, name: str) -> Link:
    found = seen.child(GEN_EVALUATION, name)
    return _link(GEN_EVALUATION, name, found, done="Complete", failed_phases=("Failed",))


def _link(kind: Kind, name: str, found: Manifest | None, done: str, failed_phases: tuple[str, ...]) -> Link:
    if found is None:
        return Link(kind, name)
    status = found.get("status") or {}
    if status.get("phase") in failed_phases:
        return Link(kind, name, "failed", _message(status, done), found)
    state: State = "done" if is_true(status, done) else "working"
    return Link(kind, name, state, _message(status, done), found)


def _message(status: Manifest, condition: str) -> str:
    found = [c for c in status.get("conditions", ()) if c.get("type") == condition]
    return str(found[0].get("message") or "") if found else ""
