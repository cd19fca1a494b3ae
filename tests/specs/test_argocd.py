"""Argo CD is told of every kind and of every phase, and of nothing that is no phase."""

from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
import yaml

from genops.core.schema import Definition
from genops.generate import argocd
from genops.generate.crds import DEFINITIONS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests/argocd"
PHASED = [d for d in DEFINITIONS if d.kind != "GenVerdict"]


def phases(definition: Definition) -> set[str]:
    """The words that `status.phase` allows."""

    def words(annotation: Any) -> set[str]:
        found = get_args(annotation)
        return set().union(*(words(a) for a in found)) if found else set() if annotation is NoneType else {annotation}

    return words(definition.status.model_fields["phase"].annotation)


@pytest.mark.parametrize("definition", PHASED, ids=lambda d: d.kind)
def test_every_phase_has_a_health(definition: Definition) -> None:
    assert set(argocd.CHECKS[definition.kind].phases) == phases(definition)


def test_every_kind_has_a_check() -> None:
    data = yaml.safe_load(argocd.health())["data"]
    assert set(data) == {f"resource.customizations.health.genops.dev_{d.kind}" for d in DEFINITIONS}


def test_only_a_verdict_has_no_phase_of_its_own() -> None:
    [verdict] = [d for d in DEFINITIONS if d not in PHASED]
    assert phases(verdict) == {str}


def test_the_applications_name_what_is_there() -> None:
    """The operator comes in an earlier wave than the models; each path is a folder with what Argo CD looks for."""
    operator, models = (
        yaml.safe_load((FOLDER / f).read_text(encoding="utf-8")) for f in ("operator.yaml", "models.yaml")
    )
    waves = [int(a["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for a in (operator, models)]
    assert waves == sorted(set(waves))
    assert (ROOT / operator["spec"]["source"]["path"] / "Chart.yaml").is_file()
    assert (ROOT / models["spec"]["source"]["path"] / "kustomization.yaml").is_file()
