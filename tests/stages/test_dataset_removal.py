"""GenDataset with deletionPolicy Delete: worlds under deletion, and what is done, said and waited for in each."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from toy import Bench
from worlds import NOW, AJob, condition, kinds_of, resource

from gencontract.codes import Code
from gencontract.report import Report
from gencontract.wire import decode_task
from genops.core.kinds import (
    EVENT,
    GEN_DATASET,
    GEN_DEPLOYMENT,
    GEN_EVALUATION,
    GEN_MODEL,
    GEN_TRAINING_JOB,
    JOB,
    Kind,
)
from genops.core.model import FINALIZER, Config, Key, Manifest, Plan, Seen
from genops.core.podspec import TASK_ANNOTATION
from genops.shell.errors import ApiError
from genops.stages.dataset import DATASET
from genops.stages.dataset.children import output
from genops.stages.dataset.removal import folder, refs

SPEC: dict[str, Any] = {"source": {"builtin": {"name": "digits"}}, "format": "images", "deletionPolicy": "Delete"}
CONFIG = Config()
GOING = {"deletionTimestamp": "2026-01-01T12:00:00Z", "finalizers": [FINALIZER]}
SWEPT = Report(verb="sweep", code=Code.DONE)
GONE_CLAIM = '0/1 nodes are available: persistentvolumeclaim "genops-store" not found. preemption: 0/1'


def dataset(status: Manifest | None = None, meta: Manifest = GOING, **spec: Any) -> Any:
    return resource(DATASET, "digits", {**SPEC, **spec}, status, **meta)


FOLDER = folder(dataset(), CONFIG)


def plan(obj: Any, *jobs: AJob, references: dict[Key, Manifest] | None = None, **seen: Any) -> Plan:
    children: dict[Kind, tuple[Manifest, ...]] = {JOB: tuple(j.manifest for j in jobs)}
    pods = {j.name: j.pods for j in jobs}
    return DATASET.plan(obj, Seen(children, references or {}, pods, **seen), NOW)


PREPARE = AJob(next(m for m in DATASET.plan(dataset(meta={}), Seen(), NOW).children if m["kind"] == "Job"))
SWEEP = AJob(next(m for m in plan(dataset()).children if m["kind"] == "Job"))


def unscheduled(job: AJob, message: str) -> AJob:
    waiting = job.waiting("", "")
    return replace(waiting, pods=(replace(waiting.pods[0], waiting="", unschedulable=message),))


def failed(seconds_ago: float) -> AJob:
    job = SWEEP.failed(Code.FORBIDDEN, "s3://bucket may not be opened; check credentials")
    manifest = copy.deepcopy(job.manifest)
    moment = (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    manifest["status"]["conditions"][0]["lastTransitionTime"] = moment
    return replace(job, manifest=manifest)


def test_every_round_writes_below_one_folder_of_the_objects_own() -> None:
    first, second = dataset(meta={}), dataset(meta={}, syncRound=2)
    assert output(first, CONFIG) == f"{FOLDER}/1"
    assert output(second, CONFIG) == f"{FOLDER}/2"
    other = resource(DATASET, "digits", SPEC, uid="another-life")
    assert folder(other, CONFIG) != FOLDER


@pytest.mark.parametrize(("policy", "hold"), [("Delete", True), ("Keep", False)])
def test_only_what_is_to_be_deleted_is_held(policy: str, hold: bool) -> None:
    assert plan(dataset(meta={}, deletionPolicy=policy)).hold is hold


def test_the_job_that_sweeps_gets_the_objects_folder_and_its_claim_and_nothing_else() -> None:
    template = SWEEP.manifest["spec"]["template"]
    task = decode_task(template["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert task.model_dump() == {"verb": "sweep", "locations": [f"/genops/store/{FOLDER.removeprefix('pvc://')}"]}
    claims = [v["persistentVolumeClaim"] for v in template["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert claims == [{"claimName": "genops-store"}]
    (owner,) = SWEEP.manifest["metadata"]["ownerReferences"]
    assert owner["blockOwnerDeletion"] is False, "a deletion in the foreground would take the Job before its work"


ROWS: list[tuple[str, tuple[AJob, ...], bool, str, str, list[str]]] = [
    ("A dataset that goes asks for the Job that sweeps", (), True, "RemovingData", FOLDER, [f"Job/{SWEEP.name}"]),
    ("While it sweeps, it stays", (SWEEP.running(),), True, "RemovingData", FOLDER, [f"Job/{SWEEP.name}"]),
    ("Once it has swept, the object may go", (SWEEP.succeeded(SWEPT),), False, "DataRemoved", "was removed", []),
    ("A Job that prepared and has ended goes first", (PREPARE.succeeded(None),), True, "RemovingData", FOLDER, [f"Job/{SWEEP.name}"]),
    ("A Job that still prepares is stopped first", (PREPARE.running(),), True, "Deleting", "pods that prepare", [f"Job/{PREPARE.name}"]),
    ("A try that failed says why", (SWEEP.pod_failed(Code.SOURCE_UNAVAILABLE, "s3://x did not answer"),), True, "RemovalFailed", "s3://x did not answer. It is tried again", [f"Job/{SWEEP.name}"]),
    ("A Job that failed is told of with a remedy", (failed(5),), True, "RemovalFailed", "set spec.deletionPolicy to Keep", [f"Job/{SWEEP.name}"]),
    ("A Job that failed a while ago makes room for another", (failed(31),), True, "RemovalFailed", "tried again", []),
    ("A pod that cannot start says why", (SWEEP.waiting("ErrImagePull", "no such image"),), True, "PodNotStarted", "no such image", [f"Job/{SWEEP.name}"]),
    ("A node that is full is waited for", (unscheduled(SWEEP, "0/1 nodes are available: Insufficient cpu"),), True, "PodNotStarted", "Insufficient cpu", [f"Job/{SWEEP.name}"]),
    ("A claim that has gone took the data with it", (unscheduled(SWEEP, GONE_CLAIM),), False, "DataLeftBehind", '"genops-store" not found', []),
    ("Another claim that is missing is no such thing", (unscheduled(SWEEP, 'persistentvolumeclaim "theirs" not found'),), True, "PodNotStarted", "theirs", [f"Job/{SWEEP.name}"]),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "jobs", "hold", "reason", "says", "children"), ROWS, ids=[r[0] for r in ROWS])
def test_a_world_and_what_follows(
    fact: str, jobs: tuple[AJob, ...], hold: bool, reason: str, says: str, children: list[str]
) -> None:
    made = plan(dataset(), *jobs)
    ready = condition(made, "Ready")
    assert (made.status["phase"], made.hold, ready.status, ready.reason) == ("Deleting", hold, "False", reason)
    assert says in ready.message
    assert kinds_of(made) == children


def test_a_job_that_prepares_is_suspended_and_waited_for_until_its_pods_have_ended() -> None:
    (stopped,) = plan(dataset(), PREPARE.running()).children
    assert stopped["spec"]["suspend"] is True
    manifest = {**PREPARE.manifest, "spec": {**PREPARE.manifest["spec"], "suspend": True}}
    ending = AJob({**manifest, "status": {"terminating": 1}})
    assert condition(plan(dataset(), ending), "Ready").reason == "Deleting"
    ended = AJob({**manifest, "status": {"terminating": 0}})
    assert kinds_of(plan(dataset(), ended)) == [f"Job/{SWEEP.name}"]


def test_a_namespace_that_goes_is_not_waited_for_and_what_is_left_is_said() -> None:
    made = plan(dataset(), terminating=True)
    assert made.hold is False
    assert condition(made, "Ready").reason == "DataLeftBehind"
    assert made.happening is not None
    assert FOLDER in made.happening.message


def test_a_policy_set_back_to_keep_lets_the_object_go() -> None:
    made = plan(dataset(deletionPolicy="Keep"), SWEEP.waiting("ErrImagePull", "no such image"))
    assert (made.hold, condition(made, "Ready").reason, made.children) == (False, "DataKept", ())


def test_data_that_was_written_where_the_operators_settings_put_it_then_goes_too() -> None:
    was = FOLDER.replace("genops-store", "older-store")
    (job,) = plan(dataset(status={"uri": f"{was}/1"})).children
    task = decode_task(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task
    stores = [f"/genops/store/{f.removeprefix('pvc://')}" for f in (FOLDER, was)]
    assert task.model_dump()["locations"] == stores


@pytest.mark.parametrize(
    "uri", ["pvc://genops-store/shared/all", "pvc://genops-store/gendatasets/digits-0000000000/1", "s3://b"]
)
def test_a_place_that_a_container_of_your_own_reported_is_not_the_objects_to_remove(uri: str) -> None:
    (job,) = plan(dataset(status={"uri": uri})).children
    task = decode_task(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task
    assert len(task.model_dump()["locations"]) == 1


def other(kind: Kind, spec: Manifest, status: Manifest | None = None, **meta: Any) -> dict[Key, Manifest]:
    metadata = {"name": "other", "namespace": "team", "uid": "uid-other", **meta}
    return {Key(kind, "team", "other"): {"metadata": metadata, "spec": spec, "status": status or {}}}


FOLDER_ON_CLAIM = FOLDER.removeprefix("pvc://genops-store/")
REFERRERS: list[tuple[str, dict[Key, Manifest]]] = [
    ("A run that trains on it", other(GEN_TRAINING_JOB, {"datasetRef": {"name": "digits"}})),
    ("A run that names its place", other(GEN_TRAINING_JOB, {"datasetUri": f"{FOLDER}/1"})),
    ("An evaluation that judges by it", other(GEN_EVALUATION, {"datasetRef": {"name": "digits"}})),
    ("A deployment that calibrates on it", other(GEN_DEPLOYMENT, {"optimize": {"datasetRef": {"name": "digits"}}})),
    ("An idea that starts from it", other(GEN_MODEL, {"dataset": {"ref": {"name": "digits"}}})),
    ("An idea whose lineage names it", other(GEN_MODEL, {}, {"current": {"dataset": "digits"}})),
    ("A dataset that is made of it", other(GEN_DATASET, {"source": {"pvc": {"claimName": "genops-store", "path": f"{FOLDER_ON_CLAIM}/1"}}})),
    ("A dataset in a bucket that is made of it", other(GEN_DATASET, {"source": {"s3": {"uri": FOLDER}}})),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "references"), REFERRERS, ids=[r[0] for r in REFERRERS])
def test_what_something_refers_to_is_not_removed(fact: str, references: dict[Key, Manifest]) -> None:
    made = plan(dataset(), references=references)
    (key,) = references
    assert (made.hold, made.children) == (True, ())
    ready = condition(made, "Ready")
    assert ready.reason == "DataInUse"
    assert f"{key.kind}/other" in ready.message
    assert "deletionPolicy to Keep" in ready.message


STRANGERS: list[tuple[str, dict[Key, Manifest]]] = [
    ("A run on other data", other(GEN_TRAINING_JOB, {"datasetRef": {"name": "digits-2"}})),
    ("A place whose name begins alike", other(GEN_TRAINING_JOB, {"datasetUri": f"{FOLDER}0/1"})),
    ("A dataset of the same content", other(GEN_DATASET, {}, {"digest": "sha256:" + "a" * 64})),
    ("The dataset itself", {Key(GEN_DATASET, "team", "digits"): {"metadata": {"name": "digits", "uid": "uid-digits"}, "status": {"uri": f"{FOLDER}/1"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "references"), STRANGERS, ids=[r[0] for r in STRANGERS])
def test_what_does_not_refer_is_not_waited_for(fact: str, references: dict[Key, Manifest]) -> None:
    assert condition(plan(dataset(), references=references), "Ready").reason == "RemovingData"


def test_an_idea_that_owns_the_data_and_goes_in_the_foreground_is_not_waited_for() -> None:
    """It waits for the dataset, which it owns: each would wait for the other."""
    owned = {**GOING, "ownerReferences": [{"uid": "uid-other", "kind": "GenModel", "name": "other"}]}
    lineage = {"current": {"dataset": "digits"}}
    lives = other(GEN_MODEL, {}, lineage)
    goes = other(GEN_MODEL, {}, lineage, deletionTimestamp="2026-01-01T12:00:00Z")
    assert condition(plan(dataset(meta=owned), references=lives), "Ready").reason == "DataInUse"
    assert condition(plan(dataset(meta=owned), references=goes), "Ready").reason == "RemovingData"


def test_only_an_object_under_deletion_looks_for_referrers() -> None:
    assert refs(dataset(meta={})) == ()
    assert len(refs(dataset())) == 5
    assert refs(dataset(deletionPolicy="Keep")) == ()


class World(Bench):
    """The real stage over a fake cluster."""

    def __init__(self) -> None:
        super().__init__(DATASET)

    async def lives_and_is_deleted(self) -> None:
        body = {"metadata": {"name": "digits", "namespace": "default"}, "spec": SPEC}
        await self.cluster.create(GEN_DATASET, body)
        await self.settle()
        self.ends(self.names(JOB)[0])
        await self.settle()
        await self.delete()

    async def delete(self) -> None:
        (found,) = self.cluster.all(GEN_DATASET)
        await self.cluster.delete(GEN_DATASET, "default", "digits", found["metadata"]["uid"])

    def ends(self, name: str) -> None:
        done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        self.cluster.set_status(Key(JOB, "default", name), {"succeeded": 1, "conditions": [done]})

    def said(self) -> str:
        conditions = {c["type"]: c for c in self.status("digits")["conditions"]}
        return str(conditions["Ready"]["reason"])


async def test_a_life_and_a_deletion_over_the_engine() -> None:
    world = World()
    await world.lives_and_is_deleted()
    await world.settle()
    assert world.said() == "RemovingData"
    (job,) = world.cluster.all(JOB)
    world.ends(job["metadata"]["name"])
    await world.settle()
    assert world.cluster.all(GEN_DATASET) == []
    assert world.cluster.all(JOB) == []
    assert "DataRemoved" in [e["reason"] for e in world.cluster.all(EVENT)]


async def test_a_referrer_that_goes_lets_the_removal_begin() -> None:
    world = World()
    run = {"metadata": {"name": "run", "namespace": "default"}, "spec": {"datasetRef": {"name": "digits"}}}
    made = await world.cluster.create(GEN_TRAINING_JOB, run)
    world.informing.arrived(GEN_TRAINING_JOB, "ADDED", made)
    await world.lives_and_is_deleted()
    await world.settle()
    assert world.said() == "DataInUse"
    world.cluster.remove(Key(GEN_TRAINING_JOB, "default", "run"))
    await world.settle()
    assert world.said() == "RemovingData"


async def test_a_namespace_that_goes_is_never_blocked() -> None:
    world = World()
    await world.lives_and_is_deleted()
    going = ApiError(403, "Forbidden", "namespace default is being terminated", ("NamespaceTerminating",))
    world.cluster.before = lambda verb, kind, name: going if verb == "create" else None
    await world.settle()
    assert world.cluster.all(GEN_DATASET) == []


async def test_keep_takes_the_finalizer_back() -> None:
    world = World()
    await world.cluster.create(GEN_DATASET, {"metadata": {"name": "digits", "namespace": "default"}, "spec": SPEC})
    await world.settle()
    assert world.cluster.all(GEN_DATASET)[0]["metadata"]["finalizers"] == [FINALIZER]
    await world.cluster.patch(GEN_DATASET, "default", "digits", {"spec": {"deletionPolicy": "Keep"}})
    await world.settle()
    assert world.cluster.all(GEN_DATASET)[0]["metadata"]["finalizers"] == []


def test_a_sweep_that_ended_needs_no_report() -> None:
    """Its exit code is the whole answer, so that a pod which is gone by then loses nothing."""
    assert plan(dataset(), AJob(SWEEP.succeeded(None).manifest)).hold is False
