"""A new version beside the one that answers: its steps, its numbers, its way back; each world planned and carried out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from deployments import (
    DATA,
    ENGINE,
    EVALUATION,
    NEWER,
    OTHER,
    RUN,
    Scene,
    a_dataset,
    a_run,
    an_evaluation,
    next_model,
    running,
    scene,
)
from worlds import NOW, condition, resource

from gencontract.codes import Code
from genops.core.conditions import merge
from genops.core.kinds import HTTP_ROUTE
from genops.core.model import Answer, Config, Manifest, Plan
from genops.core.reasons import Reason
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment.servers import VERSION

ERRORS = {"name": "errors", "builtin": "errorRate", "op": "<=", "threshold": 0.01, "intervalSeconds": 15}
STEPS = [{"weight": 10, "seconds": 60}, {"weight": 50, "seconds": 60}]
CANARY: dict[str, Any] = {"strategy": "Canary", "steps": STEPS, "metrics": [ERRORS]}
TOLD = {"canary/age": Answer(3.0), "canary/requests": Answer(40.0)}
GOOD = {"canary/errors": Answer(0.0), **TOLD}
BAD = {"canary/errors": Answer(0.5), **TOLD}


class Story:
    """A GenDeployment whose next version has its server, told look by look on a clock of its own."""

    def __init__(self, rollout: dict[str, Any] | None = None, **more: Any) -> None:
        present = frozenset({HTTP_ROUTE})
        first = replace(scene(rollout=rollout or CANARY, **more), present=present, config=Config(prometheus="http://p"))
        self.world: Scene = next_model(first.built().ready().told()).built(NEWER)
        self.now = NOW
        self.plan = self.world.plan(self.now)

    def look(self, seconds: float = 0, **answers: Answer) -> Plan:
        """Let time pass, and carry out what is planned then; servers that are asked for become ready."""
        self.now += timedelta(seconds=seconds)
        self.plan = self.world.plan(self.now)
        self._carry_out()
        return self.plan

    def _carry_out(self) -> None:
        world, plan = self.world, self.plan
        known = {(c["kind"], c["metadata"]["name"]): c for c in world.children}
        made = []
        for child in plan.children:
            before = known.get((child["kind"], child["metadata"]["name"]))
            made.append(_took(before, child))
        conditions = merge(plan.conditions, world.status.get("conditions", ()), world.generation, self.now)
        status = {**plan.status, "conditions": conditions, "observedGeneration": world.generation}
        self.world = replace(world, children=tuple(made), status=status)

    def told(self, answers: dict[str, Answer]) -> "Story":
        """Prometheus says this from now on."""
        self.world = replace(self.world, answers=answers)
        return self

    def begin(self) -> "Story":
        """The new version's first server is ready, and its first step has begun."""
        self.look()
        self.look()
        assert self.canary["step"] == 0
        return self

    @property
    def canary(self) -> Manifest:
        return dict(self.plan.status.get("canary") or {})

    @property
    def phase(self) -> str:
        return str(self.plan.status["phase"])

    @property
    def reason(self) -> str:
        return condition(self.plan, "Progressing").reason

    @property
    def reached(self) -> set[str]:
        """Which engines a request to the Service may reach."""
        service = next(c for c in self.plan.children if c["kind"] == "Service")
        wanted = service["spec"]["selector"].items()
        pods = {
            d["metadata"]["annotations"][VERSION]: d["spec"]["template"]["metadata"]["labels"]
            for d in self.plan.children
            if d["kind"] == "Deployment"
        }
        return {
            engine for engine in (ENGINE, OTHER) for text, p in pods.items() if wanted <= p.items() and engine in text
        }

    def replicas(self, digest: str) -> int:
        return next(
            int(d["spec"]["replicas"])
            for d in self.plan.children
            if d["kind"] == "Deployment" and digest in d["metadata"]["annotations"][VERSION]
        )


def _took(before: Manifest | None, child: Manifest) -> Manifest:
    """What the cluster makes of an applied object: its generation moves with its spec, its pods become ready."""
    made = {**child, "metadata": {**child["metadata"]}}
    same = before is not None and before.get("spec") == child.get("spec")
    generation = (before or {}).get("metadata", {}).get("generation", 0) + (0 if same else 1)
    made["metadata"]["generation"] = generation
    if before and "status" in before:
        made["status"] = before["status"]
    if child["kind"] == "Deployment":
        count = child["spec"]["replicas"]
        of_all = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas"), count)
        made["status"] = {"observedGeneration": generation, **of_all}
    return made


# Steps.


def test_a_canary_goes_step_by_step_to_the_end() -> None:
    story = Story(scale_of := CANARY, scale={"min": 9}).told(GOOD)
    assert scale_of["steps"] == STEPS
    story.look()
    assert (story.canary["weight"], story.reached) == (0, {ENGINE}), "it starts without a request"
    story.look()
    assert (story.canary["step"], story.canary["weight"], story.replicas(OTHER), story.replicas(ENGINE)) == (
        0,
        10,
        1,
        9,
    )
    assert (story.phase, story.reason, story.reached) == ("RollingOut", "Canary", {ENGINE, OTHER})
    story.look(30)
    assert story.canary["step"] == 0
    story.look(31)
    assert (story.canary["step"], story.replicas(OTHER), "since" in story.canary) == (1, 9, False)
    story.look()
    assert (story.canary["weight"], "since" in story.canary) == (50, True)
    story.look(61)
    assert (story.reached, story.reason) == ({OTHER}, "Switching")
    story.look()
    assert running(story.plan) == {OTHER}
    story.look()
    assert (story.phase, story.plan.status["stable"]["engineDigest"], story.canary) == ("Serving", OTHER, {})


def test_a_single_server_says_its_true_share() -> None:
    story = Story().told(GOOD).begin()
    assert (story.replicas(ENGINE), story.replicas(OTHER), story.canary["weight"]) == (1, 1, 50)


def test_more_than_half_leaves_fewer_of_the_old_ones_and_all_come_back() -> None:
    rollout = {**CANARY, "steps": [{"weight": 80, "seconds": 60}]}
    story = Story(rollout, scale={"min": 8}).told(GOOD).begin()
    assert (story.replicas(ENGINE), story.replicas(OTHER), story.canary["weight"]) == (2, 8, 80)
    story.told(BAD).look(15)
    story.look(15)
    assert (running(story.plan), story.replicas(ENGINE)) == ({ENGINE}, 8)


def test_what_an_autoscaler_counts_is_not_taken_away() -> None:
    rollout = {**CANARY, "steps": [{"weight": 80, "seconds": 60}]}
    scale = {"min": 2, "max": 5, "metric": "cpu", "target": 70.0}
    story = Story(rollout, scale=scale).told(GOOD).begin()
    assert (story.replicas(ENGINE), story.replicas(OTHER)) == (2, 2)


def test_without_steps_ten_and_fifty_per_cent_are_kept_for_a_minute_each() -> None:
    story = Story({"strategy": "Canary"}, scale={"min": 9}).begin()
    seen = [story.canary["weight"]]
    for _ in range(3):
        story.look(61)
        story.look()
        seen.append(story.canary.get("weight", 100))
    assert seen == [10, 50, 100, 100]


def test_a_hundred_per_cent_is_watched_before_the_old_one_goes() -> None:
    rollout = {**CANARY, "steps": [{"weight": 100, "seconds": 60}]}
    story = Story(rollout).told(GOOD).begin()
    assert (story.reached, running(story.plan)) == ({OTHER}, {ENGINE, OTHER})
    assert story.plan.status["stable"]["engineDigest"] == ENGINE
    story.told(BAD).look(15)
    story.look(15)
    assert (story.reached, running(story.plan)) == ({ENGINE}, {ENGINE})


# The way back.


def test_a_number_that_fails_too_often_takes_it_back_within_the_look() -> None:
    story = Story().told(GOOD).begin().told(BAD)
    story.look(15)
    assert story.canary["analysis"][0] | {"time": ""} == {
        "name": "errors",
        "value": "0.5",
        "failures": 1,
        "passed": False,
        "message": "0.5 does not keep to <= 0.01",
        "time": "",
    }
    assert story.plan.wake_after == 15, "the deciding look comes when it is due"
    story.look(15)
    assert (running(story.plan), story.reached) == ({ENGINE}, {ENGINE})
    assert (story.phase, story.plan.status["quarantined"]) == ("Degraded", [OTHER])
    said = condition(story.plan, "RolledBack")
    assert "errors 0.5 does not keep to <= 0.01" in said.message
    assert story.plan.status["lastFailure"]["reason"] == "AnalysisFailed"
    story.look(60)
    assert (running(story.plan), story.phase) == ({ENGINE}, "Degraded")


def test_a_server_that_ends_takes_it_back_at_once() -> None:
    story = Story().told(GOOD).begin()
    story.world = story.world.crashed(Code.CRASHED, "Triton ended by -11", OTHER)
    story.look(1)
    assert (running(story.plan), story.phase) == ({ENGINE}, "Degraded")
    assert "Triton ended by -11" in condition(story.plan, "RolledBack").message


def test_a_verdict_that_is_taken_back_takes_it_back() -> None:
    story = Story().told(GOOD).begin()
    story.world = replace(
        story.world, references={RUN: a_run(OTHER), DATA: a_dataset(), EVALUATION: an_evaluation("Failed", OTHER)}
    )
    story.look(1)
    assert running(story.plan) == {ENGINE}
    assert "GenEvaluation/judge says Failed by now" in condition(story.plan, "RolledBack").message


def test_a_verdict_in_doubt_keeps_it_waiting() -> None:
    story = Story().told(GOOD).begin()
    story.world = replace(
        story.world, references={RUN: a_run(OTHER), DATA: a_dataset(), EVALUATION: an_evaluation("Inconclusive", OTHER)}
    )
    story.look(100)
    assert (story.canary["step"], running(story.plan)) == (0, {ENGINE, OTHER})
    assert "no verdict Passed" in condition(story.plan, "Progressing").message


def test_without_auto_rollback_it_stays_and_says_so() -> None:
    story = Story({**CANARY, "autoRollback": False}).told(GOOD).begin().told(BAD)
    story.look(15)
    story.look(15)
    assert (story.phase, story.reason, running(story.plan)) == ("Degraded", "AnalysisFailed", {ENGINE, OTHER})
    story.look(600)
    assert (story.canary["step"], running(story.plan)) == (0, {ENGINE, OTHER})


def test_the_owner_may_go_back_by_hand_in_mid_canary() -> None:
    story = Story().told(GOOD).begin()
    story.world = replace(story.world, references={RUN: a_run(), DATA: a_dataset(), EVALUATION: an_evaluation()})
    story.look()
    assert (running(story.plan), story.reached) == ({ENGINE}, {ENGINE})


# What is not known.

UNKNOWN = [
    {},
    {"canary/errors": Answer(None, Reason.PROMETHEUS_UNREACHABLE, "gave no answer"), "canary/age": Answer(3.0)},
    {"canary/errors": Answer(None, Reason.NO_METRICS, "no such series"), "canary/age": Answer(None, Reason.NO_METRICS)},
    {"canary/errors": Answer(None, Reason.NOT_A_NUMBER, "NaN"), "canary/age": Answer(3.0)},
    {**GOOD, "canary/age": Answer(300.0)},
    {**GOOD, "canary/requests": Answer(0.0)},
    {**GOOD, "canary/requests": Answer(None, Reason.NO_METRICS, "no such series")},
    {**GOOD, "canary/age": Answer(None, Reason.PROMETHEUS_UNREACHABLE, "gave no answer")},
]


@pytest.mark.parametrize("answers", UNKNOWN)
@pytest.mark.parametrize("since", [0, 1, 59])
def test_what_is_not_known_neither_promotes_nor_takes_back(answers: dict[str, Answer], since: int) -> None:
    story = Story().told(GOOD).begin()
    story.look(since)
    story.told(answers)
    for _ in range(50):
        story.look(15)
    assert (story.canary["step"], running(story.plan), story.reason) == (0, {ENGINE, OTHER}, "AnalysisUnknown")
    assert "quarantined" not in story.plan.status
    story.told(GOOD).look(15)
    assert story.canary["step"] == 1, "it goes on once the number is there"


# A restart.


def test_a_restart_in_mid_canary_changes_nothing() -> None:
    """All that is remembered is in the cluster: worlds are planned from it alone, and times are those of status."""
    story = Story().told(GOOD).begin()
    story.look(45)
    again = story.world.plan(story.now)
    assert (again.status["canary"], again.children) == (story.plan.status["canary"], story.plan.children)


def test_a_status_that_was_lost_begins_the_canary_anew_and_drops_nobody() -> None:
    story = Story().told(GOOD).begin()
    story.look(61)
    story.world = replace(story.world, status={})
    story.look()
    assert story.canary["step"] == 0
    assert (running(story.plan), story.plan.status["stable"]["engineDigest"]) == ({ENGINE, OTHER}, ENGINE)


# Questions.


def test_a_number_is_asked_for_when_its_look_is_due_and_about_the_new_version() -> None:
    story = Story().told(GOOD).begin()
    story.look()
    new = story.world.server(OTHER)["metadata"]["labels"][VERSION]

    def asked(later: float) -> dict[str, str]:
        obj = resource(STAGE, "front", story.world.spec, story.world.status)
        return dict(STAGE.asks(obj, story.world.seen(), story.now + timedelta(seconds=later)))

    assert asked(5) == {}
    due = asked(15)
    assert set(due) == {"canary/errors", "canary/age", "canary/requests"}
    assert all(f'genops_dev_version="{new}"' in query for query in due.values())


def test_a_query_of_the_user_knows_both_versions() -> None:
    own = {"name": "own", "query": 'a{v="{{version}}"} / a{v="{{stable}}"}', "op": "<", "threshold": 2.0}
    story = Story({**CANARY, "metrics": [own]}).told({"canary/own": Answer(1.0)}).begin()
    old, new = (story.world.server(digest)["metadata"]["labels"][VERSION] for digest in (ENGINE, OTHER))
    obj = resource(STAGE, "front", story.world.spec, story.world.status)
    asked = STAGE.asks(obj, story.world.seen(), story.now)
    assert asked == {"canary/own": f'a{{v="{new}"}} / a{{v="{old}"}}'}


# Blue-green.


def test_blue_green_is_watched_without_a_request_and_switches_at_once() -> None:
    story = Story({"strategy": "BlueGreen", "holdSeconds": 30}, scale={"min": 3})
    story.look()
    story.look()
    assert (story.replicas(OTHER), story.reached, story.canary["weight"]) == (3, {ENGINE}, 0)
    story.look(29)
    assert story.reached == {ENGINE}
    story.look(2)
    assert story.reached == {OTHER}
    story.look()
    assert running(story.plan) == {OTHER}


# A Gateway.

GATEWAY = {"name": "public", "hostname": "front.example.org"}


class AtGateway(Story):
    """The same with a Gateway, whose controller sees routes when it is told to."""

    def __init__(self, rollout: dict[str, Any]) -> None:
        super().__init__({**rollout, "gatewayRef": GATEWAY}, scale={"min": 4})

    def accept(self, status: str = "True") -> None:
        """The controller has seen the route as it stands."""
        route = next(c for c in self.world.children if c["kind"] == "HTTPRoute")
        said = {"type": "Accepted", "status": status, "reason": "NoMatchingListener", "message": "no listener",
                "observedGeneration": route["metadata"]["generation"]}  # fmt: skip
        seen = {**route, "status": {"parents": [{"conditions": [said]}]}}
        self.world = replace(self.world, children=tuple(seen if c is route else c for c in self.world.children))

    @property
    def rule(self) -> Manifest:
        return dict(next(c for c in self.plan.children if c["kind"] == "HTTPRoute")["spec"]["rules"][0])

    @property
    def weights(self) -> dict[str, int]:
        return {b["name"]: b["weight"] for b in self.rule["backendRefs"]}

    def selected(self, name: str) -> str:
        service = next(c for c in self.plan.children if c["kind"] == "Service" and c["metadata"]["name"] == name)
        ids = {
            self.world.server(d)["metadata"]["labels"][VERSION]: d for d in (ENGINE, OTHER) if d in running(self.plan)
        }
        return ids[service["spec"]["selector"][VERSION]]


def test_a_gateway_splits_by_weight_and_its_word_is_waited_for() -> None:
    story = AtGateway(CANARY)
    story.told(GOOD)
    story.look()
    assert (story.weights, story.reached) == ({"front-serve": 100, "front-canary": 0}, {ENGINE})
    assert (story.selected("front-serve"), story.selected("front-canary")) == (ENGINE, OTHER)
    assert story.plan.status["url"] == "http://front.example.org"
    story.look()
    assert (story.weights["front-canary"], story.replicas(OTHER), story.replicas(ENGINE)) == (10, 1, 4)
    story.look(100)
    assert ("since" in story.canary, story.reason) == (False, "GatewayNotReady")
    story.accept("False")
    story.look(1)
    assert "NoMatchingListener: no listener" in condition(story.plan, "Progressing").message
    story.accept()
    story.look(1)
    assert (story.canary["weight"], "since" in story.canary) == (10, True)
    story.look(61)
    assert (story.canary["step"], story.weights["front-canary"]) == (1, 50)
    story.look(1)
    assert "since" not in story.canary, "the controller has not seen the newest weights"
    story.accept()
    story.look(1)
    story.look(61)
    story.look()
    assert (story.selected("front-serve"), story.weights) == (OTHER, {"front-serve": 100, "front-canary": 0})
    story.look()
    assert running(story.plan) == {OTHER}
    assert story.selected("front-canary") == OTHER, "a gateway that is late still finds a server"


def test_a_shadow_gets_copies_and_never_answers() -> None:
    story = AtGateway({"strategy": "Shadow", "holdSeconds": 30, "mirrorPercent": 20, "metrics": [ERRORS]})
    story.told(GOOD)
    story.look()
    assert "filters" not in story.rule
    story.look()
    mirror = story.rule["filters"][0]["requestMirror"]
    assert (mirror["backendRef"]["name"], mirror["percent"]) == ("front-canary", 20)
    assert story.weights == {"front-serve": 100, "front-canary": 0}
    story.accept()
    story.look(1)
    story.look(31)
    story.look()
    assert (running(story.plan), "filters" in story.rule) == ({OTHER}, False)


def test_a_gateway_that_the_cluster_cannot_have_is_refused() -> None:
    plan = scene(rollout={**CANARY, "gatewayRef": GATEWAY}).plan()
    assert (plan.status["phase"], condition(plan, "Ready").reason) == ("Failed", "GatewayMissing")


# Twenty bad versions.


def _worse(story: Story, fault: int) -> None:
    """One of the ways in which a version may be bad."""
    if fault % 4 == 0:
        story.world = story.world.crashed(Code.CRASHED, "Triton ended by -11", OTHER)
    elif fault % 4 == 1:
        story.told(BAD)
    elif fault % 4 == 2:
        story.told({"canary/errors": Answer(0.011), **TOLD})
    else:
        judged = an_evaluation("Failed", OTHER)
        story.world = replace(story.world, references={RUN: a_run(OTHER), DATA: a_dataset(), EVALUATION: judged})


@pytest.mark.parametrize("fault", range(20))
def test_a_bad_version_ends_with_the_one_before_within_thirty_seconds(fault: int) -> None:
    story = Story(scale={"min": 9}).told(GOOD).begin()
    story.look(3 * fault)
    _worse(story, fault)
    began = story.now
    for _ in range(20):
        story.look(max(1.0, min(5.0, story.plan.wake_after or 5.0)))
        assert story.plan.status["stable"]["engineDigest"] == ENGINE
        if running(story.plan) == {ENGINE}:
            break
    assert (running(story.plan), story.plan.status["quarantined"]) == ({ENGINE}, [OTHER])
    assert (story.now - began).total_seconds() <= 30


# A drift that takes a version back.

WATCH = {"name": "outputs", "of": "output", "test": "psi", "threshold": 0.2, "consecutive": 1, "windowSeconds": 60,
         "minSamples": 10, "action": "Rollback"}  # fmt: skip


def drifting(story: Story, value: float) -> dict[str, Answer]:
    """All that Prometheus is asked about the watch, with that distance."""
    obj = resource(STAGE, "front", story.world.spec, story.world.status)
    numbers = {"age": 1.0, "reference": 1e6, "bins": 10.0, "features": 1.0, "samples": 1e6, "value": value}
    asked = STAGE.asks(obj, story.world.seen(), story.now)
    return {name: Answer(numbers[name.split("/")[-1].split("@")[0]]) for name in asked if name.startswith("drift/")}


def promoted() -> Story:
    """A version that was promoted, and is watched for drift."""
    story = Story({"strategy": "BlueGreen"}, drift=[WATCH])
    for _ in range(5):
        story.look(1)
    assert (running(story.plan), story.phase) == ({OTHER}, "Serving")
    return story


def test_a_drift_takes_the_version_back_to_the_one_before_and_it_stays_there() -> None:
    story = promoted()
    story.told(drifting(story, 0.01)).look(60)
    assert running(story.plan) == {OTHER}
    story.now += timedelta(seconds=60)
    story.told(drifting(story, 3.0)).look()
    assert (story.phase, story.reason, story.reached) == ("RollingOut", "RolledBack", {OTHER})
    assert running(story.plan) == {ENGINE, OTHER}, "whoever answers is not taken away"
    assert story.plan.status["quarantined"] == [OTHER]
    story.told({}).look(1)
    assert story.reached == {ENGINE}
    story.look(1)
    story.look(1)
    assert (running(story.plan), story.phase) == ({ENGINE}, "Degraded")
    said = condition(story.plan, "RolledBack")
    assert (said.status, "outputs: " in said.message, "change the spec" in said.message) == ("True", True, True)
    for _ in range(3):
        story.look(60)
    assert (running(story.plan), story.reached) == ({ENGINE}, {ENGINE})


def test_a_first_version_that_drifts_has_nothing_to_go_back_to_and_serves_on() -> None:
    story = Story({"strategy": "BlueGreen"}, drift=[WATCH])
    story.world = scene(rollout={"strategy": "BlueGreen"}, drift=[WATCH]).built().ready().told()
    story.plan = story.world.plan(story.now)
    story.now += timedelta(seconds=60)
    story.told(drifting(story, 3.0)).look()
    assert (running(story.plan), condition(story.plan, "Drifted").status) == ({ENGINE}, "True")
    said = condition(story.plan, "RolledBack")
    assert (said.status, said.reason) == ("False", "NothingBefore")


def test_another_spec_tries_again_what_drifted() -> None:
    story = promoted()
    story.now += timedelta(seconds=60)
    story.told(drifting(story, 3.0)).look()
    for _ in range(4):
        story.told({}).look(1)
    assert running(story.plan) == {ENGINE}
    story.world = story.world.given(rollout={"strategy": "BlueGreen", "holdSeconds": 1})
    story.look()
    assert OTHER not in story.plan.status.get("quarantined", [])
