"""When a drift may start a run: tables of times and histories, without a cluster."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from genops.core.conditions import timestamp
from genops.core.kinds import GEN_MODEL
from genops.core.model import Manifest, Resource, Seen
from genops.stages.model import MODEL
from genops.stages.model.cron import next_after
from genops.stages.model.retraining import Asked, asked, cause
from genops.stages.model.spec import Spec
from genops.stages.model.status import inputs_hash

SAMPLE = yaml.safe_load((Path(__file__).parents[2] / "manifests/samples/model/digits.yaml").read_text())["spec"]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRIFTED = {
    "conditions": [{"type": "Drifted", "status": "True"}],
    "drift": [{"name": "inputs", "since": "2026-03-01T11:00:00Z"}],
}
WEIGHTS = "sha256:" + "b" * 64


def model(**retrain: Any) -> Resource[Spec]:
    watch = {"name": "inputs", "of": "input", "test": "psi", "threshold": 0.2, "action": "Retrain"}
    template = {"spec": {**SAMPLE["deployment"]["template"]["spec"], "drift": [watch]}}
    policy = {"causes": ["Drift"], "cooldownSeconds": 0, **retrain}
    spec = Spec.model_validate({**SAMPLE, "deployment": {"template": template}, "retrain": policy})
    return Resource(GEN_MODEL, "digits", "team", "u", 1, spec, {}, {"name": "digits", "uid": "u"})


def history(**minutes_ago: int) -> dict[int, Manifest]:
    """Runs by number, each of one minute; `r3=10` began ten minutes ago."""
    began = {int(name[1:]): NOW - timedelta(minutes=m) for name, m in minutes_ago.items()}
    return {
        n: {"number": n, "startedAt": timestamp(b), "finishedAt": timestamp(b + timedelta(minutes=1))}
        for n, b in began.items()
    }


def ask(obj: Resource[Spec], before: dict[int, Manifest], now: datetime = NOW) -> Asked:
    found = asked(obj, DRIFTED, before, {}, now)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("policy", "runs", "starts_in"),
    [
        ({}, {"r1": 5}, None),
        ({"cooldownSeconds": 240}, {"r1": 5}, None),
        ({"cooldownSeconds": 300}, {"r1": 5}, 1),
        ({"cooldownSeconds": 300}, {"r1": 90, "r2": 2}, 4),
        ({"maxRuns": 2, "windowSeconds": 3600}, {"r1": 5}, None),
        ({"maxRuns": 2, "windowSeconds": 3600}, {"r1": 59, "r2": 5}, 1),
        ({"maxRuns": 2, "windowSeconds": 3600}, {"r1": 60, "r2": 5}, None),
        ({"maxRuns": 3, "windowSeconds": 3600}, {"r1": 600, "r4": 20}, 40),
        ({"maxRuns": 3, "windowSeconds": 3600}, {"r3": 600, "r4": 20}, None),
    ],
)
def test_a_run_starts_when_the_cooldown_is_over_and_the_window_has_room(
    policy: Manifest, runs: dict[str, int], starts_in: int | None
) -> None:
    before = history(**runs)
    found = ask(model(**policy), before)
    assert found.number == max(before) + 1
    assert bool(found.held) == (starts_in is not None)
    if starts_in is not None:
        later = NOW + timedelta(minutes=starts_in)
        assert found.until == later
        assert not ask(model(**policy), before, later).held


def test_the_plan_wakes_when_a_held_run_may_start() -> None:
    obj = model(cooldownSeconds=300)
    first = {**history(r1=5)[1], "inputs": inputs_hash(obj), "outcome": "Promoted"}
    status = {"runs": [first]}
    served = Resource(obj.kind, obj.name, obj.namespace, obj.uid, 1, obj.spec, status, obj.metadata)
    plan = MODEL.plan(served, world(), NOW)
    assert plan.wake_after == 60
    assert [r["number"] for r in plan.status["runs"]] == [1]
    later = MODEL.plan(served, world(), NOW + timedelta(seconds=60))
    assert [(r["number"], r["cause"]) for r in later.status["runs"]] == [(1, "Initial"), (2, "Drift")]


def world(drifted: str = "True") -> Seen:
    """Run 1 as its objects say it, served, and drifted or not."""
    done = {"conditions": [{"type": t, "status": "True"} for t in ("Ready", "Complete")]}
    said: dict[str, Manifest] = {
        "GenDataset": done,
        "GenTrainingJob": {**done, "output": {"digest": WEIGHTS}},
        "GenEvaluation": {**done, "verdict": "Passed"},
    }
    owned = {
        kind: ({"metadata": {"name": "digits-1", "labels": {}}, "spec": {}, "status": said[kind.kind]},)
        for kind in MODEL.owns
        if kind.kind in said
    }
    serving = {**DRIFTED, "stable": {"digest": WEIGHTS}}
    serving["conditions"] = [{"type": "Drifted", "status": drifted}, {"type": "Ready", "status": "True"}]
    deployment = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": serving}
    return Seen(children={**owned, **{k: (deployment,) for k in MODEL.owns if k.kind == "GenDeployment"}})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("* * * * *", "2026-03-01T12:01"),
        ("0 3 * * 1", "2026-03-02T03:00"),
        ("0 3 * * mon", "2026-03-02T03:00"),
        ("0 12 * * 7", "2026-03-08T12:00"),
        ("*/20 8-10 * * *", "2026-03-02T08:00"),
        ("5,50 12 * * *", "2026-03-01T12:05"),
        ("0 0 15 * tue", "2026-03-03T00:00"),
        ("0 0 29 feb *", "2028-02-29T00:00"),
    ],
)
def test_a_cron_line_is_due_next(line: str, expected: str) -> None:
    assert next_after(line, NOW).strftime("%Y-%m-%dT%H:%M") == expected


@pytest.mark.parametrize("line", ["61 * * * *", "* 5-2 * * *", "*/0 * * * *", "* * x * *", "0 0 30 feb *"])
def test_a_schedule_that_cannot_be_is_named(line: str) -> None:
    found = asked(model(causes=["Drift", "Schedule"], schedule=line), {}, history(r1=5), {}, NOW)
    assert found is not None
    assert found.held.startswith("retrain.schedule: ")


def test_a_schedule_starts_one_run_when_it_is_due() -> None:
    obj = model(causes=["Drift", "Schedule"], schedule="0 * * * *")
    found = asked(obj, {}, history(r1=5), {}, NOW - timedelta(minutes=1))
    assert found is not None
    assert (found.until, bool(found.held)) == (NOW, True)
    assert asked(obj, {}, history(r1=300), {}, NOW) == Asked(2)
    assert (cause(obj, {}), cause(obj, DRIFTED)) == ("Schedule", "Drift")


def test_the_lineage_says_that_a_schedule_asked_even_where_the_status_was_lost_between() -> None:
    obj = model(causes=["Drift", "Schedule"], schedule="0 * * * *")
    status = {"runs": [{**history(r1=300)[1], "inputs": inputs_hash(obj), "outcome": "Promoted"}]}
    served = Resource(obj.kind, obj.name, obj.namespace, obj.uid, 1, obj.spec, status, obj.metadata)
    calm = world(drifted="False")
    plan = MODEL.plan(served, calm, NOW)
    made = [c for c in plan.children if c["metadata"]["name"] == "digits-2"]
    assert [c["kind"] for c in made] == ["GenDataset"]
    children = {k: (*found, *(c for c in made if c["kind"] == k.kind)) for k, found in calm.children.items()}
    again = MODEL.plan(served, Seen(children=children), NOW)
    for said in (plan, again):
        assert [(r["number"], r["cause"]) for r in said.status["runs"]] == [(1, "Initial"), (2, "Schedule")]
