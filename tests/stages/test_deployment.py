"""GenDeployment: worlds, and what is planned and said in each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from deployments import (
    BUILT,
    DATA,
    ENGINE,
    EVALUATION,
    FRESH,
    NEWER,
    OTHER,
    ROLLING,
    RUN,
    SERVED,
    SPEC,
    THERE,
    WATCHED,
    Scene,
    a_dataset,
    a_run,
    an_evaluation,
    judged,
    next_model,
    running,
    scene,
    selected,
    version_of,
)
from worlds import DIGEST, EARLIER, NOW, AJob, condition, kinds_of, resource

from gencontract.codes import Code
from gencontract.report import EngineReport
from gencontract.task import OptimizeTask, ServeTask
from gencontract.wire import decode_task
from genops.core.kinds import GEN_EVALUATION, HTTP_SCALED_OBJECT, POD_MONITOR, SCALED_OBJECT
from genops.core.model import EVERY, Answer, Config, Key, Manifest, Plan
from genops.core.podspec import TASK_ANNOTATION
from genops.shell.subset import contains
from genops.stages.deployment import GEN_DEPLOYMENT_STAGE as STAGE
from genops.stages.deployment.children import serve_deployment
from genops.stages.deployment.servers import VERSION, Version
from genops.stages.deployment.traffic import Routing, service

# --- the table -------------------------------------------------------------------------------------------------------

JOBBED = FRESH.told()
LOST: dict[Key, Manifest] = {EVALUATION: an_evaluation()}
FAILED_RUN = {
    "metadata": {},
    "status": {
        "conditions": [{"type": "Failed", "status": "True", "reason": "NonFinite", "message": "The loss is NaN"}]
    },
}
NO_MODEL = {"uri": "s3://models/faces"}
PULL = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
ROWS: list[tuple[str, Scene, str, str, str]] = [
    ("A run that does not exist is waited for", scene(LOST), "Pending", "WaitingForReference", "GenTrainingJob/digits does not exist in this namespace; create it"),
    ("A run that failed is named with its reason", scene({**LOST, RUN: FAILED_RUN}), "Pending", "WaitingForReference", "NonFinite: The loss is NaN"),
    ("A run that made other weights than named is refused", scene(model={**SPEC["model"], "digest": OTHER}), "Failed", "DigestMismatch", f"has output {DIGEST}, spec.model.digest is {OTHER}"),
    ("A verdict that does not exist is waited for", scene(judged(None)), "Pending", "VerdictMissing", "Waits for GenEvaluation/judge; create it"),
    ("A verdict that is not there yet is waited for", scene(judged(an_evaluation(""))), "Pending", "VerdictMissing", "Waits for GenEvaluation/judge. Evaluating: fid is 12"),
    ("A model that failed is refused", scene(judged(an_evaluation("Failed"))), "Failed", "VerdictNotPassed", "GenEvaluation/judge says Failed"),
    ("A model that nobody decided on is refused", scene(judged(an_evaluation("Inconclusive"))), "Failed", "VerdictNotPassed", "says Inconclusive"),
    ("A verdict on other weights is none", scene(judged(an_evaluation(digest=OTHER))), "Failed", "VerdictOfAnotherModel", f"judged {OTHER}, to be served is {DIGEST}"),
    ("Weights without a digest pass no gate", scene(model=NO_MODEL), "Failed", "VerdictOfAnotherModel", "set spec.model.digest"),
    ("Data to calibrate by are waited for", scene(optimize={"targets": ["onnx"], "datasetRef": {"name": "other"}}), "Pending", "WaitingForReference", "GenDataset/other does not exist"),
    ("int8 without its data is waited for", scene({k: v for k, v in THERE.items() if k != DATA}, optimize={"targets": ["onnx"], "precision": "int8"}), "Pending", "WaitingForReference", "set optimize.datasetRef"),
    ("Scaling by a query without its parts is refused", scene(scale={"min": 1, "max": 3, "metric": "query", "query": "up", "target": 1.0}), "Failed", "AutoscalerMissing", "KEDA, whose ScaledObject"),
    ("With a verdict the engine is built", FRESH, "Building", "Building", "built and compared"),
    ("A pod that builds and cannot start is named", JOBBED.with_job(FRESH.job().waiting("ErrImagePull", "no such image")), "Building", "PodNotStarted", "ErrImagePull: no such image"),
    ("A pod that failed to build is tried again", JOBBED.with_job(FRESH.job().pod_failed(Code.STORE_FULL, "no room at genops-store")), "Building", "Retrying", "Attempt 1 failed and is made again: no room"),
    ("No engine fits", JOBBED.with_job(FRESH.job().failed(Code.NO_ENGINE, "onnx: not built")), "Failed", "NoEngine", "onnx: not built"),
    ("An engine that answers otherwise is not served", JOBBED.with_job(FRESH.job().failed(Code.OUT_OF_TOLERANCE, "onnx: off by 0.1")), "Failed", "OutOfTolerance", "off by 0.1"),
    ("Weights with a changed byte are not served", JOBBED.with_job(FRESH.job().failed(Code.DIGEST_MISMATCH, "weights.safetensors has digest x")), "Failed", "DigestMismatch", "weights.safetensors"),
    ("A server is made for the engine", FRESH.built(), "Starting", "Starting", "loads the engine"),
    ("A server whose image cannot be had is named", FRESH.built().with_pod(state=PULL), "Starting", "PodNotStarted", "ErrImagePull: no such image"),
    ("A server that crashes says its last words", FRESH.built().crashed(Code.CRASHED, "Triton ended by -11"), "Starting", "CrashLoop", "Triton ended by -11"),
    ("A server that could not speak is named with its exit code", FRESH.built().crashed(3, ""), "Starting", "CrashLoop", "exit code 3"),
    ("An engine with a changed byte is refused by the server", FRESH.built().crashed(Code.DIGEST_MISMATCH, "model.onnx has digest x"), "Failed", "DigestMismatch", "model.onnx"),
    ("A model that Triton refuses says so in its words", FRESH.built().crashed(Code.BAD_DATA, "Triton refused front: unexpected input"), "Failed", "BadData", "Triton refused front"),
    ("A server without memory is told how to mend it", FRESH.built().crashed(137, ""), "Failed", "OutOfMemory", "resources.limits.memory"),
    ("A server that takes too long says so", FRESH.built().with_server(ENGINE, 0, Progressing="ProgressDeadlineExceeded"), "Failed", "ProgressDeadlineExceeded", "was not ready in time"),
    ("A pod that admission refuses is told", FRESH.built().with_server(ENGINE, 0, ReplicaFailure="FailedCreate"), "Starting", "PodNotStarted", "FailedCreate: as told"),
    ("A server that is ready serves", FRESH.built().ready(), "Serving", "Serving", "1 of 1 servers answer at http://front-serve.team.svc:8000"),
    ("While suspended all stays as it is", SERVED.given(suspend=True), "Suspended", "Suspended", "spec.suspend"),
    ("A parked model has no server", scene(scale={"min": 0}).built().ready(), "Parked", "Parked", "raise scale.min"),
    ("Fewer servers than asked for are not all ready", SERVED.given(scale={"min": 3}).told().with_server(ENGINE, 1), "RollingOut", "NotAllReady", "1 of 3"),
    ("Servers that crash beside one that answers", SERVED.given(scale={"min": 3}).told().with_server(ENGINE, 1).crashed(Code.CRASHED, "Triton ended by -11"), "Degraded", "CrashLoop", "1 of 3 servers answer at http://front-serve.team.svc:8000: Triton ended by -11"),
    ("The next model is judged while the old one serves", replace(SERVED, references={RUN: a_run(OTHER), EVALUATION: an_evaluation("", OTHER)}), "Serving", "VerdictMissing", "Waits for GenEvaluation/judge"),
    ("A next model that fails leaves the old one serving", replace(SERVED, references={RUN: a_run(OTHER), EVALUATION: an_evaluation("Failed", OTHER)}), "Degraded", "VerdictNotPassed", "says Failed"),
    ("The next model's engine is built while the old one serves", next_model(SERVED), "RollingOut", "Building", "of the new version"),
    ("A next engine that cannot be built leaves the old one serving", next_model(SERVED).told().with_job(next_model(SERVED).job().failed(Code.NO_ENGINE, "onnx: not built")), "Degraded", "NoEngine", "onnx: not built"),
    ("The next server starts beside the old one", ROLLING, "RollingOut", "RollingOut", "beside the old one"),
    ("Requests go to the next server once it is ready", ROLLING.ready(OTHER), "RollingOut", "Switching", "new version"),
    ("A next server that never gets ready goes back", ROLLING.crashed(Code.BAD_DATA, "Triton refused front", OTHER), "Degraded", "RolledBack", f"onnx of {OTHER} never got ready: Triton refused front. The version before goes on"),
    ("A next server that fails waits for a person where asked", ROLLING.given(rollout={"strategy": "BlueGreen", "autoRollback": False}).crashed(Code.BAD_DATA, "Triton refused front", OTHER), "Degraded", "BadData", "Triton refused front"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "given", "phase", "reason", "says"), ROWS, ids=[r[0] for r in ROWS])
def test_a_world_and_what_is_said(fact: str, given: Scene, phase: str, reason: str, says: str) -> None:
    plan = given.plan()
    progressing, ready = condition(plan, "Progressing"), condition(plan, "Ready")
    assert (plan.status["phase"], progressing.reason) == (phase, reason)
    assert says in progressing.message
    assert progressing.status == ("True" if phase in ("Building", "Starting", "RollingOut") else "False")
    assert ready.status == ("True" if phase in ("Serving", "Degraded", "RollingOut") else ready.status)
    if ready.status == "False":
        assert ready.reason == reason


@pytest.mark.parametrize("given", [r[1] for r in ROWS], ids=[r[0] for r in ROWS])
def test_whoever_answers_is_never_taken_away(given: Scene) -> None:
    answers = {version_of(s).digest for s in given.servers() if (s.get("status") or {}).get("readyReplicas")}
    plan = given.plan()
    if answers:
        assert running(plan) & answers
        assert selected(plan) in answers


# --- what is made ----------------------------------------------------------------------------------------------------


def task_of(manifest: Manifest) -> Any:
    return decode_task(manifest["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]).task


def test_the_job_is_told_what_to_build_and_by_which_digests() -> None:
    task = task_of(FRESH.job().manifest)
    assert isinstance(task, OptimizeTask)
    assert (task.model.uri, task.model.digest) == ("/genops/store/genops-store/weights-aaaa", DIGEST)
    assert task.dataset is not None
    assert task.dataset.digest == DIGEST
    assert (task.targets, task.model_name) == (["onnx", "torch"], "front")
    assert task.cache == "/genops/store/genops-store/engines"
    assert task.server == {"instances": 1, "dynamicBatching": False}


def test_without_optimize_the_model_runs_in_torch() -> None:
    spec = {k: v for k, v in SPEC.items() if k != "optimize"}
    assert task_of(Scene(spec, THERE).job().manifest).targets == ["torch"]


def test_what_does_not_change_the_engine_does_not_build_it_again() -> None:
    same = [
        {"server": {"image": "x.org/triton:2"}},
        {"scale": {"min": 3}},
        {"optimize": {**SPEC["optimize"], "resources": {"limits": {"cpu": "2"}}}},
    ]
    other: list[dict[str, Any]] = [
        {"optimize": {"targets": ["torch"]}},
        {"server": {"instances": 2}},
        {"server": {"dynamicBatching": {}}},
    ]
    assert {scene(**change).job().name for change in same} == {FRESH.job().name}
    assert len({scene(**change).job().name for change in other} | {FRESH.job().name}) == 4
    gone = {k: v for k, v in THERE.items() if k != DATA}
    assert scene(gone).job().name == FRESH.job().name, "data that an engine is only checked by do not count"


def test_a_server_gets_the_engine_by_its_digest_and_is_asked_how_it_is() -> None:
    server = SERVED.server()
    task, pod = task_of(server), server["spec"]["template"]["spec"]
    assert isinstance(task, ServeTask)
    assert (task.repository.uri, task.repository.digest) == ("/genops/store/genops-store/gendeployments/front", ENGINE)
    main = pod["containers"][0]
    assert [p["containerPort"] for p in main["ports"]] == [8000, 8001, 8002, 8080]
    assert main["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ready"}
    assert main["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "ready"}
    startup = main["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] < server["spec"]["progressDeadlineSeconds"]
    assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in main["env"]
    assert (pod["restartPolicy"], main["image"]) == ("Always", "genops-server:latest")
    assert server["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    store = next(m for m in main["volumeMounts"] if m["mountPath"] == "/genops/store/genops-store")
    assert store["readOnly"] is True


def test_what_stands_around_the_servers() -> None:
    children = {c["kind"]: c for c in SERVED.plan().children}
    assert sorted(children) == [
        "Deployment",
        "Job",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
    ]
    labels = children["Deployment"]["spec"]["template"]["metadata"]["labels"]
    ports = {p["name"]: p["port"] for p in children["Service"]["spec"]["ports"]}
    assert ports == {"http": 8000, "grpc": 8001, "metrics": 8002}
    policy = children["NetworkPolicy"]["spec"]
    assert [p["port"] for p in policy["ingress"][0]["ports"]] == [8000, 8001, 8002]
    assert policy["policyTypes"] == ["Ingress", "Egress"], "an engine on a claim needs nothing from outside"
    for selector in (
        children["Service"]["spec"]["selector"],
        children["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        children["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert SERVED.plan().status["selector"] == "genops.dev/owner-uid=uid-front,genops.dev/role=serve"


def test_what_was_built_is_the_status() -> None:
    status = SERVED.plan().status
    assert status["stable"] == {"digest": DIGEST, "engine": "onnx", "engineDigest": ENGINE, "evaluation": "judge"}
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["url"] == "http://front-serve.team.svc:8000"
    onnx, torch = status["engines"]
    assert onnx == {
        "target": "onnx",
        "key": "k1",
        "cached": False,
        "maxAbsError": "1e-06",
        "p50Ms": "1.5",
        "p95Ms": "2",
        "throughput": "900",
        "chosen": True,
    }
    assert torch["chosen"] is False
    assert [c.type for c in SERVED.plan().conditions if c.status == "True"] == [
        "Ready",
        "EngineReady",
        "ServerReady",
        "Routed",
    ]


def test_a_version_that_never_answered_is_not_stable() -> None:
    assert "stable" not in FRESH.built().plan().status
    assert "stable" in SERVED.with_server(ENGINE, 0).plan().status, "and one that did stays so when its pods restart"


def test_what_was_built_outlives_its_job() -> None:
    first = SERVED.plan()
    later = replace(SERVED, children=tuple(c for c in SERVED.children if c["kind"] != "Job"), job_pods={}).plan()
    assert later.status == first.status
    assert [k for k in kinds_of(later) if k.startswith("Job/")] == []


def test_a_report_that_was_lost_is_had_by_building_again() -> None:
    lost = JOBBED.with_job(AJob(FRESH.job().succeeded(BUILT).manifest))
    plan = lost.plan()
    assert [k for k in kinds_of(plan) if k.startswith("Job/")] == []
    assert plan.wake_after == 1
    assert lost.told().job().name == FRESH.job().name


def test_a_failed_build_is_made_again_after_a_while_where_the_world_may_have_changed() -> None:
    late = NOW + timedelta(seconds=300)
    for code, again in ((Code.DIGEST_MISMATCH, True), (Code.OUT_OF_MEMORY, True), (Code.NO_ENGINE, False)):
        failed = JOBBED.with_job(FRESH.job().failed(code, "why"))
        assert any(k.startswith("Job/") for k in kinds_of(failed.plan()))
        assert any(k.startswith("Job/") for k in kinds_of(failed.plan(late))) is not again
        assert (failed.plan().wake_after == 240) is again


def test_an_engine_that_was_not_the_first_choice_is_said() -> None:
    table = [EngineReport(target="onnx", reason="off by 0.1"), EngineReport(target="torch", chosen=True)]
    plan = FRESH.built(BUILT.model_copy(update={"engines": table})).ready().plan()
    fallback = condition(plan, "EngineFallback")
    assert (fallback.status, fallback.message) == ("True", "torch serves; onnx was not: off by 0.1")
    slower = [EngineReport(target="onnx", p50_ms=3), EngineReport(target="torch", p50_ms=1, chosen=True)]
    plan = FRESH.built(BUILT.model_copy(update={"engines": slower})).ready().plan()
    assert "EngineFallback" not in [c.type for c in plan.conditions], "the faster one is no fallback"


def test_drift_that_nobody_measures_is_unknown() -> None:
    said = condition(scene(drift=WATCHED).built().ready().told().plan(), "Drifted")
    assert (said.status, said.reason) == ("Unknown", "NoPrometheus")


@pytest.mark.parametrize(("value", "status"), [(0.9, "True"), (0.01, "False")])
def test_drift_of_the_version_that_answers_is_said_and_stays_unwritten_until_the_next_window(
    value: float, status: str
) -> None:
    serving = scene(drift=WATCHED).built().ready().told()
    asked = STAGE.asks(resource(STAGE, "front", serving.spec), serving.seen(), NOW)
    version = serving.server()["metadata"]["labels"][VERSION]
    assert asked
    assert all(f'genops_dev_version="{version}"' in query for query in asked.values())
    numbers = {"age": 1.0, "reference": 1000.0, "bins": 10.0, "features": 1.0, "samples": 1000.0, "value": value}
    answers = {name: Answer(numbers[name.split("/")[2].split("@")[0]]) for name in asked}
    told = replace(serving, answers=answers).told()
    assert condition(told.plan(), "Drifted").status == status
    assert [entry["name"] for entry in told.plan().status["drift"]] == ["inputs"]
    assert told.plan(NOW + timedelta(seconds=9)).status == told.plan().status
    assert told.plan().wake_after == 10


def test_a_version_that_comes_is_not_judged_by_the_traffic_of_the_one_before() -> None:
    switched = next_model(scene(drift=WATCHED).built().ready().told()).built(NEWER).ready(OTHER).told()
    asked = STAGE.asks(resource(STAGE, "front", switched.spec), switched.seen(), NOW)
    old, new = (switched.server(digest)["metadata"]["labels"][VERSION] for digest in (ENGINE, OTHER))
    assert all(new in query and old not in query for query in asked.values())


def test_without_a_server_that_answers_nothing_is_asked_about_its_traffic() -> None:
    for quiet in (scene(drift=WATCHED).built().told(), scene(drift=WATCHED, scale={"min": 0}).built().told()):
        assert STAGE.asks(resource(STAGE, "front", quiet.spec), quiet.seen(), NOW) == {}
        assert condition(quiet.plan(), "Drifted").reason == "NotRouted"


def test_a_server_that_never_started_is_told_in_the_words_of_the_runtime() -> None:
    ended = {"exitCode": 128, "finishedAt": EARLIER, "message": "exec: python: not found\n", "reason": "StartError"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    plan = FRESH.built().with_pod(state=waiting, last={"terminated": ended}).plan()
    ready = condition(plan, "Ready")
    assert ready.reason == "CrashLoop"
    assert ready.message.startswith("exec: python: not found (exit code 128)")


# --- the gate --------------------------------------------------------------------------------------------------------


def test_the_newest_verdict_on_these_weights_decides() -> None:
    chosen = {"requires": {"selector": {"matchLabels": {"for": "front"}}}}
    evaluations = [
        an_evaluation("Failed", name="old", made="2026-01-01T00:00:00Z", **{"for": "front"}),
        an_evaluation("Passed", name="new", made="2026-01-02T00:00:00Z", **{"for": "front"}),
        an_evaluation("Failed", name="other-weights", digest=OTHER, made="2026-01-03T00:00:00Z", **{"for": "front"}),
        an_evaluation("Failed", name="other-labels", made="2026-01-03T00:00:00Z"),
    ]
    references = {RUN: a_run(), DATA: a_dataset()} | {
        Key(GEN_EVALUATION, "team", e["metadata"]["name"]): e for e in evaluations
    }
    passed = scene(references, **chosen)
    assert passed.plan().status["phase"] == "Building"
    assert passed.built().ready().plan().status["stable"]["evaluation"] == "new"
    assert Key(GEN_EVALUATION, "team", EVERY) in STAGE.refs(resource(STAGE, "front", passed.spec))
    nobody = scene({RUN: a_run()}, **chosen).plan()
    assert condition(nobody, "Ready").reason == "VerdictMissing"


def test_a_verdict_that_goes_takes_nothing_away() -> None:
    for evaluation in (None, an_evaluation("Failed")):
        plan = replace(SERVED, references=judged(evaluation)).plan()
        assert plan.status["phase"] == "Serving"
        assert plan.status == SERVED.plan().status


def test_a_model_that_goes_takes_nothing_away() -> None:
    plan = replace(SERVED, references={}).plan()
    assert running(plan) == {ENGINE}
    assert condition(plan, "Ready").status == "True"


# --- the next version ------------------------------------------------------------------------------------------------


def test_the_next_version_takes_over_step_by_step() -> None:
    assert running(ROLLING.plan()) == {ENGINE, OTHER}
    assert selected(ROLLING.plan()) == ENGINE
    assert ROLLING.plan().status["canary"] == {"digest": OTHER, "engine": "onnx", "engineDigest": OTHER, "weight": 0}
    switching = ROLLING.ready(OTHER)
    assert running(switching.plan()) == {ENGINE, OTHER}, (
        "the old one stays until the Service is seen to select the new one"
    )
    assert selected(switching.plan()) == OTHER
    assert switching.plan().wake_after == 1, "what the operator writes does not wake it"
    done = switching.told()
    assert running(done.plan()) == {OTHER}
    assert done.told().plan().status["phase"] == "Serving"
    assert done.told().plan().status["stable"]["digest"] == OTHER


def test_the_old_server_is_left_as_it_is_while_it_serves() -> None:
    old = next(c for c in ROLLING.plan().children if c["kind"] == "Deployment" and version_of(c).digest == ENGINE)
    assert contains(ROLLING.server(ENGINE), old), "nothing is written"
    scaled = ROLLING.given(scale={"min": 2}).plan()
    counts = [c["spec"]["replicas"] for c in scaled.children if c["kind"] == "Deployment"]
    assert counts == [2, 2]


def test_recreate_lets_the_old_one_go_first() -> None:
    rolling = next_model(scene(rollout={"strategy": "Recreate"}).built().ready().told()).built(NEWER)
    assert running(rolling.plan()) == {OTHER}
    assert rolling.plan().status["phase"] == "Starting"


def test_a_version_that_went_back_is_not_tried_again_until_the_spec_changes() -> None:
    failing = ROLLING.crashed(Code.BAD_DATA, "Triton refused front", OTHER)
    plan = failing.plan()
    assert (running(plan), selected(plan)) == ({ENGINE}, ENGINE)
    assert plan.status["quarantined"] == [OTHER]
    assert plan.status["lastFailure"]["stage"] == "serve"
    back = failing.told()
    later = replace(back, pods=()).plan()
    assert running(later) == {ENGINE}
    assert later.status["phase"] == "Degraded"
    assert condition(later, "RolledBack").message == condition(plan, "RolledBack").message
    assert later.status["stable"]["digest"] == DIGEST
    again = replace(back, pods=()).given(server={"image": "x.org/triton:2"}).plan()
    assert running(again) == {ENGINE, OTHER}
    assert "quarantined" not in again.status


def test_a_version_that_is_not_ready_in_time_goes_back() -> None:
    plan = ROLLING.with_server(OTHER, 0, Progressing="ProgressDeadlineExceeded").plan()
    assert running(plan) == {ENGINE}
    assert condition(plan, "RolledBack").status == "True"
    assert plan.status["lastFailure"]["reason"] == "ProgressDeadlineExceeded"


def test_another_engine_of_the_same_weights_goes_back_to_the_one_before() -> None:
    rolling = SERVED.given(optimize={"targets": ["onnx"], "precision": "fp16"}).built(NEWER)
    assert (selected(rolling.plan()), running(rolling.plan())) == (ENGINE, {ENGINE, OTHER})
    back = replace(rolling.crashed(Code.OUT_OF_TOLERANCE, "off by 0.1", OTHER).told(), pods=())
    assert running(back.plan()) == {ENGINE}
    assert back.plan().status["phase"] == "Degraded"
    mended = back.given(optimize=SPEC["optimize"]).plan()
    assert (mended.status["phase"], running(mended)) == ("Serving", {ENGINE})


def test_a_next_version_after_one_that_went_back_is_tried() -> None:
    third = "sha256:" + "d" * 64
    back = replace(ROLLING.crashed(Code.BAD_DATA, "no", OTHER).told(), pods=())
    newer = replace(back, references={RUN: a_run(third), DATA: a_dataset(), EVALUATION: an_evaluation(digest=third)})
    plan = newer.plan()
    assert any(k.startswith("Job/") for k in kinds_of(plan))
    assert plan.status["quarantined"] == [OTHER]
    assert "RolledBack" not in [c.type for c in plan.conditions]


def test_a_lost_service_finds_whoever_answers() -> None:
    lost = replace(ROLLING, children=tuple(c for c in ROLLING.children if c["kind"] != "Service"))
    assert selected(lost.plan()) == ENGINE
    assert lost.plan().wake_after == 1
    assert condition(lost.told().plan(), "Routed").status == "True"


def test_a_change_of_the_pods_alone_changes_the_same_server() -> None:
    plan = SERVED.given(server={"image": "x.org/triton:2"}).plan()
    assert running(plan) == {ENGINE}
    names = {c["metadata"]["name"] for c in plan.children if c["kind"] == "Deployment"}
    assert names == {SERVED.server()["metadata"]["name"]}


# --- scale -----------------------------------------------------------------------------------------------------------


def replicas(plan: Plan) -> int:
    return int(next(c for c in plan.children if c["kind"] == "Deployment")["spec"]["replicas"])


def test_an_autoscaler_decides_within_its_bounds() -> None:
    scaled = scene(scale={"min": 2, "max": 5, "metric": "cpu", "target": 70.0}).built().told()
    scaler = next(c for c in scaled.plan().children if c["kind"] == "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    assert scaler["spec"]["scaleTargetRef"]["name"] == scaled.server()["metadata"]["name"]
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert replicas(scaled.plan()) == 2
    grown = scaled.server() | {"spec": {**scaled.server()["spec"], "replicas": 4}}
    others = tuple(c for c in scaled.children if c["kind"] != "Deployment")
    assert replicas(replace(scaled, children=(*others, grown)).plan()) == 4, "what the autoscaler wrote stays"


def test_no_autoscaler_where_there_is_nothing_to_decide() -> None:
    for scale in ({"min": 2}, {"min": 2, "max": 2, "metric": "cpu", "target": 70.0}):
        plan = scene(scale=scale).built().told().plan()
        assert replicas(plan) == 2
        assert not [k for k in kinds_of(plan) if "Autoscaler" in k]


def test_keda_scales_by_a_query_where_it_is_present() -> None:
    scale = {"min": 0, "max": 3, "metric": "queueTime", "target": 20.0, "idleToZeroAfterSeconds": 60}
    there = replace(
        scene(scale=scale),
        present=frozenset({SCALED_OBJECT, HTTP_SCALED_OBJECT}),
        config=Config(prometheus="http://prometheus:9090"),
    )
    plan = there.built().told().plan()
    spec = next(c for c in plan.children if c["kind"] == "ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (0, 3, 60)
    trigger = spec["triggers"][0]["metadata"]
    assert (trigger["serverAddress"], trigger["threshold"]) == ("http://prometheus:9090", "20")
    assert 'model="front"' in trigger["query"]


def test_the_last_server_goes_only_where_the_first_request_is_held() -> None:
    scale = {"min": 0, "max": 3, "metric": "queueTime", "target": 20.0, "idleToZeroAfterSeconds": 60}
    there = replace(
        scene(scale=scale), present=frozenset({SCALED_OBJECT}), config=Config(prometheus="http://prometheus:9090")
    )
    refused = there.plan()
    assert (refused.status["phase"], condition(refused, "Ready").reason) == ("Failed", "AutoscalerMissing")
    assert "HTTP add-on" in condition(refused, "Ready").message
    held = replace(there, present=frozenset({SCALED_OBJECT, HTTP_SCALED_OBJECT})).built().ready().told()
    plan = held.plan()
    route = next(c for c in plan.children if c["kind"] == "HTTPScaledObject")
    assert route["spec"]["hosts"] == ["front-serve.team"]
    assert route["spec"]["scaleTargetRef"]["service"] == "front-serve"
    triggers = next(c for c in plan.children if c["kind"] == "ScaledObject")["spec"]["triggers"]
    assert triggers[1]["type"] == "external-push"
    assert triggers[1]["metadata"]["httpScaledObject"] == route["metadata"]["name"]
    assert plan.status["url"] == "http://keda-add-ons-http-interceptor-proxy.keda:8080"
    assert "until a request comes to" in condition(plan, "Ready").message
    assert "with Host: front-serve.team" in condition(plan, "Ready").message


# --- monitoring ------------------------------------------------------------------------------------------------------


def test_prometheus_is_told_of_the_servers_where_its_operator_is_present() -> None:
    serving = scene().built().ready().told()
    assert not [k for k in kinds_of(serving.plan()) if k.startswith("PodMonitor")]
    monitor = next(
        c for c in replace(serving, present=frozenset({POD_MONITOR})).plan().children if c["kind"] == "PodMonitor"
    )
    pod = serving.server()["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert set(monitor["spec"]["podTargetLabels"]) <= set(pod["metadata"]["labels"])
    ports = {p["name"]: p["containerPort"] for c in pod["spec"]["containers"] for p in c["ports"]}
    assert ports[monitor["spec"]["podMetricsEndpoints"][0]["port"]] == 8002


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["front", "9-faces", "faces.v2", "x" * 200])
def test_names_fit_what_kubernetes_takes(name: str) -> None:
    obj = resource(STAGE, name, SPEC)
    made = [
        service(obj, Routing("abc", "abc")),
        serve_deployment(obj, Version("0123456789", DIGEST, "pvc://a/b", ENGINE, "onnx"), 1, Config()),
    ]
    for manifest in made:
        said = manifest["metadata"]["name"]
        assert len(said) <= 63
        assert "." not in said
    assert made[0]["metadata"]["name"][0].isalpha()
