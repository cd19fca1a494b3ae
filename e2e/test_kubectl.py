"""`kubectl genops` through the real kubectl, and what kubectl itself says of our kinds, on a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operators import until
from places import SMALL, Place, a_place

from genops.local import programs
from genops.stages.definitions import DEFINITIONS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kubectl")]

IDEA: dict[str, Any] = {
    "intent": {"useCase": "Digits that nobody has written", "modality": "images"},
    "success": [{"metric": "fid", "op": "<=", "threshold": 1e6, "primary": True}],
    "dataset": {"ref": {"name": "digits"}},
    "training": {
        "template": {
            "spec": {"family": "flow", "size": "xs", "hyperparameters": {"steps": 20, "batch": 32}, "resources": SMALL}
        }
    },
    "evaluation": {"template": {"spec": {"samples": 48, "resources": SMALL}}},
    "deployment": {"template": {"spec": {"scale": {"min": 0}}}},
    "promotion": {"mode": "Manual"},
}
# The conditions that each kind promises, as far as this journey comes.
CONDITIONS = {
    "gds/digits": ("Fetched", "Validated", "Ready"),
    "gtj/idea-1": ("InputsResolved", "Admitted", "Complete"),
    "gev/idea-1": ("SubjectReady", "Quantitative", "Complete"),
    "gm/idea": ("Ready=False",),
}


@pytest.fixture(scope="module")
def place(crds: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An idea whose first run has passed and waits for a person."""
    with a_place(crds, tmp_path_factory.mktemp("kubectl")) as made:
        made.make(
            "GenDataset", "digits", {"source": {"builtin": {"name": "digits"}}, "format": "images", "resources": SMALL}
        )
        made.make("GenModel", "idea", IDEA)
        made.make("GenTrainingJob", "waits", {"datasetRef": {"name": "nobody"}, "family": "flow", "size": "xs"})
        until(
            lambda: _reason(made) == "WaitingForApproval", 420, lambda: genops(made, "why", "gm/idea").stdout, every=1.0
        )
        yield made


def _reason(place: Place) -> str:
    conditions = place.status("genmodel", "idea").get("conditions", ())
    return next((c["reason"] for c in conditions if c["type"] == "Ready"), "")


def genops(place: Place, *args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the plug-in as people do: kubectl finds it on PATH by its name."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    surroundings = {**os.environ, "PATH": path, "KUBECONFIG": place.cluster.kubeconfig, **env}
    command = [programs.kubectl(), "genops", *args, "-n", place.name]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=cwd, timeout=180, check=False)


def told(place: Place, *args: str) -> str:
    done = genops(place, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_why_goes_down_to_the_root_cause_and_says_what_helps(place: Place) -> None:
    text = told(place, "why", "gentrainingjob", "waits")
    assert "GenTrainingJob/waits is Pending: it waits for GenDataset/nobody." in text
    assert f"GenDataset/nobody does not exist in namespace {place.name}." in text
    assert "What to do: create GenDataset/nobody" in text
    assert text.count("\n") == 1
    assert "\x1b" not in text
    why = json.loads(told(place, "why", "gm/idea", "-o", "json"))
    assert (why["phase"], why["reason"], why["waitsFor"]) == ("Halted", "WaitingForApproval", [])
    assert why["remedy"].endswith("kubectl genops approve gm/idea")


def test_a_tree_ends_at_pods(place: Place) -> None:
    rows = told(place, "tree", "idea").splitlines()
    assert rows[0].startswith("GenModel/idea")
    assert any(r.startswith("├─ GenTrainingJob/idea-1") and "Succeeded" in r for r in rows)
    assert any(r.startswith("│     └─ Pod/idea-1-train-") and "Succeeded" in r for r in rows)
    whole = json.loads(told(place, "tree", "-o", "json"))
    assert [t["name"] for t in whole] == ["idea", "digits", "waits"]


def test_lineage_is_of_one_piece(place: Place) -> None:
    (line,) = json.loads(told(place, "lineage", "gm/idea", "-o", "json"))
    weights = line["then"][0]
    assert line["digest"] == place.status("gendataset", "digits")["digest"] == weights["took"]
    assert (weights["agrees"], weights["then"][0]["agrees"]) == (True, True)
    assert weights["digest"] == place.status("gentrainingjob", "idea-1")["output"]["digest"]
    assert "Passed" in told(place, "lineage", "gev/idea-1")


def test_logs_are_of_the_pod_that_matters(place: Place) -> None:
    done = genops(place, "logs", "gtj/idea-1", "--tail", "20")
    assert "of GenTrainingJob/idea-1 ended with exit code 0" in done.stderr
    assert "step 20 of 20" in done.stdout
    assert '{"genops":"progress"' in genops(place, "logs", "gtj/idea-1", "--raw").stdout


def test_samples_come_out_of_the_claim_and_leave_no_pod(place: Place, tmp_path: Path) -> None:
    done = genops(place, "samples", "gm/idea", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "idea-1-samples.png").read_bytes().startswith(b"\x89PNG")
    assert genops(place, "samples", "gm/idea", "--what", "report", "--to", str(tmp_path / "r.html")).returncode == 0
    assert "</html>" in (tmp_path / "r.html").read_text()
    lacking = genops(place, "samples", "gm/idea", "--what", "baseline")
    assert (lacking.returncode, "has no baseline.png" in lacking.stderr) == (3, True)
    until(lambda: not place.list("pods", "-l", "genops.dev/role=read-report"), 60, "the reading pods to go")


def test_what_cannot_be_told_has_its_exit_code_and_one_line(place: Place) -> None:
    for code, args in ((2, ("why", "gdx/idea")), (3, ("why", "gds/nobody")), (3, ("approve", "gev/idea-1"))):
        done = genops(place, *args)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    away = genops(place, "why", "gm/idea", "--context", "nowhere")
    assert away.returncode == 1
    assert "context 'nowhere' cannot be used" in away.stderr
    assert away.stderr.count("\n") == 1
    refused = genops(place, "tree", "--kubeconfig", _nobody(place))
    assert (refused.returncode, "ask for that right" in refused.stderr) == (1, True), refused.stderr


def _nobody(place: Place) -> str:
    """A kubeconfig of a service account that may do nothing."""
    place.kubectl("create", "serviceaccount", "nobody")
    token = place.kubectl("create", "token", "nobody").strip()
    path = Path(place.cluster.kubeconfig).with_name(f"{place.name}.kubeconfig")
    config = json.loads(place.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path.write_text(json.dumps(config))
    return str(path)


def test_the_demo_names_a_context_that_is_not_there(place: Place) -> None:
    command = [sys.executable, "-m", "genops", "demo", "--context", "nowhere", "--namespace", place.name]
    env = {**os.environ, "KUBECONFIG": place.cluster.kubeconfig, "COLUMNS": "500"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=180, check=False)
    assert done.returncode == 1, done.stdout
    assert 'context "nowhere" does not exist' in done.stdout


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_can_be_waited_for(place: Place, name: str) -> None:
    for condition in CONDITIONS[name]:
        place.kubectl("wait", name, f"--for=condition={condition}", "--timeout=5s")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
def test_kubectl_explains_and_lists_each_kind(place: Place, definition: Any) -> None:
    said = place.kubectl("explain", definition.singular)
    assert definition.description in " ".join(said.split())
    assert "<no description>" not in place.kubectl("explain", f"{definition.singular}.spec", "--recursive")
    table = place.kubectl("get", definition.plural)
    if table.strip():
        assert table.splitlines()[0].split()[1:] == [c.name.upper() for c in definition.columns if not c.priority]


def test_events_read_well(place: Place) -> None:
    """Each event of ours is one sentence about one object, without a trace or a time."""
    ours = [e for e in place.list("events.events.k8s.io") if e.get("reportingController") == "genops.dev/operator"]
    assert {(e["regarding"]["kind"], e["reason"]) for e in ours} >= {
        ("GenDataset", "Frozen"),
        ("GenTrainingJob", "WeightsReady"),
        ("GenEvaluation", "VerdictPassed"),
        ("GenModel", "WaitingForApproval"),
    }
    for event in ours:
        assert event["note"][0].isupper() or event["note"][0].isdigit(), event["note"]
        assert "\n" not in event["note"]
        assert "Traceback" not in event["note"]


def test_approval_lets_the_run_be_served(place: Place) -> None:
    assert "Run 1 of GenModel/idea passed" in told(place, "approve", "idea")
    annotations = place.get("genmodel", "idea")["metadata"]["annotations"]
    assert annotations["genops.dev/approve-run"] == "1"
    place.phase("genmodel", "idea", "Deploying", seconds=60)
    assert "GenDeployment/idea" in told(place, "tree", "gm/idea")
