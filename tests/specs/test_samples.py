"""Every sample parses, every capability has one, and what specs say is what pods understand."""

from pathlib import Path
from typing import get_args

import pytest
import yaml

from gencontract import task
from genops.core.schema import document, read_dials
from genops.generate.crds import DEFINITIONS, below, structural
from genops.stages.dataset.spec import VARIANTS, CheckKind
from genops.stages.evaluation.spec import METRICS, MODALITIES

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*/*.yaml"))
SPECS = {d.kind: d.spec for d in DEFINITIONS}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_sample_parses_and_comes_back(path: Path) -> None:
    sample = yaml.safe_load(path.read_text(encoding="utf-8"))
    kind = SPECS[sample["kind"]]
    spec = kind.model_validate(sample["spec"])
    assert kind.model_validate(document(spec)) == spec
    assert kind.model_validate_json(spec.model_dump_json(by_alias=True)) == spec


def used(value: object, path: str = "") -> set[str]:
    if isinstance(value, dict):
        return {path}.union(*(used(v, f"{path}.{k}") for k, v in value.items()))
    if isinstance(value, list):
        return {path}.union(*(used(v, f"{path}[]") for v in value))
    return {path}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)
def test_every_field_stands_in_some_sample(definition: object) -> None:
    documents = [yaml.safe_load(p.read_text(encoding="utf-8")) for p in SAMPLES]
    mine = [d["spec"] for d in documents if d["kind"] == definition.kind]  # type: ignore[attr-defined]
    there = set().union(*(used(m) for m in mine))
    fields = {f".{name}" for name in structural(definition.spec)["properties"]}  # type: ignore[attr-defined]
    assert fields - there == set()


def test_every_source_has_a_sample() -> None:
    documents = [yaml.safe_load(p.read_text(encoding="utf-8")) for p in SAMPLES]
    sources = {v for d in documents if d["kind"] == "GenDataset" for v in d["spec"]["source"]}
    assert set(VARIANTS) <= sources


def test_specs_and_tasks_share_their_words() -> None:
    assert set(get_args(CheckKind)) == set(get_args(task.Check.model_fields["kind"].annotation))
    assert {"builtin", "http", "s3", "git", "huggingFace", "oci"} <= set(
        get_args(task.Source.model_fields["kind"].annotation)
    )


@pytest.mark.slow
def test_specs_and_trainers_know_the_same_metrics() -> None:
    trainers = pytest.importorskip("gentrainers.metrics")
    known = {name: m.modalities for name, m in trainers.all_metrics().items()}
    every = get_args(task.Modality)
    assert {name: set(MODALITIES.get(name, every)) for name in METRICS} == {n: set(m) for n, m in known.items()}


def test_dials_come_out_as_the_trainers_want_them() -> None:
    dials = {"lr": "3e-4", "lora": 8, "compile": "true", "schedule": "wsd", "betas": "[0.9, 0.99]", "note": '"7"'}
    assert read_dials(dials) == {
        "lr": 0.0003,
        "lora": 8,
        "compile": True,
        "schedule": "wsd",
        "betas": [0.9, 0.99],
        "note": '"7"',
    }


def test_below_visits_every_node_once() -> None:
    assert [end for end, _ in below(structural(SPECS["GenVerdict"]))] == [
        ".evaluationRef",
        ".rater",
        ".pair",
        ".choice",
        ".scores",
        ".comment",
    ]
