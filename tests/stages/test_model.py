"""GenModel: a chain minted link by link, over the whole operator and a cluster in memory."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_EVALUATION, GEN_MODEL, GEN_TRAINING_JOB, OURS, Kind
from genops.core.model import Key, Manifest
from genops.shell.engine import Engine
from genops.shell.fake import FakeCluster
from genops.shell.informing import Informing
from genops.shell.queue import WorkQueue
from genops.stages import STAGES
from genops.stages.definitions import DEFINITIONS
from genops.stages.model import MODEL
from genops.stages.model.retraining import APPROVE_RETRAINING
from genops.stages.model.status import APPROVE

SAMPLE = yaml.safe_load((Path(__file__).parents[2] / "manifests/samples/model/digits.yaml").read_text())
DATA, WEIGHTS, ENGINE = ("sha256:" + c * 64 for c in "abc")


class Idea:
    """One GenModel; the other stages do not run, their objects' statuses are written by the test."""

    def __init__(self, **changes: Any) -> None:
        self.cluster = FakeCluster()
        self.queue: WorkQueue[Key] = WorkQueue(jitter=lambda: 0.0)
        self.engine = Engine(self.cluster, [MODEL], self.queue)
        self.cluster.listener = Informing(self.engine, also=frozenset(OURS)).arrived
        self.spec: Manifest = {**SAMPLE["spec"], **changes}

    async def begin(self) -> "Idea":
        await self.cluster.create(GEN_MODEL, {"metadata": {"name": "digits", "namespace": "team"}, "spec": self.spec})
        return await self.settle()

    async def settle(self) -> "Idea":
        while len(self.queue):
            key = await self.queue.get()
            assert key is not None
            await self.engine.reconcile(key)
            self.queue.done(key)
        return self

    async def say(self, kind: Kind, name: str, condition: str, value: str = "True", **status: Any) -> "Idea":
        conditions = [{"type": condition, "status": value, "message": f"{name} says {value}"}]
        self.cluster.set_status(Key(kind, "team", name), {"conditions": conditions, **status})
        return await self.settle()

    async def run(self, number: int, verdict: str = "Passed", weights: str = WEIGHTS) -> "Idea":
        name = f"digits-{number}"
        await self.say(GEN_DATASET, name, "Ready", phase="Ready", digest=DATA)
        await self.say(
            GEN_TRAINING_JOB,
            name,
            "Complete",
            phase="Succeeded",
            output={"uri": "x", "digest": weights},
            usage={"cpuSeconds": "60"},
        )
        return await self.say(GEN_EVALUATION, name, "Complete", phase="Complete", verdict=verdict)

    async def deployed(self, weights: str = WEIGHTS) -> "Idea":
        return await self.say(
            GEN_DEPLOYMENT, "digits", "Ready", phase="Serving", stable={"digest": weights, "engineDigest": ENGINE}
        )

    async def change(self, **spec: Any) -> "Idea":
        await self.cluster.patch(GEN_MODEL, "team", "digits", {"spec": spec})
        return await self.settle()

    @property
    def status(self) -> Manifest:
        return dict(self.cluster.all(GEN_MODEL)[0].get("status") or {})

    @property
    def where(self) -> tuple[str, str]:
        return self.status["phase"], self.status["conditions"][0]["reason"]

    def names(self, kind: Kind) -> list[str]:
        return [m["metadata"]["name"] for m in self.cluster.all(kind)]

    def spec_of(self, kind: Kind, name: str) -> Manifest:
        return dict(next(m for m in self.cluster.all(kind) if m["metadata"]["name"] == name)["spec"])


def go(story: Any) -> None:
    asyncio.run(story())


def test_a_chain_is_minted_link_by_link_and_ends_served() -> None:
    async def story() -> None:
        idea = await Idea().begin()
        assert idea.where == ("Data", "Running")
        assert (idea.names(GEN_DATASET), idea.names(GEN_TRAINING_JOB)) == (["digits-1"], [])
        await idea.say(GEN_DATASET, "digits-1", "Ready", phase="Ready", digest=DATA)
        assert idea.where == ("Training", "Running")
        assert idea.spec_of(GEN_TRAINING_JOB, "digits-1")["datasetRef"] == {"name": "digits-1"}
        await idea.say(
            GEN_TRAINING_JOB, "digits-1", "Complete", phase="Succeeded", output={"uri": "x", "digest": WEIGHTS}
        )
        assert idea.where == ("Evaluating", "Running")
        judged = idea.spec_of(GEN_EVALUATION, "digits-1")
        assert judged["subject"] == {"trainingJobRef": {"name": "digits-1"}}
        assert [m["name"] for m in judged["metrics"]] == ["fid", "precision", "recall", "novelty", "latencyP95"]
        assert judged["metrics"][0] == {"name": "fid", "op": "<=", "threshold": 8.0, "primary": True}
        assert "baseline" not in judged, "nothing is served yet"
        assert idea.names(GEN_DEPLOYMENT) == []
        await idea.say(GEN_EVALUATION, "digits-1", "Complete", phase="Complete", verdict="Passed")
        assert idea.where == ("Deploying", "Deploying")
        served = idea.spec_of(GEN_DEPLOYMENT, "digits")
        assert served["model"] == {"trainingJobRef": {"name": "digits-1"}}
        assert served["requires"]["evaluationRef"] == {"name": "digits-1"}
        await idea.deployed()
        assert idea.where == ("Serving", "Serving")

    go(story)


def test_the_lineage_says_which_data_weights_and_verdict_made_what_is_served() -> None:
    async def story() -> None:
        idea = await (await (await Idea().begin()).run(1)).deployed()
        current = idea.status["current"]
        assert current["digests"] == {"dataset": DATA, "weights": WEIGHTS, "engine": ENGINE}
        assert (current["run"], current["verdict"], current["deployment"]) == (1, "Passed", "digits")
        (run,) = idea.status["runs"]
        assert (run["number"], run["cause"], run["outcome"]) == (1, "Initial", "Promoted")
        assert idea.status["usage"]["cpuSeconds"] == "60"

    go(story)


@pytest.mark.parametrize("verdict", ["Failed", "Inconclusive"])
def test_a_model_that_did_not_pass_is_never_deployed(verdict: str) -> None:
    async def story() -> None:
        idea = await (await Idea().begin()).run(1, verdict)
        assert idea.where == ("Halted", "RunRejected")
        assert idea.names(GEN_DEPLOYMENT) == []
        assert idea.status["runs"][0]["outcome"] == "Rejected"

    go(story)


def test_a_broken_link_is_named_and_stops_the_chain() -> None:
    async def story() -> None:
        idea = await Idea().begin()
        await idea.say(GEN_DATASET, "digits-1", "Ready", "False", phase="Blocked")
        assert idea.where == ("Halted", "RunFailed")
        assert idea.status["conditions"][0]["message"] == "Run 1: GenDataset digits-1: digits-1 says False"
        assert idea.names(GEN_TRAINING_JOB) == []

    go(story)


def test_a_changed_spec_makes_a_second_run_judged_against_what_is_served() -> None:
    async def story() -> None:
        idea = await (await (await Idea().begin()).run(1)).deployed()
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "s"}}})
        assert idea.where == ("Retraining", "Serving")
        assert idea.names(GEN_DATASET) == ["digits-1", "digits-2"]
        other = "sha256:" + "d" * 64
        await idea.run(2, weights=other)
        assert idea.spec_of(GEN_EVALUATION, "digits-2")["baseline"] == {"deploymentRef": {"name": "digits"}}
        assert idea.spec_of(GEN_DEPLOYMENT, "digits")["model"] == {"trainingJobRef": {"name": "digits-2"}}
        await idea.deployed(other)
        assert idea.where == ("Serving", "Serving")
        assert [(r["number"], r["cause"], r["outcome"]) for r in idea.status["runs"]] == [
            (1, "Initial", "Superseded"),
            (2, "SpecChanged", "Promoted"),
        ]

    go(story)


def test_a_second_run_that_did_not_pass_leaves_the_first_served() -> None:
    async def story() -> None:
        idea = await (await (await Idea().begin()).run(1)).deployed()
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "s"}}})
        await idea.run(2, "Failed", "sha256:" + "d" * 64)
        assert idea.where == ("Serving", "Serving")
        assert idea.spec_of(GEN_DEPLOYMENT, "digits")["model"] == {"trainingJobRef": {"name": "digits-1"}}
        assert [r["outcome"] for r in idea.status["runs"]] == ["Promoted", "Rejected"]

    go(story)


def test_manual_promotion_waits_for_the_annotation() -> None:
    async def story() -> None:
        idea = await (await Idea(promotion={"mode": "Manual"}).begin()).run(1)
        assert idea.where == ("Halted", "WaitingForApproval")
        assert idea.names(GEN_DEPLOYMENT) == []
        await idea.cluster.patch(GEN_MODEL, "team", "digits", {"metadata": {"annotations": {APPROVE: "1"}}})
        await idea.settle()
        assert idea.where == ("Deploying", "Deploying")

    go(story)


def test_suspend_stops_the_chain_where_it_is_and_lets_it_go_on() -> None:
    async def story() -> None:
        idea = await Idea(suspend=True).begin()
        assert idea.where == ("Halted", "Suspended")
        assert idea.names(GEN_DATASET) == []
        await idea.change(suspend=False)
        assert idea.names(GEN_DATASET) == ["digits-1"]

    go(story)


def test_old_runs_go_beyond_the_history_limit_and_the_served_one_stays() -> None:
    async def story() -> None:
        idea = await (await (await Idea(historyLimit=1).begin()).run(1)).deployed()
        for number in (2, 3, 4):
            await idea.change(training={"template": {"spec": {"family": "flow", "seed": number}}})
            await idea.run(number, "Failed", "sha256:" + str(number) * 64)
        assert idea.names(GEN_TRAINING_JOB) == ["digits-1", "digits-3", "digits-4"]
        assert [r["number"] for r in idea.status["runs"]] == [1, 3, 4]

    go(story)


def test_a_dataset_that_is_there_is_used_and_never_owned() -> None:
    async def story() -> None:
        idea = await Idea(dataset={"ref": {"name": "shared"}}).begin()
        assert idea.where == ("Ideation", "Creating")
        body = {
            "metadata": {"name": "shared", "namespace": "team"},
            "spec": SAMPLE["spec"]["dataset"]["template"]["spec"],
        }
        await idea.cluster.create(GEN_DATASET, body)
        await idea.say(GEN_DATASET, "shared", "Ready", phase="Ready", digest=DATA)
        assert idea.spec_of(GEN_TRAINING_JOB, "digits-1")["datasetRef"] == {"name": "shared"}
        assert idea.names(GEN_DATASET) == ["shared"]

    go(story)


def test_what_is_minted_keeps_every_rule_of_its_kind() -> None:
    """Each child of a model with everything set is a spec that admission takes, in its first run and in a later one."""

    async def story() -> None:
        metrics = [{"name": "kid", "maxRegression": 0.1}, {"name": "latencyP95"}]
        intent = {**SAMPLE["spec"]["intent"], "licenses": {"allow": ["CC0-1.0"]}}
        idea = await Idea(intent=intent, evaluation={"template": {"spec": {"metrics": metrics}}}).begin()
        await (await idea.run(1)).deployed()
        assert idea.spec_of(GEN_DATASET, "digits-1")["licenses"] == {"allow": ["CC0-1.0"]}
        assert {"name": "kid", "primary": False} in idea.spec_of(GEN_EVALUATION, "digits-1")["metrics"]
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "s"}}})
        await idea.run(2, weights="sha256:" + "d" * 64)
        assert {**metrics[0], "primary": False} in idea.spec_of(GEN_EVALUATION, "digits-2")["metrics"]
        for stage in STAGES:
            for made in idea.cluster.all(stage.kind):
                stage.spec.model_validate(made["spec"])

    go(story)


def test_a_settled_model_is_written_no_more() -> None:
    async def story() -> None:
        idea = await (await (await Idea().begin()).run(1)).deployed()
        idea.cluster.calls.clear()
        idea.queue.add(Key(GEN_MODEL, "team", "digits"))
        await idea.settle()
        assert idea.cluster.calls == []

    go(story)


RETRAIN = {"causes": ["Drift"], "cooldownSeconds": 0}
WATCH = [{"name": "inputs", "of": "input", "test": "psi", "threshold": 0.2, "action": "Retrain"}]


async def drifting(value: str = "True", weights: str = WEIGHTS, **changes: Any) -> Idea:
    """Build an idea whose first run is served and whose deployment says whether it has drifted."""
    template = {"spec": {**SAMPLE["spec"]["deployment"]["template"]["spec"], "drift": WATCH}}
    policy = {**RETRAIN, **changes.pop("retrain", {})}
    idea = await (await Idea(retrain=policy, deployment={"template": template}, **changes).begin()).run(1)
    await idea.deployed()
    return await drifts(idea, value, weights)


async def drifts(idea: Idea, value: str = "True", weights: str = WEIGHTS, watch: str = "inputs") -> Idea:
    said = [{"type": "Ready", "status": "True", "message": ""}, {"type": "Drifted", "status": value, "message": ""}]
    stable = {"digest": weights, "engineDigest": ENGINE}
    idea.cluster.set_status(
        Key(GEN_DEPLOYMENT, "team", "digits"),
        {
            "conditions": said,
            "phase": "Serving",
            "stable": stable,
            "drift": [{"name": watch, "since": "2026-01-01T00:00:00Z"}],
        },
    )
    return await idea.settle()


def test_a_drift_mints_one_run_that_is_judged_against_what_is_served() -> None:
    async def story() -> None:
        idea = await drifting()
        assert idea.where == ("Retraining", "Serving")
        assert idea.names(GEN_DATASET) == ["digits-1", "digits-2"]
        await drifts(idea)
        assert idea.names(GEN_DATASET) == ["digits-1", "digits-2"], "a run under way is waited for"
        other = "sha256:" + "d" * 64
        await idea.run(2, weights=other)
        assert idea.spec_of(GEN_EVALUATION, "digits-2")["baseline"] == {"deploymentRef": {"name": "digits"}}
        assert idea.names(GEN_DATASET) == ["digits-1", "digits-2"], "what is served is not the promoted run yet"
        await drifts(idea, "False", other)
        assert [(r["number"], r["cause"], r["outcome"]) for r in idea.status["runs"]] == [
            (1, "Initial", "Superseded"),
            (2, "Drift", "Promoted"),
        ]

    go(story)


@pytest.mark.parametrize(
    ("value", "changes", "says"),
    [
        ("False", {}, ""),
        ("Unknown", {}, ""),
        ("True", {"retrain": {"cooldownSeconds": 3600}}, "cooldownSeconds"),
        ("True", {"retrain": {"maxRuns": 1, "windowSeconds": 86400}}, "maxRuns"),
        ("True", {"budget": {"cpuHours": 0.01}}, "budget.cpuHours is used up"),
        ("True", {"retrain": {"approve": "Manual"}}, "genops.dev/approve-retraining=2"),
    ],
)
def test_a_run_that_is_held_is_not_minted_and_says_why(value: str, changes: Manifest, says: str) -> None:
    async def story() -> None:
        idea = await drifting(value, **changes)
        assert idea.names(GEN_DATASET) == ["digits-1"]
        message = idea.status["conditions"][0]["message"]
        assert says in message
        assert ("asked for by Drift" in message) == bool(says)

    go(story)


def test_a_watch_that_only_alerts_mints_nothing() -> None:
    async def story() -> None:
        idea = await drifts(await drifting("False"), watch="outputs")
        assert idea.names(GEN_DATASET) == ["digits-1"]

    go(story)


def test_an_approved_run_starts() -> None:
    async def story() -> None:
        idea = await drifting(retrain={"approve": "Manual"})
        annotations = {"annotations": {APPROVE_RETRAINING: "2"}}
        await idea.cluster.patch(GEN_MODEL, "team", "digits", {"metadata": annotations})
        await idea.settle()
        assert idea.names(GEN_DATASET) == ["digits-1", "digits-2"]

    go(story)


async def taken_back(idea: Idea, weights: str, serves: str = WEIGHTS) -> Idea:
    """The deployment rolled some weights back, and goes on with others."""
    conditions = [
        {"type": "Ready", "status": "True", "message": ""},
        {"type": "RolledBack", "status": "True", "message": "slow 90 does not keep to <= 60"},
    ]
    stable = {"digest": serves, "engineDigest": ENGINE}
    status = {"conditions": conditions, "phase": "Degraded", "stable": stable, "quarantined": [weights]}
    idea.cluster.set_status(Key(GEN_DEPLOYMENT, "team", "digits"), status)
    return await idea.settle()


def test_a_run_that_was_rolled_back_gives_way_to_the_one_before() -> None:
    async def story() -> None:
        other = "sha256:" + "d" * 64
        idea = await (await (await Idea().begin()).run(1)).deployed()
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "s"}}})
        await idea.run(2, weights=other)
        assert idea.spec_of(GEN_DEPLOYMENT, "digits")["model"] == {"trainingJobRef": {"name": "digits-2"}}
        await taken_back(idea, other)
        runs = idea.status["runs"]
        assert [r["outcome"] for r in runs] == ["Promoted", "RolledBack"]
        assert runs[1]["message"] == "slow 90 does not keep to <= 60"
        assert idea.spec_of(GEN_DEPLOYMENT, "digits")["model"] == {"trainingJobRef": {"name": "digits-1"}}
        await idea.deployed()
        assert idea.where == ("Serving", "Serving")
        assert [r["outcome"] for r in idea.status["runs"]] == ["Promoted", "RolledBack"], "it is not tried again"
        third = "sha256:" + "e" * 64
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "m"}}})
        await (await idea.run(3, weights=third)).deployed(third)
        assert [r["outcome"] for r in idea.status["runs"]] == ["Superseded", "RolledBack", "Promoted"]

    go(story)


def test_a_run_that_was_never_served_is_not_what_one_goes_back_to() -> None:
    async def story() -> None:
        idea = await Idea(promotion={"mode": "Manual"}).begin()
        await idea.run(1)
        await idea.change(training={"template": {"spec": {"family": "flow", "size": "s"}}})
        await idea.run(2, "Failed", "sha256:" + "d" * 64)
        assert [r["outcome"] for r in idea.status["runs"]] == ["Superseded", "Rejected"]
        assert idea.names(GEN_DEPLOYMENT) == []

    go(story)


class Late:
    """The operator's own engine over a cluster whose watch events come after the answers to writes."""

    def __init__(self) -> None:
        self.cluster, self.events = FakeCluster(), []
        self.queue: WorkQueue[Key] = WorkQueue(jitter=lambda: 0.0)
        self.engine = Engine(self.cluster, list(STAGES), self.queue)
        self.informing = Informing(self.engine)
        self.cluster.listener = lambda *event: self.events.append(event)

    def arrive(self) -> None:
        """Every event that is under way arrives."""
        events, self.events = self.events, []
        for event in events:
            self.informing.arrived(*event)

    async def look(self, kind: Kind, name: str) -> None:
        """The next object that is to be looked at is this one."""
        key = await asyncio.wait_for(self.queue.get(), 5)
        assert key == Key(kind, "team", name)
        await self.engine.reconcile(key)
        self.queue.done(key)
        self.arrive()


def test_what_a_write_was_answered_with_wakes_whom_it_concerns_before_its_event_comes() -> None:
    async def story() -> None:
        late = Late()
        body = {"metadata": {"name": "digits", "namespace": "team"}, "spec": SAMPLE["spec"]}
        await late.cluster.create(GEN_MODEL, body)
        late.arrive()
        await late.look(GEN_MODEL, "digits")
        await late.look(GEN_DATASET, "digits-1")  # it was made
        await late.look(GEN_MODEL, "digits")  # what it made says something of itself

    go(story)


def test_a_spec_that_nobody_can_read_any_more_loses_no_lineage() -> None:
    async def story() -> None:
        idea = await (await (await Idea().begin()).run(1)).deployed()
        before = idea.status
        await idea.change(success=[{"metric": "fid", "op": "~", "threshold": 8}])
        assert idea.where == ("Halted", "InvalidSpec")
        assert (idea.status["runs"], idea.status["current"]) == (before["runs"], before["current"])
        assert idea.names(GEN_DEPLOYMENT) == ["digits"]

    go(story)


def test_every_kind_has_the_phase_of_an_object_that_cannot_be_read() -> None:
    for stage in STAGES:
        definition = next(d for d in DEFINITIONS if d.kind == stage.kind.kind)
        phases = str(definition.status.model_fields["phase"].annotation)
        assert f"'{stage.stopped}'" in phases, stage.kind
