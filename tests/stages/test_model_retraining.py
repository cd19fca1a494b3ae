"""When a drift may start a run: tables of times and histories, without a cluster."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from genops.core.conditions import timestamp
from genops.core.kinds import GEN_DATASET, GEN_MODEL
from genops.core.model import Answer, Key, Manifest, Resource, Seen
from genops.stages.model import MODEL
from genops.stages.model.budget import Spent, kept, sums, used_up, within
from genops.stages.model.news import News, read
from genops.stages.model.retraining import APPROVE_RETRAINING, RETRAIN, Asked, Past, asked, cause
from genops.stages.model.spec import Budget, Spec
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
    found = asked(obj, DRIFTED, Past(before), News(), now)
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
    ("line", "due"),
    [
        ("* * * * *", "2026-03-01T12:01:00Z"),
        ("0 3 * * mon", "2026-03-02T03:00:00Z"),
        ("0 12 * * 7", "2026-03-08T12:00:00Z"),
        ("*/20 8-10 * * *", "2026-03-02T08:00:00Z"),
        ("0 0 15 * tue", "2026-03-03T00:00:00Z"),
        ("0 0 29 feb *", "2028-02-29T00:00:00Z"),
    ],
)
def test_a_cron_line_says_when_the_next_run_is_due(line: str, due: str) -> None:
    found = asked(model(causes=["Drift", "Schedule"], schedule=line), {}, Past(history(r1=0)), News(), NOW)
    assert found is not None
    assert found.until is not None
    assert timestamp(found.until) == due


@pytest.mark.parametrize("line", ["61 * * * *", "* 5-2 * * *", "*/0 * * * *", "* * x * *", "0 0 30 feb *"])
def test_a_schedule_that_cannot_be_is_named(line: str) -> None:
    found = asked(model(causes=["Drift", "Schedule"], schedule=line), {}, Past(history(r1=5)), News(), NOW)
    assert found is not None
    assert found.held.startswith("retrain.schedule: ")


def test_a_schedule_starts_one_run_when_it_is_due() -> None:
    obj = model(causes=["Drift", "Schedule"], schedule="0 * * * *")
    found = asked(obj, {}, Past(history(r1=5)), News(), NOW - timedelta(minutes=1))
    assert found is not None
    assert (found.until, bool(found.held)) == (NOW, True)
    assert asked(obj, {}, Past(history(r1=300)), News(), NOW) == Asked(2, "Schedule")
    assert (cause(obj, {}, News(), 2), cause(obj, DRIFTED, News(), 2)) == ("Schedule", "Drift")


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


# --- new data, and people --------------------------------------------------------------------------------------------


def growing(**changes: Any) -> Resource[Spec]:
    """A model that is trained on a dataset which grows."""
    policy = {"causes": ["NewData"], "minNewSamples": 100, "cooldownSeconds": 0}
    spec = {**SAMPLE, "dataset": {"ref": {"name": "raw"}}, "retrain": policy, **changes}
    return Resource(GEN_MODEL, "digits", "team", "u", 1, Spec.model_validate(spec), {}, {"name": "digits", "uid": "u"})


@pytest.mark.parametrize(
    ("news", "starts"), [(News(99), False), (News(100), True), (News(None, "gone"), False), (News(), False)]
)
def test_so_many_new_samples_start_a_run_and_what_nobody_knows_starts_none(news: News, starts: bool) -> None:
    found = asked(growing(), {}, Past(history(r1=5)), news, NOW)
    assert found == (Asked(2, "NewData") if starts else None)


def a_raw(samples: int, ready: str = "True") -> dict[Key, Manifest]:
    said = {"conditions": [{"type": "Ready", "status": ready}], "samples": samples, "digest": WEIGHTS}
    return {Key(GEN_DATASET, "team", "raw"): {"metadata": {"name": "raw"}, "spec": {}, "status": said}}


@pytest.mark.parametrize(
    ("runs", "references", "news"),
    [
        ({"samples": 500}, a_raw(650), News(150.0)),
        ({"samples": 500}, a_raw(650, "False"), News(None, "the dataset does not say how many samples it has")),
        ({"samples": 500}, {}, News(None, "the dataset does not say how many samples it has")),
        ({}, a_raw(650), News(None, "the dataset does not say how many samples it has")),
    ],
)
def test_a_dataset_that_grows_is_counted_from_the_last_run_on(runs: Manifest, references: Any, news: News) -> None:
    assert read(growing(), Seen(references=references), {1: {**history(r1=5)[1], **runs}}) == news


def test_recorded_traffic_is_counted_by_prometheus_from_the_last_run_on() -> None:
    source = {"capture": {"deploymentRef": {"name": "digits"}}}
    template = {"spec": {**SAMPLE["dataset"]["template"]["spec"], "source": source}}
    status = {"runs": [history(r1=10)[1]]}
    obj = replace(growing(dataset={"template": template}), status=status)
    (question,) = MODEL.asks(obj, Seen(), NOW).values()
    assert 'genops_captured_total{namespace="team",model="digits",outcome="kept"}[600s]' in question
    assert read(obj, Seen(answers={"newData": Answer(120.0)}), history(r1=10)) == News(120.0)
    lost = read(obj, Seen(), history(r1=10))
    assert lost.samples is None
    assert "GENOPS_PROMETHEUS" in lost.why_not
    assert MODEL.asks(growing(), Seen(), NOW) == {}


def test_a_person_asks_for_a_run_by_its_number_and_waits_for_no_cooldown() -> None:
    for policy in ({"cooldownSeconds": 3000}, {"cooldownSeconds": 3000, "approve": "Manual"}):
        obj = model(**policy)
        asking = replace(obj, metadata={**obj.metadata, "annotations": {RETRAIN: "2"}})
        assert asked(asking, {}, Past(history(r1=5)), News(), NOW) == Asked(2, "Manual")
        assert asked(asking, {}, Past(history(r1=9, r2=5)), News(), NOW) is None, "the run was made"
    bare = replace(growing(retrain=None), metadata={"name": "digits", "uid": "u", "annotations": {RETRAIN: "2"}})
    assert asked(bare, {}, Past(history(r1=5)), News(), NOW) == Asked(2, "Manual")


def test_approval_is_for_what_no_person_asked_for() -> None:
    obj = model(approve="Manual")
    assert APPROVE_RETRAINING in ask(obj, history(r1=5)).held


# --- the budget ------------------------------------------------------------------------------------------------------


def spent(*hours_ago_and_cpu: tuple[float | None, float]) -> tuple[Spent, ...]:
    """Runs that ended so many hours ago and used so many CPU hours; None for one that goes on."""
    return tuple(
        Spent(n, None if ago is None else NOW - timedelta(hours=ago), {"cpuSeconds": cpu * 3600})
        for n, (ago, cpu) in enumerate(hours_ago_and_cpu, 1)
    )


BUDGET = Budget(cpu_hours=10, per_seconds=24 * 3600)


@pytest.mark.parametrize(
    ("past", "limit", "room_in"),
    [
        (spent((1, 9.99)), "", None),
        (spent((1, 10)), "cpuHours", 23),
        (spent((24, 10)), "", None),
        (spent((23.99, 10)), "cpuHours", 0.01),
        (spent((20, 6), (10, 6), (1, 3)), "cpuHours", 4),
        (spent((20, 2), (10, 6), (1, 9)), "cpuHours", 14),
        (spent((20, 6), (None, 12)), "cpuHours", None),
    ],
)
def test_a_budget_counts_what_ended_within_its_window_and_says_when_there_is_room(
    past: tuple[Spent, ...], limit: str, room_in: float | None
) -> None:
    found, room = used_up(past, BUDGET, NOW)
    assert (found, room) == (limit, room_in and NOW + timedelta(hours=room_in))
    if room:
        assert used_up(past, BUDGET, room) == ("", None)
        assert used_up(past, BUDGET, room - timedelta(seconds=1))[0] == limit


def test_a_run_that_the_budget_holds_says_when_it_may_start() -> None:
    obj = model()
    obj = replace(obj, spec=obj.spec.model_copy(update={"budget": BUDGET}))
    found = asked(obj, DRIFTED, Past(history(r1=5), spent((20, 10))), News(), NOW)
    assert found is not None
    assert (found.until, "there is room at" in found.held) == (NOW + timedelta(hours=4), True)
    assert asked(obj, DRIFTED, Past(history(r1=5), spent((20, 10))), News(), NOW + timedelta(hours=4)) == Asked(
        2, "Drift"
    )


def test_what_history_lets_go_is_counted_until_its_window_is_over() -> None:
    past = spent((30, 1), (20, 2), (10, 3), (None, 4))
    assert sums(within(past, BUDGET, NOW)) == {"cpuSeconds": "32400", "gpuSeconds": "0"}
    assert [s["run"] for s in kept(past, [3, 4], BUDGET, NOW)] == [2]
    again = tuple(map(Spent.of_sum, kept(past, [], BUDGET, NOW)))
    assert sums(again) == {"cpuSeconds": "18000", "gpuSeconds": "0"}


def test_many_sums_become_fewer_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genops.stages.model.budget.MOST", 3)
    entries = kept(spent(*((10 - n, 1) for n in range(6))), [], BUDGET, NOW)
    assert [s["run"] for s in entries] == [4, 5, 6]
    assert sums(map(Spent.of_sum, entries))["cpuSeconds"] == "21600"


def test_the_status_keeps_what_a_run_used_when_its_objects_have_gone() -> None:
    obj = model(cooldownSeconds=300)
    obj = replace(obj, spec=obj.spec.model_copy(update={"history_limit": 1}))
    lines = [
        {**line, "inputs": inputs_hash(obj), "outcome": outcome, "usage": {"cpuSeconds": str(100 * n)}}
        for (n, line), outcome in zip(
            history(r1=40, r2=30, r3=20).items(), ("Rejected", "Rejected", "Promoted"), strict=True
        )
    ]
    status = {"runs": lines, "spent": [{"run": 0, "at": "2026-03-01T00:00:00Z", "cpuSeconds": "7"}]}
    plan = MODEL.plan(replace(obj, status=status), Seen(), NOW)
    assert [r["number"] for r in plan.status["runs"]] == [2, 3]
    assert [(s["run"], s["cpuSeconds"]) for s in plan.status["spent"]] == [(0, "7"), (1, "100")]
    assert plan.status["usage"]["cpuSeconds"] == "607"
    settled = MODEL.plan(replace(obj, status=plan.status), Seen(), NOW)
    assert settled.status == plan.status
    later = MODEL.plan(replace(obj, status=plan.status), Seen(), NOW + timedelta(days=31))
    assert "spent" not in later.status
