"""How a GenDataset with deletionPolicy Delete goes: what writes is stopped, who refers is waited for, one Job sweeps.

The object is held by a finalizer meanwhile. It is let go once its data has gone; and with its data left behind, which
is said, once nothing can remove it any more: the claim has gone, the namespace goes, or the policy is Keep by now.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gencontract.task import Run, SweepTask, TaskFile
from genops.core.conditions import Condition
from genops.core.jobs import JobFacts, age, has_ended, read_job
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, JOB
from genops.core.model import EVERY, Config, Happening, Key, Manifest, Plan, Resource, Seen
from genops.core.names import child_name
from genops.core.podspec import Trying, Work, claims_of, job, pod_path
from genops.core.reasons import Reason
from genops.core.rules import Rule, always, first
from genops.core.stores import place
from genops.stages.dataset.spec import Spec
from genops.stages.dataset.status import KEPT

ROLE = "sweep"
RETRIES = 3
SWEEP_SECONDS = 600  # a Job that has not even started by then is made anew
AGAIN_SECONDS = 30.0  # after a Job that failed for good
REFERRERS = (GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT, GEN_MODEL)
KEEP = "or set spec.deletionPolicy to Keep, which lets the object go and leaves its data"


@dataclass(frozen=True)
class Facts:
    """The world of one GenDataset under deletion, read once."""

    folders: tuple[str, ...]  # all that it ever wrote
    kept: bool  # the policy was changed meanwhile
    namespace_goes: bool
    writers: tuple[Manifest, ...]  # Jobs that may still write
    referrers: tuple[str, ...]
    job: JobFacts
    claim_gone: str  # in the scheduler's words
    failed_at: str


def held(obj: Resource[Spec]) -> bool:
    """Say whether an object that lives must be held when it is deleted."""
    return obj.spec.deletion_policy == "Delete"


def refs(obj: Resource[Spec]) -> tuple[Key, ...]:
    """Name everything that might refer to the data, once it is to be removed."""
    if not (obj.deleting and held(obj)):
        return ()
    return tuple(Key(kind, obj.namespace, EVERY) for kind in REFERRERS)


def folder(obj: Resource[Spec], config: Config) -> str:
    """Where everything goes that the object ever writes, each syncRound into a folder of its own."""
    return place(obj.spec.storage, config, obj, {})


def plan(obj: Resource[Spec], seen: Seen, now: datetime) -> Plan:
    """Decide what is still to be done before the object may go."""
    facts = read(obj, seen, now)
    rule = first(RULES, facts)
    message = rule.say.format(
        folders=", ".join(facts.folders),
        referrers=", ".join(facts.referrers),
        stuck=facts.job.stuck,
        failure=facts.job.failure.message if facts.job.failure else "",
        keep=KEEP,
    )
    hold = rule.phase == HELD
    said = {c["type"]: c for c in obj.status.get("conditions", ())}
    others = (Condition(t, said[t]["status"], said[t]["reason"], said[t]["message"]) for t in OTHERS if t in said)
    return Plan(
        children=children(obj, facts, seen.config, now) if hold else (),
        status=_status(obj, facts),
        conditions=(Condition("Ready", "False", rule.reason, message), *others),
        happening=_happening(rule, message),
        wake_after=AGAIN_SECONDS if facts.job.failed else None,
        hold=hold,
    )


def inspect(obj: Resource[Spec], seen: Seen) -> tuple[str, ...]:
    """Ask for the pods of the Job that sweeps."""
    return tuple(m["metadata"]["name"] for m in seen.children.get(JOB, ()) if m["metadata"]["name"] == _job_name(obj))


# --- the rules -------------------------------------------------------------------------------------------------------

HELD, FREE = "held", "free"
OTHERS = ("Fetched", "Validated")

RULES: tuple[Rule[Facts], ...] = (
    Rule(lambda f: f.kept, FREE, Reason.DATA_KEPT, "spec.deletionPolicy is Keep: the data stays at {folders}"),
    Rule(lambda f: f.job.succeeded, FREE, Reason.DATA_REMOVED, "The data at {folders} was removed"),
    Rule(
        lambda f: f.namespace_goes,
        FREE,
        Reason.DATA_LEFT_BEHIND,
        "The namespace is being removed, so nothing can run that removes the data at {folders}; what outlives the "
        "namespace is yours to remove",
    ),
    Rule(
        lambda f: bool(f.claim_gone),
        FREE,
        Reason.DATA_LEFT_BEHIND,
        "The store has gone: {stuck}. What may be left of {folders} is yours to remove",
    ),
    Rule(lambda f: bool(f.writers), HELD, Reason.DELETING, "Waits for the pods that prepare the data to end"),
    Rule(
        lambda f: bool(f.referrers),
        HELD,
        Reason.DATA_IN_USE,
        "The data at {folders} is referred to by {referrers}; delete these, {keep}",
    ),
    Rule(
        lambda f: f.job.failure is not None,
        HELD,
        Reason.REMOVAL_FAILED,
        "{failure}. It is tried again: mend the cause, {keep}",
    ),
    Rule(lambda f: bool(f.job.stuck), HELD, Reason.POD_NOT_STARTED, "{stuck}; mend the cause, {keep}"),
    Rule(always, HELD, Reason.REMOVING_DATA, "The data at {folders} is removed"),
)


def _happening(rule: Rule[Facts], message: str) -> Happening | None:
    """What is worth an event: how it ended, or what it waits for a person to do."""
    if rule.reason in (Reason.DATA_REMOVED, Reason.DATA_KEPT):
        return Happening("Normal", rule.reason, message)
    quiet = rule.reason in (Reason.DELETING, Reason.REMOVING_DATA)
    return None if quiet else Happening("Warning", rule.reason, message)


def _status(obj: Resource[Spec], facts: Facts) -> Manifest:
    status: Manifest = {"phase": "Deleting", **{k: obj.status[k] for k in KEPT if k in obj.status}}
    if facts.job.failure:
        status["lastFailure"] = facts.job.failure.status(ROLE)
    return status


# --- reading ---------------------------------------------------------------------------------------------------------


def read(obj: Resource[Spec], seen: Seen, now: datetime) -> Facts:
    """Read the world into facts."""
    folders = _folders(obj, seen.config)
    manifest = seen.child(JOB, _job_name(obj))
    facts = read_job(manifest, seen.pods.get(_job_name(obj), ()))
    return Facts(
        folders=folders,
        kept=not held(obj),
        namespace_goes=seen.terminating,
        writers=tuple(m for m in seen.children.get(JOB, ()) if m is not manifest and _may_write(m)),
        referrers=tuple(sorted(_referrers(obj, seen, folders))),
        job=facts,
        claim_gone=_claim_gone(facts.stuck, folders),
        failed_at=_failed_at(manifest),
    )


def _folders(obj: Resource[Spec], config: Config) -> tuple[str, ...]:
    """The object's folder: where the operator's settings put it today, and where they did when it was prepared."""
    today = folder(obj, config)
    was = str(obj.status.get("uri") or "").rpartition("/")[0]
    own = "/" + "/".join(today.split("/")[-2:])  # the kind, and the name with the hash of the object's uid
    return (today, was) if was.endswith(own) and was != today else (today,)


def _may_write(manifest: Manifest) -> bool:
    status = manifest.get("status") or {}
    suspended = manifest["spec"].get("suspend", False)
    at_work = bool(status.get("active") or status.get("terminating"))
    return at_work or not (suspended or has_ended(manifest))


def _claim_gone(stuck: str, folders: Iterable[str]) -> str:
    """Find the scheduler's word that a claim of the data's does not exist, or will not soon."""
    names = "|".join(re.escape(name) for name in claims_of(*folders))
    match = re.search(rf'persistentvolumeclaim "({names})" (not found|is being deleted)', stuck) if names else None
    return match[0] if match else ""


def _failed_at(manifest: Manifest | None) -> str:
    conditions = ((manifest or {}).get("status") or {}).get("conditions", ())
    return next((str(c.get("lastTransitionTime") or "") for c in conditions if c["type"] == "Failed"), "")


def _referrers(obj: Resource[Spec], seen: Seen, folders: tuple[str, ...]) -> Iterable[str]:
    """Name every object that refers to the dataset or to a place within its data.

    A GenModel that owns the dataset and is going itself waits for the dataset, and must not be waited for.
    """
    owners = {o["uid"] for o in obj.metadata.get("ownerReferences", ())}
    for key, manifest in seen.references.items():
        meta = manifest["metadata"]
        own = meta["uid"] == obj.uid or (meta["uid"] in owners and "deletionTimestamp" in meta)
        if not own and key.kind in REFERRERS and _refers(manifest, obj.name, folders):
            yield f"{key.kind}/{key.name}"


def _refers(manifest: Manifest, name: str, folders: tuple[str, ...]) -> bool:
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    idea = [(spec.get("dataset") or {}).get("ref"), {"name": (status.get("current") or {}).get("dataset")}]
    named = any(ref and ref.get("name") == name for ref in [*_values(spec, "datasetRef"), *idea])
    claims = (f"pvc://{c['claimName']}/{c.get('path', '')}" for c in _values(spec, "pvc") if "claimName" in c)
    places = (*_texts(spec), *_texts(status), *claims)
    return named or any(text == f or text.startswith(f + "/") for text in places for f in folders)


def _values(tree: Any, key: str) -> Iterable[dict[str, Any]]:
    """Every object that stands under a key, wherever it is in a manifest."""
    for name, value in _items(tree):
        if name == key and isinstance(value, dict):
            yield value
        yield from _values(value, key)


def _texts(tree: Any) -> Iterable[str]:
    if isinstance(tree, str):
        yield tree
    for _, value in _items(tree):
        yield from _texts(value)


def _items(tree: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(tree, dict):
        return tree.items()
    return (("", value) for value in tree) if isinstance(tree, list) else ()


# --- children --------------------------------------------------------------------------------------------------------


def children(obj: Resource[Spec], facts: Facts, config: Config, now: datetime) -> tuple[Manifest, ...]:
    """What writes, suspended; or else the Job that sweeps, but one that failed a while ago, which goes first."""
    if facts.writers:
        return tuple({**m, "kind": JOB.kind, "spec": {**m["spec"], "suspend": True}} for m in facts.writers)
    if facts.referrers or (facts.failed_at and age(facts.failed_at, now) >= AGAIN_SECONDS):
        return ()
    return (sweep_job(obj, facts.folders, config),)


def sweep_job(obj: Resource[Spec], folders: tuple[str, ...], config: Config) -> Manifest:
    """Build the Job that removes the data, in the operator's image whatever prepared it."""
    task = SweepTask(locations=[pod_path(f) for f in folders])
    work = Work(
        role=ROLE,
        task=TaskFile(run=Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid), task=task),
        image=config.trainer_image,
        claims=claims_of(*folders),
        resources=obj.spec.resources,
        template=obj.spec.template,
    )
    made = job(obj, work, Trying(RETRIES, SWEEP_SECONDS), config, {}, name=_job_name(obj))
    for owner in made["metadata"]["ownerReferences"]:
        owner["blockOwnerDeletion"] = False  # else a deletion in the foreground would remove the Job before its work
    return made


def _job_name(obj: Resource[Spec]) -> str:
    return child_name(obj.name, ROLE, [obj.uid])
