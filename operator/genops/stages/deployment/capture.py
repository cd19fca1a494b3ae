"""Say what servers record of their traffic, and where. Pure; must not know how a record is made or read."""

from gencontract import task as contract
from genops.core.model import Resource
from genops.core.podspec import pod_path
from genops.core.stores import records
from genops.stages.deployment.spec import Spec


def location(obj: Resource[Spec]) -> str:
    """Return the folder of this object's records; nothing where none are made."""
    return records(obj.spec.capture.store.location(), obj.metadata) if obj.spec.capture else ""


def leaves(obj: Resource[Spec]) -> bool:
    """Say whether records leave the cluster's own volumes, for which servers must be let out."""
    return bool(obj.spec.capture) and not location(obj).startswith("pvc://")


def task(obj: Resource[Spec]) -> contract.Capture | None:
    """Tell a server pod what to record."""
    asked = obj.spec.capture
    if asked is None:
        return None
    return contract.Capture(
        uri=pod_path(location(obj)),
        rate=asked.sample_rate,
        per_minute=asked.max_per_minute,
        redact=asked.redact,
        rotate_seconds=asked.rotate_seconds,
        keep_seconds=asked.retention_seconds,
    )
