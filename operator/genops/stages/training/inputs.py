"""What a run is made of: the data and the weights it starts from, by place and digest.

References are followed here, and nowhere else. What a run began with stands in `status.inputs` and is never replaced:
a GenDataset that moves on to another round does not touch runs of the round before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genops.core.conditions import is_true
from genops.core.digest import short_hash
from genops.core.kinds import GEN_DATASET, GEN_TRAINING_JOB
from genops.core.model import Key, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.stages.training.spec import Base, Spec


@dataclass(frozen=True)
class Place:
    """An artifact: where it is, and the digest it must have where that is known."""

    uri: str
    digest: str | None = None


@dataclass(frozen=True)
class Trouble:
    """Why an input cannot be had now."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run, or what is wrong with them."""

    dataset: Place | None = None
    base: Place | None = None
    trouble: Trouble | None = None

    def status(self, spec: Spec) -> Manifest:
        """Write them as `status.inputs`."""
        said = {
            "datasetDigest": self.dataset.digest if self.dataset else None,
            "baseDigest": self.base.digest if self.base else None,
            "hyperparametersDigest": "sha256:" + short_hash(_dials(spec), 64),
        }
        return {k: v for k, v in said.items() if v is not None}


Found = Place | Trouble | None


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name what the spec refers to."""
    spec, found = obj.spec, []
    if spec.dataset_ref:
        found.append(Key(GEN_DATASET, obj.namespace, spec.dataset_ref.name))
    if spec.base_model and spec.base_model.training_job_ref:
        found.append(Key(GEN_TRAINING_JOB, obj.namespace, spec.base_model.training_job_ref.name))
    return tuple(found)


def resolve(obj: Resource[Spec], seen: Seen, began: Manifest) -> Inputs:
    """Follow the references. `began` are the digests of a run that was started before."""
    dataset = _dataset(obj, seen, began.get("datasetDigest"))
    base = _base(obj, seen, began.get("baseDigest"))
    for found in (dataset, base):
        if isinstance(found, Trouble):
            return Inputs(trouble=found)
    assert not isinstance(dataset, Trouble)
    assert not isinstance(base, Trouble)
    return Inputs(dataset, base)


def _dataset(obj: Resource[Spec], seen: Seen, began: str | None) -> Found:
    spec = obj.spec
    if spec.dataset_ref is None:
        return Place(spec.dataset_uri or "")
    what = f"GenDataset {spec.dataset_ref.name}"
    found = seen.references.get(Key(GEN_DATASET, obj.namespace, spec.dataset_ref.name))
    if found is None:
        return _missing(what)
    status = found.get("status") or {}
    place = Place(status.get("uri", ""), status.get("digest"))
    if began and place.digest and began != place.digest:
        return _moved_on(what, began, place.digest)
    if place.digest and (began or is_true(status, "Ready")):
        return place
    blocked = any(c.get("type") in ("Validated", "Fetched") and c.get("status") == "False" for c in _conditions(status))
    return _not_ready(what, status, "Ready", blocked)


def _base(obj: Resource[Spec], seen: Seen, began: str | None) -> Found:
    base = obj.spec.base_model
    if base is None:
        return None
    if base.training_job_ref is None:
        return Place(base.uri or "", base.digest)
    what = f"GenTrainingJob {base.training_job_ref.name}"
    found = seen.references.get(Key(GEN_TRAINING_JOB, obj.namespace, base.training_job_ref.name))
    if found is None:
        return _missing(what)
    status = found.get("status") or {}
    output = status.get("output") or {}
    if not is_true(status, "Complete") or not output:
        return _not_ready(what, status, "Complete", is_true(status, "Failed"))
    return _agreed(what, base, Place(output.get("uri", ""), output.get("digest")), began)


def _agreed(what: str, base: Base, place: Place, began: str | None) -> Found:
    if base.digest and place.digest != base.digest:
        text = f"baseModel.digest is {base.digest}, {what} made {place.digest}; correct one of them in a new object"
        return Trouble(Reason.INPUT_CHANGED, text)
    if began and place.digest and began != place.digest:
        return _moved_on(what, began, place.digest)
    return place


def _missing(what: str) -> Trouble:
    text = f"{what} does not exist in this namespace; the run starts by itself once it does"
    return Trouble(Reason.WAITING_FOR_REFERENCE, text)


def _moved_on(what: str, began: str, now: str) -> Trouble:
    text = f"The run began with {began}, {what} is now {now}; make a new GenTrainingJob for it"
    return Trouble(Reason.INPUT_CHANGED, text)


def _not_ready(what: str, status: Mapping[str, Any], condition: str, failed: bool) -> Trouble:
    said = next((c for c in _conditions(status) if c.get("type") == condition), {})
    why = f" ({said['reason']}: {said.get('message', '')})" if said.get("reason") else ""
    if failed:
        return Trouble(Reason.REFERENCE_FAILED, f"{what} has failed{why}; the run starts by itself once it is mended")
    return Trouble(Reason.WAITING_FOR_REFERENCE, f"Waits for {what}{why}")


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(status.get("conditions") or ())


def _dials(spec: Spec) -> Manifest:
    return {
        "family": spec.family,
        "size": spec.size,
        "seed": spec.seed,
        "hyperparameters": dict(spec.hyperparameters),
    }
