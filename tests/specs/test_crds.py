"""The generator writes structural schemas only, and refuses what has no counterpart there."""

from typing import Annotated, Any, ClassVar, Literal, Union

import pytest
from pydantic import Field

from genops.core.expr import exactly_one
from genops.core.schema import Constraint, ListMap, Rules, SpecModel, StatusModel
from genops.generate import crds

WORDS = {
    "description", "type", "format", "enum", "default", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    "properties", "additionalProperties", "items", "x-kubernetes-validations", "x-kubernetes-int-or-string",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def nodes(node: crds.Node, path: str = "") -> list[tuple[str, crds.Node]]:
    return [(path, node)] + [n for end, child in crds.below(node) for n in nodes(child, path + end)]


EVERY = [
    pytest.param(node, id=f"{d.kind}.{part}{path}")
    for d in crds.DEFINITIONS
    for part, model in (("spec", d.spec), ("status", d.status))
    for path, node in nodes(crds.structural(model))
]


def test_every_node_is_structural() -> None:
    for param in EVERY:
        node = param.values[0]
        assert set(node) <= WORDS, param.id
        assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), param.id
        assert isinstance(node.get("exclusiveMinimum", True), bool), param.id
        assert not {"properties", "additionalProperties"} <= node.keys(), param.id


def test_every_rule_has_a_message_and_a_bounded_text() -> None:
    for d in crds.DEFINITIONS:
        for path, rule in crds.rules_of(crds.root(d)):
            assert len(rule["message"]) <= 250, f"{d.kind} {path}"
            assert len(rule["rule"]) <= 1500, f"{d.kind} {path}"


def test_every_path_a_rule_points_at_exists() -> None:
    for d in crds.DEFINITIONS:
        for _, node in nodes(crds.structural(d.spec)):
            for rule in node.get(crds.RULES, ()):
                field = rule.get("fieldPath", "").lstrip(".")
                assert not field or field in node["properties"], rule["message"]


def test_every_list_member_key_is_required_and_every_status_field_is_not() -> None:
    for param in EVERY:
        node = param.values[0]
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], param.id
    for d in crds.DEFINITIONS:
        assert "required" not in crds.structural(d.status), d.kind


def test_a_crd_fits_into_the_annotation_of_a_plain_apply() -> None:
    """kubectl keeps what was applied in an annotation, and annotations may take 256 KiB."""
    import json

    for d in crds.DEFINITIONS:
        assert len(json.dumps(crds.crd(d), separators=(",", ":"))) < 200_000, d.kind


class Leaf(SpecModel):
    """A leaf."""

    a: str | None = Field(None, max_length=3, description="A.")
    b: int | None = Field(None, gt=0, lt=9, description="B.")

    rules: ClassVar[Rules] = (Constraint(exactly_one("a", "b"), "exactly one of a, b", "a"),)


class Tree(SpecModel):
    """A tree."""

    one_word: Literal["only"] = Field("only", description="Its only value.")
    leaves: Annotated[list[Leaf], ListMap("a")] = Field([], max_length=2, description="Leaves.")
    leaf: Leaf = Field(Leaf(a="x"), description="A leaf of its own words.")

    mutable: ClassVar[frozenset[str]] = frozenset({"leaf"})


def test_what_pydantic_says_becomes_what_kubernetes_takes() -> None:
    node = crds.structural(Tree)
    assert node["properties"]["oneWord"] == {
        "description": "Its only value.",
        "type": "string",
        "enum": ["only"],
        "default": "only",
    }
    assert node["properties"]["leaf"]["description"] == "A leaf of its own words."
    assert node["properties"]["leaf"]["default"] == {"a": "x"}
    assert node["properties"]["leaves"]["x-kubernetes-list-map-keys"] == ["a"]
    assert "default" not in node["properties"]["leaves"]
    b = node["properties"]["leaf"]["properties"]["b"]
    assert (b["minimum"], b["exclusiveMinimum"], b["maximum"], b["exclusiveMaximum"]) == (0, True, 9, True)
    assert [r["message"] for r in node["x-kubernetes-validations"]] == [
        "oneWord is immutable: make a new object instead",
        "leaves is immutable: make a new object instead",
    ]
    assert node["properties"]["leaf"]["x-kubernetes-validations"] == [
        {
            "rule": "[has(self.a), has(self.b)].exists_one(x, x)",
            "message": "exactly one of a, b",
            "fieldPath": ".a",
            "reason": "FieldValueInvalid",
        }
    ]


class Knot(SpecModel):
    """Holds itself."""

    knot: "Knot | None" = Field(None, description="Itself.")


def model(annotation: Any, **more: Any) -> type[SpecModel]:
    fields: dict[str, Any] = {"__annotations__": {"field": annotation}, "field": Field(**({"description": "x"} | more))}
    return type("Wrong", (SpecModel,), {"__module__": __name__, "__doc__": "Wrong.", **fields})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Knot, "knot: Knot holds itself"),
        (model(Union[int, str]), "field: anyOf is not structural"),  # noqa: UP007
        (model(tuple[int, str]), "prefixItems is not structural"),
        (model(Any), "field: has no type"),
        (model(dict[str, Any], max_length=3), "takes any field"),
        (model(str), "field: a string needs its bounds"),
        (model(list[Leaf]), "field: a array needs its bounds"),
        (model(int, ge=0), "field: a integer needs its bounds"),
        (model(float, le=1), "field: a number needs its bounds"),
        (model(dict[str, Annotated[str, Field(max_length=3)]]), "field: a object needs its bounds"),
        (model(bool, description=""), "field: has no description"),
        (model(Literal["a", "off"]), "YAML reads off as a boolean"),
        (model(bool, alias="on"), "YAML reads on as a boolean"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_a_crd_cannot_say_is_refused(wrong: type[SpecModel], says: str) -> None:
    with pytest.raises(crds.SchemaError, match=says):
        crds.structural(wrong)


def test_a_status_passes_over_what_a_newer_operator_wrote() -> None:
    for d in crds.DEFINITIONS:
        assert issubclass(d.status, StatusModel)
        d.status.model_validate({"observedGeneration": 3, "fromTheFuture": {"x": 1}})
