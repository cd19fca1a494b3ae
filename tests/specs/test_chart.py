"""The generated part of the chart: rights that are least, and values that are all described and all used."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from genops.core.kinds import CREATE_ONCE, JOB, JOB_SET, OURS
from genops.generate import chart, cli, rbac
from genops.stages import STAGES

TEMPLATES = cli.repository() / chart.CHART / "templates"
RULES = [*rbac.rules(), *rbac.lease_rules("genops-operator"), *rbac.cluster_rules()]


def verbs(group: str, resource: str) -> set[str]:
    return {v for r in RULES if group in r["apiGroups"] and resource in r["resources"] for v in r["verbs"]}


def test_no_right_is_a_wildcard() -> None:
    assert not [r for r in RULES for words in r.values() if "*" in words]


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "pods/exec", "pods/attach", "pods/portforward", "nodes"])
def test_some_things_are_never_touched(resource: str) -> None:
    assert verbs("", resource) == set()


def test_nobody_is_given_rights_by_us() -> None:
    assert not [r for r in RULES if "rbac.authorization.k8s.io" in r["apiGroups"]]
    assert not [r for r in RULES if {"bind", "escalate", "impersonate", "deletecollection"} & set(r["verbs"])]


@pytest.mark.parametrize("kind", sorted({k for s in STAGES for k in s.owns}), ids=str)
def test_what_a_stage_owns_can_be_made_and_removed(kind: Any) -> None:
    held = {s.kind for s in STAGES if s.holds}  # by a finalizer, which a patch of the object sets
    applied = kind not in CREATE_ONCE or kind in (JOB, JOB_SET) or kind in held
    wanted = {"get", "list", "watch", "create", "delete"} | ({"patch"} if applied else set())
    assert verbs(kind.group, kind.plural) == wanted


@pytest.mark.parametrize("kind", OURS, ids=str)
def test_specs_that_people_write_are_only_read(kind: Any) -> None:
    owned = {k for s in STAGES for k in s.owns}
    assert "update" not in verbs(kind.group, kind.plural)
    assert kind in owned or verbs(kind.group, kind.plural) == {"get", "list", "watch"}


def test_a_stage_that_owns_more_is_given_more() -> None:
    fewer = rbac.rules([s for s in STAGES if s.kind.kind != "GenDeployment"])
    assert any("horizontalpodautoscalers" in r["resources"] for r in rbac.rules())
    assert not any("horizontalpodautoscalers" in r["resources"] for r in fewer)


def leaves(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in node.items():
        whole = isinstance(value, dict) and value and name not in ("resources",)
        yield from leaves(value, f"{path}.{name}") if whole else [f"{path}.{name}"]


def test_every_value_is_used_by_a_template() -> None:
    text = "\n".join(p.read_text() for p in TEMPLATES.iterdir())
    used = set(re.findall(r"\.Values((?:\.\w+)+)", text))
    assert set(leaves(yaml.safe_load(chart.values()))) - used == set()
    assert used - set(leaves(yaml.safe_load(chart.values()))) == set()


def test_every_value_is_described() -> None:
    def missing(model: Any) -> list[str]:
        return [n for n, f in model.model_fields.items() if not f.description]

    assert {b.__name__: missing(b) for b in (chart.Values, *chart._Block.__subclasses__()) if missing(b)} == {}


def test_the_values_file_holds_the_defaults() -> None:
    assert chart.Values.model_validate(yaml.safe_load(chart.values())) == chart.Values()
