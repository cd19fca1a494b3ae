"""What is reported of a pod, whatever has happened to its containers; and when containers start again."""

from datetime import UTC, datetime, timedelta

import pytest

from genops.local.agent import restarts, status
from genops.local.agent.probes import Tally, Timing, port_number
from genops.local.agent.restarts import BackOff

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_pod(*names, inits=(), policy="Never"):
    def containers(some):
        return [{"name": name, "image": "x"} for name in some]

    spec = {"containers": containers(names), "initContainers": containers(inits), "restartPolicy": policy}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec}


def ended(code):
    return status.terminated(code, "Completed" if code == 0 else "Error", "", (NOW, NOW), "genops://1")


def reported(pod, record, now=NOW):
    return status.report(pod, record, "127.1.0.1", now)


def condition(report, kind):
    return next(c for c in report["conditions"] if c["type"] == kind)


def started(record, *names):
    record.initialized, record.address = True, "127.1.64.1"
    for name in names:
        record.containers[name].run("genops://1", NOW)
        record.containers[name].ready = record.containers[name].started = True


def test_a_new_pod_is_pending_and_waits_for_its_containers():
    pod = a_pod("a", inits=["i"])
    report = reported(pod, status.fresh(pod, NOW))
    assert report["phase"] == "Pending"
    assert report["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition(report, "Initialized")["message"] == "containers with incomplete status: [i]"


def test_a_pod_runs_when_all_its_containers_have_started():
    pod = a_pod("a", "b")
    record = status.fresh(pod, NOW)
    started(record, "a")
    assert status.phase_of(record) == "Pending"
    started(record, "b")
    report = reported(pod, record)
    assert (report["phase"], condition(report, "Ready")["status"], report["podIP"]) == ("Running", "True", "127.1.64.1")


def test_one_container_that_is_not_ready_makes_the_pod_not_ready():
    pod = a_pod("a", "b")
    record = status.fresh(pod, NOW)
    started(record, "a", "b")
    record.containers["b"].ready = False
    report = reported(pod, record)
    assert condition(report, "Ready")["message"] == "containers with unready status: [b]"
    assert condition(report, "Ready")["reason"] == "ContainersNotReady"


@pytest.mark.parametrize(("codes", "phase"), [((0, 0), "Succeeded"), ((0, 1), "Failed"), ((137, 0), "Failed")])
def test_the_end_of_a_pod_is_the_sum_of_its_containers_ends(codes, phase):
    pod = a_pod("a", "b")
    record = status.fresh(pod, NOW)
    started(record, "a", "b")
    for container, code in zip(record.containers.values(), codes, strict=True):
        container.end(ended(code))
    assert status.phase_of(record) == "Running", "over only when the agent says so"
    record.finished = True
    report = reported(pod, record)
    assert report["phase"] == phase
    assert condition(report, "Ready")["reason"] == ("PodCompleted" if phase == "Succeeded" else "PodFailed")


def test_a_pod_that_was_ended_as_a_whole_has_failed_however_its_containers_ended():
    pod = a_pod("a")
    record = status.fresh(pod, NOW)
    started(record, "a")
    record.containers["a"].end(ended(0))
    record.finished, record.failed_reason, record.disrupted = True, "Evicted", "too big"
    report = reported(pod, record)
    assert (report["phase"], report["reason"]) == ("Failed", "Evicted")
    assert condition(report, "DisruptionTarget")["status"] == "True"


def test_a_restart_keeps_the_last_end_and_counts():
    pod = a_pod("a", policy="Always")
    record = status.fresh(pod, NOW)
    container = record.containers["a"]
    container.about_to_start()
    started(record, "a")
    container.end(ended(1))
    container.wait("CrashLoopBackOff")
    assert status.phase_of(record) == "Running"
    assert (container.restarts, container.last_state["terminated"]["exitCode"]) == (0, 1)
    container.about_to_start()
    container.run("genops://2", NOW)
    assert (container.restarts, container.exit_code) == (1, None)


def test_times_of_conditions_change_only_with_the_conditions():
    pod = a_pod("a")
    record = status.fresh(pod, NOW)
    first = reported(pod, record)
    later = reported({**pod, "status": first}, record, NOW + timedelta(hours=1))
    assert later["conditions"] == first["conditions"]
    started(record, "a")
    after = reported({**pod, "status": first}, record, NOW + timedelta(hours=1))
    assert condition(after, "Ready")["lastTransitionTime"] == "2026-01-01T01:00:00Z"


def test_what_ran_when_the_agent_died_is_lost_and_what_had_ended_is_kept():
    pod = a_pod("a", "b")
    record = status.fresh(pod, NOW)
    started(record, "a", "b")
    record.containers["b"].end(ended(0))
    back = status.recovered({**pod, "status": reported(pod, record)}, NOW)
    assert back.containers["a"].state["terminated"]["reason"] == "ContainerStatusUnknown"
    assert [c.exit_code for c in back.containers.values()] == [137, 0]
    assert (back.initialized, back.address, back.finished) == (True, "127.1.64.1", False)


def test_a_finished_pod_is_reported_the_same_after_a_new_start():
    pod = a_pod("a")
    record = status.fresh(pod, NOW)
    started(record, "a")
    record.containers["a"].end(ended(3))
    record.finished = True
    report = reported(pod, record)
    again = {**pod, "status": report}
    assert reported(again, status.recovered(again, NOW + timedelta(hours=1)), NOW + timedelta(hours=1)) == report


@pytest.mark.parametrize(
    ("policy", "code", "starts_again"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policies(policy, code, starts_again):
    assert restarts.again({}, policy, code) is starts_again


def test_a_containers_own_rules_come_first():
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [75]}}
    container = {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    policy = restarts.policy_of(a_pod("a", policy="Always"), container, init=False)
    assert [restarts.again(container, policy, code) for code in (75, 1)] == [True, False]


@pytest.mark.parametrize(
    ("policy", "own", "expected"),
    [
        ("Always", None, "OnFailure"),
        ("Never", None, "Never"),
        ("OnFailure", None, "OnFailure"),
        ("Never", "Always", "Always"),
    ],
)
def test_init_containers_end_and_sidecars_do_not(policy, own, expected):
    assert restarts.policy_of(a_pod("a", policy=policy), {"restartPolicy": own}, init=True) == expected


def test_back_off_doubles_to_a_limit_and_is_forgiven():
    back_off = BackOff(10)
    assert [back_off.after(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert back_off.after(601) == 0


def test_a_probe_turns_at_its_thresholds():
    tally = Tally.of("readiness", {"successThreshold": 2, "failureThreshold": 3})
    results = [True, True, False, False, True, False, False, False, True, True]
    assert [tally.count(r) for r in results] == [None, True, True, True, True, True, True, False, False, True]


def test_probe_defaults_are_the_apis():
    assert Timing.of({}) == Timing(0, 10, 1)
    assert Tally.of("liveness", {}).failure_threshold == 3


def test_a_port_may_have_a_name():
    container = {"ports": [{"name": "web", "containerPort": 80}]}
    assert [port_number(p, container) for p in (8080, "web", "9090")] == [8080, 80, 9090]
    with pytest.raises(ValueError, match="nope"):
        port_number("nope", container)
