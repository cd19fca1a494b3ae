"""One namespace as it was read: objects by key, who owns whom, and what was told of them. A value; reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gencontract import layout
from genops.core.kinds import DEPLOYMENT, JOB, JOB_LABEL, JOB_SET, OURS, POD, Kind
from genops.core.model import EVERY, Key, Manifest, Resource, Seen, Stage
from genops.stages import STAGES

BENEATH = (JOB_SET, JOB, DEPLOYMENT, POD)  # what our objects own, as far as people look there
STAGE_OF: Mapping[Kind, Stage[Any]] = {stage.kind: stage for stage in STAGES}


@dataclass(frozen=True)
class World:
    """A namespace."""

    namespace: str
    objects: Mapping[Key, Manifest] = field(default_factory=dict)
    events: tuple[Manifest, ...] = ()

    def get(self, key: Key) -> Manifest | None:
        """Find an object."""
        return self.objects.get(key)

    def status(self, key: Key) -> Manifest:
        """What an object says of itself."""
        return (self.objects.get(key) or {}).get("status") or {}

    def spec(self, key: Key) -> Manifest:
        """What was asked of an object."""
        return (self.objects.get(key) or {}).get("spec") or {}

    def keys(self, *kinds: Kind) -> list[Key]:
        """List the objects of some kinds, sorted."""
        return sorted(k for k in self.objects if k.kind in kinds)

    def ours(self) -> list[Key]:
        """List the objects of our kinds."""
        return self.keys(*OURS)

    def owned(self, key: Key, *kinds: Kind) -> list[Key]:
        """List what an object controls directly, sorted."""
        uid = uid_of(self.objects.get(key))
        return [k for k in self.keys(*kinds) if uid and uid in owners_of(self.objects[k])]

    def beneath(self, key: Key) -> list[Key]:
        """List what runs under an object, a step down: Jobs, servers, and their pods, though others stand between."""
        if key.kind == POD:
            return []
        if key.kind == JOB:
            return [p for p in self.keys(POD) if labels_of(self.objects[p]).get(JOB_LABEL) == key.name]
        if key.kind == DEPLOYMENT:
            wanted = (self.spec(key).get("selector") or {}).get("matchLabels") or {}
            return [p for p in self.keys(POD) if wanted and wanted.items() <= labels_of(self.objects[p]).items()]
        return self.owned(key, *BENEATH)

    def pods(self, key: Key) -> list[Key]:
        """List every pod that runs under an object."""
        found = [p for child in self.beneath(key) for p in ([child] if child.kind == POD else self.pods(child))]
        return list(dict.fromkeys(found))

    def resource(self, key: Key) -> Resource[Any] | None:
        """Read an object of a kind that is reconciled; None where it is gone, or where its spec breaks a rule."""
        stage, manifest = STAGE_OF.get(key.kind), self.objects.get(key)
        if stage is None or manifest is None:
            return None
        try:
            return Resource.read(stage.kind, stage.spec, manifest)
        except ValueError:
            return None

    def referred(self, key: Key) -> list[Key]:
        """List what an object refers to by name, there or not."""
        obj = self.resource(key)
        return [k for k in STAGE_OF[key.kind].refs(obj) if k.name != EVERY] if obj else []

    def seen(self, key: Key) -> Seen:
        """The world of one object as its stage would see it: what it owns and refers to."""
        stage = STAGE_OF[key.kind]
        children = {kind: tuple(self.objects[k] for k in self.owned(key, kind)) for kind in stage.owns}
        return Seen(children, {k: self.objects[k] for k in self.referred(key) if k in self.objects})


def uid_of(manifest: Manifest | None) -> str:
    """The uid of an object."""
    return str((manifest or {}).get("metadata", {}).get("uid") or "")


def owners_of(manifest: Manifest) -> list[str]:
    """The uids of an object's controllers."""
    return [str(o.get("uid")) for o in manifest["metadata"].get("ownerReferences", ()) if o.get("controller")]


def labels_of(manifest: Manifest) -> dict[str, str]:
    """The labels of an object."""
    return dict(manifest["metadata"].get("labels") or {})


def run_of(manifest: Manifest | None) -> int:
    """The number of the run that an object was made for; 0 for none."""
    text = labels_of(manifest).get(layout.LABEL_RUN, "") if manifest else ""
    return int(text) if text.isdigit() else 0
