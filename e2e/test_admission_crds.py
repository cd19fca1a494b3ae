"""A real API server takes our CRDs and every sample, and shows them to people as meant."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from genops.generate.crds import DEFINITIONS, crd
from genops.local.errors import LocalError

ROOT = Path(__file__).parents[1]
CRDS = ROOT / "crds"
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*/*.yaml"))
KINDS = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)


@pytest.fixture(scope="module")
def server(cluster: Any) -> Any:
    """The cluster, with our CRDs served."""
    cluster.kubectl("apply", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    return cluster


@pytest.fixture(scope="module")
def space(server: Any) -> Iterator[str]:
    """One namespace for all rows: each works on objects of its own name, or stores nothing."""
    name = f"admission-{uuid4().hex[:8]}"
    server.kubectl("create", "namespace", name)
    yield name
    server.kubectl("delete", "namespace", name, "--wait=false")


@KINDS
def test_a_crd_is_structural_and_established(server: Any, definition: Any) -> None:
    stored = json.loads(server.kubectl("get", "crd", f"{definition.plural}.genops.dev", "-o", "json"))
    conditions = {c["type"]: c["status"] for c in stored["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert stored["spec"]["names"]["categories"] == ["genops"]


@KINDS
def test_the_server_keeps_the_whole_schema(server: Any, definition: Any) -> None:
    """What the server does not know it drops without a word; then a rule of ours would never be checked."""
    stored = json.loads(server.kubectl("get", "crd", f"{definition.plural}.genops.dev", "-o", "json"))
    ours = crd(definition)["spec"]["versions"][0]["schema"]
    assert stored["spec"]["versions"][0]["schema"] == ours


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_sample_is_taken(server: Any, space: str, sample: Path) -> None:
    how = (*sender(sample), "apply", "-n", space, "--dry-run=server", "--validate=strict", "-f", str(sample))
    assert "created" in server.kubectl(*how)


def sender(sample: Path) -> tuple[str, ...]:
    """Options of kubectl by which a sample is sent as whom it names: a verdict is taken from its rater alone."""
    rater = yaml.safe_load(sample.read_text())["spec"].get("rater")
    return ("--as", rater, "--as-group", "system:masters") if rater else ()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("genmodel.spec.retrain", "When a new run is minted"),
        ("gendataset.spec.source", "exactly one of the variants"),
        ("gentrainingjob.spec.checkpoint.everySeconds", "Seconds between two checkpoints"),
        ("genevaluation.spec.metrics.maxRegression", "may be worse than the baseline"),
        ("gendeployment.status.engines.maxAbsError", "Largest difference"),
        ("genverdict.spec.choice", "The better sample"),
    ],
)
def test_explain_says_what_a_field_means(server: Any, path: str, says: str) -> None:
    assert says in " ".join(server.kubectl("explain", path).split())


@KINDS
def test_get_shows_the_columns(server: Any, space: str, definition: Any) -> None:
    sample = next(s for s in SAMPLES if yaml.safe_load(s.read_text())["kind"] == definition.kind)
    server.kubectl(*sender(sample), "apply", "-n", space, "-f", str(sample))
    head = server.kubectl("get", definition.short_names[0], "-n", space, "-o", "wide").splitlines()[0].split()
    assert head == ["NAME", *(c.name.upper() for c in definition.columns)]


def test_the_category_lists_all_kinds(server: Any, space: str) -> None:
    for kind in ("dataset", "verdict"):
        sample = ROOT / "manifests" / "samples" / kind / "minimal.yaml"
        server.kubectl(*sender(sample), "apply", "-n", space, "-f", str(sample))
    said = server.kubectl("get", "genops", "-n", space, "-o", "name")
    assert "gendataset.genops.dev/" in said
    assert "genverdict.genops.dev/" in said


def test_scale_writes_the_least_number_of_servers(server: Any, space: str) -> None:
    server.kubectl("apply", "-n", space, "-f", str(ROOT / "manifests/samples/deployment/autoscale.yaml"))
    name = "gendeployment/digits-autoscale"
    server.kubectl("scale", name, "-n", space, "--replicas=5")
    assert server.kubectl("get", name, "-n", space, "-o", "jsonpath={.spec.scale.min}") == "5"
    with pytest.raises(LocalError, match="min must be at most max"):
        server.kubectl("scale", name, "-n", space, "--replicas=11")


def test_a_plain_deployment_can_be_scaled(server: Any, space: str) -> None:
    server.kubectl("apply", "-n", space, "-f", str(ROOT / "manifests/samples/deployment/minimal.yaml"))
    server.kubectl("scale", "gdp/digits-minimal", "-n", space, "--replicas=0")
    server.kubectl("scale", "gdp/digits-minimal", "-n", space, "--replicas=3")
    assert server.kubectl("get", "gdp/digits-minimal", "-n", space, "-o", "jsonpath={.spec.scale.min}") == "3"


def test_verdicts_are_found_by_their_evaluation(server: Any, space: str) -> None:
    for name in ("minimal", "full"):
        sample = ROOT / f"manifests/samples/verdict/{name}.yaml"
        server.kubectl(*sender(sample), "apply", "-n", space, "-f", str(sample))
    field = "--field-selector=spec.evaluationRef.name=faces-full"
    assert server.kubectl("get", "gvd", "-n", space, field, "-o", "name").split() == [
        "genverdict.genops.dev/faces-full-7-ben"
    ]


def test_nobody_judges_in_another_name(server: Any, space: str) -> None:
    sample = ROOT / "manifests/samples/verdict/full.yaml"
    with pytest.raises(LocalError, match=r"spec\.rater must be eve, who sends this"):
        server.kubectl("--as", "eve", "--as-group", "system:masters", "create", "-n", space, "-f", str(sample))


def test_an_applied_object_shows_its_defaults(server: Any, space: str) -> None:
    server.kubectl("apply", "-n", space, "-f", str(ROOT / "manifests/samples/training/minimal.yaml"))
    spec = json.loads(server.kubectl("get", "gtj/digits-minimal", "-n", space, "-o", "json"))["spec"]
    assert (spec["size"], spec["nodes"], spec["checkpoint"]) == ("xs", 1, {"everySeconds": 60, "keep": 2})
    assert spec["retry"] == {"limit": 3, "after": ["Preempted", "NodeLost", "Error"]}
