"""What a reconcile decision is made of: the object, what was seen, and the plan. Frozen values, no behaviour.

A Stage is a value too: one kind, its spec type, what it owns and refers to, and a pure `plan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from gencontract import layout
from gencontract.report import Progress, Report
from genops.core.conditions import Condition
from genops.core.kinds import Kind
from genops.core.reasons import Reason

Manifest = dict[str, Any]
EVERY = "*"  # as the name in a Key: every object of the kind in that namespace
FINALIZER = f"{layout.GROUP}/cleanup"  # while an object carries it, Kubernetes does not remove the object
S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, order=True)
class Key:
    """Which object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Resource(Generic[S]):
    """An object of ours as read now. `status` is what was written last: facts may be taken from it, a phase never."""

    kind: Kind
    name: str
    namespace: str
    uid: str
    generation: int
    spec: S
    status: Manifest
    metadata: Manifest

    @classmethod
    def read(cls, kind: Kind, spec: type[S], manifest: Manifest) -> "Resource[S]":
        """Read a manifest. Raises pydantic's ValidationError for a spec that breaks a rule."""
        meta = manifest["metadata"]
        return cls(
            kind=kind,
            name=meta["name"],
            namespace=meta["namespace"],
            uid=meta["uid"],
            generation=meta.get("generation", 1),
            spec=spec.model_validate(manifest.get("spec") or {}),
            status=manifest.get("status") or {},
            metadata=meta,
        )

    @property
    def deleting(self) -> bool:
        """Say whether the object is being removed."""
        return "deletionTimestamp" in self.metadata

    @property
    def held(self) -> bool:
        """Say whether our finalizer keeps the object from being removed."""
        return FINALIZER in self.metadata.get("finalizers", ())

    @property
    def key(self) -> Key:
        """The object's key."""
        return Key(self.kind, self.namespace, self.name)


@dataclass(frozen=True)
class PodSeen:
    """What a look learnt about one pod of a Job."""

    name: str
    phase: str
    exit_code: int | None = None
    oom_killed: bool = False
    waiting: str = ""  # "ErrImagePull: back-off pulling ..." while a container cannot start
    unschedulable: str = ""
    started_at: str = ""
    finished_at: str = ""
    report: Report | None = None
    progress: Progress | None = None
    index: int = 0  # which of a Job's equal pods
    image: str = ""  # what the node says it runs, by digest


@dataclass(frozen=True)
class Config:
    """What the platform team decided for the whole operator, as far as plans depend on it."""

    trainer_image: str = "genops-trainers:latest"
    server_image: str = "genops-server:latest"
    image_pull_policy: str = "IfNotPresent"
    store: str = "pvc://genops-store"  # where artifacts go that name no place of their own
    store_size: str = "10Gi"
    store_class: str | None = None
    store_access: str = "ReadWriteOnce"
    prometheus: str = ""  # its address; empty where there is none to ask


@dataclass(frozen=True)
class Answer:
    """What Prometheus said to one question: a finite number, or the reason why there is none."""

    value: float | None = None
    reason: str = ""  # a Reason where there is no value
    message: str = ""


UNASKED = Answer(None, Reason.NO_PROMETHEUS, "The operator was told of no Prometheus; set GENOPS_PROMETHEUS")


@dataclass(frozen=True)
class Seen:
    """The world of one object: what it owns, what it refers to, and the pods and numbers that were asked for."""

    children: Mapping[Kind, tuple[Manifest, ...]] = field(default_factory=dict)
    references: Mapping[Key, Manifest] = field(default_factory=dict)
    pods: Mapping[str, tuple[PodSeen, ...]] = field(default_factory=dict)  # by Job name
    present: frozenset[Kind] = frozenset()  # optional kinds that the cluster serves
    config: Config = field(default_factory=Config)
    answers: Mapping[str, Answer] = field(default_factory=dict)  # by the name of the question
    vouched: bool = False  # whether the API server checks who gives a verdict
    terminating: bool = False  # the namespace is being removed: nothing can be made in it any more

    def answer(self, name: str) -> Answer:
        """Find what Prometheus said; a question that nobody could ask has no number either."""
        return self.answers.get(name, UNASKED)

    def child(self, kind: Kind, name: str) -> Manifest | None:
        """Find an owned object by name."""
        return next((m for m in self.children.get(kind, ()) if m["metadata"]["name"] == name), None)

    def referred(self, kind: Kind) -> tuple[Manifest, ...]:
        """Every object of a kind that the object refers to, by name."""
        return tuple(m for key, m in sorted(self.references.items(), key=lambda r: r[0]) if key.kind == kind)


@dataclass(frozen=True)
class Happening:
    """An Event to post after the status was written, once each time it becomes true."""

    type: str  # Normal or Warning
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """All children that should exist, what the status should say, what to tell, and when to look again."""

    children: tuple[Manifest, ...] = ()
    status: Manifest = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    happening: Happening | None = None
    wake_after: float | None = None  # seconds
    hands_off: bool = False  # another controller has the object: nothing is made, pruned or said
    hold: bool = False  # the object may not go yet: it has something outside the cluster, and children that see to it


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One kind of ours. `inspect` names the Jobs whose pods a plan wants to see, `asks` the PromQL to be answered."""

    kind: Kind
    spec: type[S]
    owns: tuple[Kind, ...]
    refs: Callable[[Resource[S]], tuple[Key, ...]]
    plan: Callable[[Resource[S], Seen, datetime], Plan]
    inspect: Callable[[Resource[S], Seen, datetime], tuple[str, ...]] = lambda obj, seen, now: ()
    asks: Callable[[Resource[S], Seen, datetime], Mapping[str, str]] = lambda obj, seen, now: {}
    stopped: str = "Failed"  # the phase of an object whose spec cannot be read
    holds: bool = False  # whether its plans may ever hold an object, which takes the right to change it
