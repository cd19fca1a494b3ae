"""Why an object is where it is: worlds made by the operator itself, and what is told of them."""

from collections.abc import Awaitable, Callable

import pytest
import towns
from towns import FLOW, SOURCE, Town

from genops.cli.story.causes import Why, as_json, explain, paragraph
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, Kind
from genops.core.model import Key

Build = Callable[[], Awaitable[Town]]
# What is asked about, the object that is the root cause, and what the paragraph says.
ROWS: list[tuple[Build, Kind, str, str, tuple[str, ...]]] = [
    (towns.new, GEN_DATASET, "digits", "GenDataset/digits", ("is Pending", "(Creating): Waits for its pod to start.")),
    (towns.new, GEN_DEPLOYMENT, "digits", "GenDataset/digits", ("GenDeployment/digits is Pending: it waits for GenTrainingJob/digits (Pending), which waits for GenDataset/digits.")),
    (towns.lone_run, GEN_TRAINING_JOB, "digits", "GenDataset/digits", ("it waits for GenDataset/digits. GenDataset/digits does not exist in namespace team.", "What to do: create GenDataset/digits, which GenTrainingJob/digits refers to, or mend the reference.")),
    (towns.preparing, GEN_EVALUATION, "digits", "GenDataset/digits", ("GenDataset/digits is Preparing", "It is at checking: step 3 of 4, 75 %, 1 min left.")),
    (towns.blocked, GEN_EVALUATION, "digits", "GenDataset/digits", ("(CheckBlocked): rows: 3 samples, at least 1000 asked.", "ended with exit code 72 0 s ago.", "What to do: mend the data")),
    (towns.no_image, GEN_TRAINING_JOB, "digits", "GenDataset/digits", ("(PodNotStarted): ErrImagePull: no such image genops-trainers:latest.", "What to do: make the image")),
    (towns.no_quota, GEN_DATASET, "digits", "GenDataset/digits", ("0 s ago Job/digits-prepare-", "had FailedCreate: pods is forbidden: exceeded quota.")),
    (towns.retrying, GEN_DATASET, "digits", "GenDataset/digits", ("(Retrying): Attempt 1 failed and is made again: s3://x did not answer.",)),
    (towns.ready, GEN_DATASET, "digits", "GenDataset/digits", ("GenDataset/digits has been Ready for 0 s (Frozen): 1797 samples",)),
    (towns.ready, GEN_DEPLOYMENT, "digits", "GenTrainingJob/digits", ("GenTrainingJob/digits is Pending", "(Creating)")),
    (towns.out_of_memory, GEN_DEPLOYMENT, "digits", "GenTrainingJob/digits", ("(OutOfMemory): batch 512 needs 9 GiB", "What to do: raise resources.limits.memory")),
    (towns.suspended_run, GEN_TRAINING_JOB, "digits", "GenTrainingJob/digits", ("is Suspended", """kubectl patch gtj/digits --type=merge -p '{"spec": {"suspend": false}}'""")),
    (towns.trained, GEN_TRAINING_JOB, "digits", "GenTrainingJob/digits", ("has been Succeeded for 0 s", "Weights at pvc://genops-store/w")),
    (towns.failed_verdict, GEN_DEPLOYMENT, "digits", "GenEvaluation/digits", ("GenDeployment/digits is Failed because of GenEvaluation/digits.", "GenEvaluation/digits has been Complete for 0 s", "(VerdictFailed)", "kubectl genops samples gev/digits")),
    (towns.undecided, GEN_EVALUATION, "digits", "GenEvaluation/digits", ("(VerdictInconclusive)", "What to do: measure with more samples")),
    (towns.passed, GEN_EVALUATION, "digits", "GenEvaluation/digits", ("has been Complete for 0 s", "(VerdictPassed)")),
    (towns.passed, GEN_DEPLOYMENT, "digits", "GenDeployment/digits", ("is Building", "The engine is built and compared with the model.")),
    (towns.asked_people, GEN_EVALUATION, "people", "GenEvaluation/people", ("is WaitingForHumans", "What to do: judge the pairs: genops review")),
    (towns.unevaluated, GEN_DEPLOYMENT, "early", "GenEvaluation/nobody", ("GenEvaluation/nobody does not exist in namespace team.", "which GenDeployment/early refers to")),
    (towns.against_the_rules, GEN_DEPLOYMENT, "wrong", "GenDeployment/wrong", ("is Failed", "(InvalidSpec): scale", "What to do: correct the field that the message names: kubectl edit gdp/wrong")),
    (towns.idea, GEN_MODEL, "digits", "GenDataset/digits-1", ("GenModel/digits is Data: it waits for GenDataset/digits-1.")),
    (towns.idea_rejected, GEN_MODEL, "digits", "GenEvaluation/digits-1", ("GenModel/digits is Halted because of GenEvaluation/digits-1.", "(VerdictFailed)")),
    (towns.idea_waits_for_approval, GEN_MODEL, "digits", "GenModel/digits", ("(WaitingForApproval): Run 1 passed", "kubectl genops approve gm/digits")),
    (towns.idea_suspended, GEN_MODEL, "digits", "GenModel/digits", ("is Halted", "(Suspended)", "kubectl patch gm/digits")),
    (towns.managed_by_another, GEN_TRAINING_JOB, "digits", "GenTrainingJob/digits", ("GenTrainingJob/digits is LeftAlone: spec.managedBy names kueue.x-k8s.io/multikueue, so this operator leaves it alone.",)),
]  # fmt: skip


async def told(build: Build, kind: Kind, name: str) -> tuple[Town, Why]:
    town = await build()
    return town, explain(Key(kind, "team", name), town.world(), town.now)


@pytest.mark.parametrize(
    ("build", "kind", "name", "root", "says"), ROWS, ids=[f"{r[0].__name__}-{r[1].kind}" for r in ROWS]
)  # type: ignore[attr-defined]
async def test_a_world_and_its_story(build: Build, kind: Kind, name: str, root: str, says: tuple[str, ...]) -> None:
    town, why = await told(build, kind, name)
    text = paragraph(why, town.now)
    assert f"{why.root.key.kind}/{why.root.key.name}" == root, text
    for words in says:
        assert words in text
    assert "\n" not in text
    assert as_json(why)["rootCause"]["name"] == root.split("/")[1]


@pytest.mark.parametrize(
    ("build", "kind", "name"), [r[:3] for r in ROWS], ids=[f"{r[0].__name__}-{r[1].kind}" for r in ROWS]
)  # type: ignore[attr-defined]
async def test_what_is_bad_never_goes_without_a_remedy(build: Build, kind: Kind, name: str) -> None:
    _, why = await told(build, kind, name)
    assert why.root.stands.tone != "bad" or why.remedy


async def test_time_is_told() -> None:
    town = await towns.blocked()
    key, now = Key(GEN_DATASET, "team", "digits"), town.later(200)
    assert "ended with exit code 72 3 h ago" in paragraph(explain(key, town.world(), now), now)
    town = await towns.ready()
    now = town.later(200)
    assert "GenDataset/digits has been Ready for 3 h" in paragraph(explain(key, town.world(), now), now)


async def test_what_the_operator_has_not_seen_is_told_as_that() -> None:
    town = Town()
    town.cluster.listener = None
    await town.make(GEN_DATASET, "digits", SOURCE)
    text = paragraph(explain(Key(GEN_DATASET, "team", "digits"), town.world(), town.now), town.now)
    assert "The operator has said nothing of GenDataset/digits yet" in text
    assert "kubectl get pods -A -l app.kubernetes.io/name=genops" in text


async def test_a_spec_that_was_not_looked_at_yet_is_said() -> None:
    town = await towns.ready()
    town.cluster.listener = None
    await town.cluster.patch(GEN_DEPLOYMENT, "team", "digits", {"spec": {"suspend": True}})
    why = explain(Key(GEN_DEPLOYMENT, "team", "digits"), town.world(), town.now)
    assert "has not looked at the newest spec of GenDeployment/digits yet" in paragraph(why, town.now)
    assert as_json(why)["upToDate"] is False


async def test_objects_that_wait_for_each_other_end_the_story() -> None:
    town = Town()
    await town.make(GEN_DATASET, "digits", {**SOURCE, "source": {"capture": {"deploymentRef": {"name": "digits"}}}})
    await town.make(GEN_TRAINING_JOB, "digits", FLOW)
    await town.make(GEN_DEPLOYMENT, "digits", {"model": {"trainingJobRef": {"name": "digits"}}})
    why = explain(Key(GEN_DEPLOYMENT, "team", "digits"), town.world(), town.now)
    assert [s.key.kind for s in why.steps] == [GEN_DEPLOYMENT, GEN_TRAINING_JOB, GEN_DATASET]
