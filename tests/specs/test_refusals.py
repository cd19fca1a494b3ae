"""Every wrong input of the table is refused by pydantic with the same words as by the API server."""

import pytest
import wrong_inputs as table
from pydantic import ValidationError

from gencontract.wire import explain
from genops.core.schema import check_change, walk
from genops.generate.crds import DEFINITIONS

SPECS = {d.kind: d.spec for d in DEFINITIONS}
NEW = [r for r in table.ROWS if not (r.change or r.server_only)]
CHANGES = [r for r in table.ROWS if r.change]


@pytest.mark.parametrize("row", NEW, ids=str)
def test_a_wrong_input_is_refused(row: table.Row) -> None:
    document = row.document()
    with pytest.raises(ValidationError) as caught:
        SPECS[document["kind"]].model_validate(document["spec"])
    assert row.names in explain(caught.value)


@pytest.mark.parametrize("row", CHANGES, ids=str)
def test_a_forbidden_change_is_refused(row: table.Row) -> None:
    kind = SPECS[row.document()["kind"]]
    before, after = (kind.model_validate(d["spec"]) for d in (table.load(row.sample), row.document()))
    assert row.names in "; ".join(check_change(before, after))


@pytest.mark.parametrize(("sample", "change"), table.ALLOWED, ids=lambda x: str(x)[:60])
def test_an_allowed_change_is_taken(sample: str, change: dict[str, object]) -> None:
    old, row = table.load(sample), table.Row("", sample, "", change)
    kind = SPECS[old["kind"]]
    assert check_change(kind.model_validate(old["spec"]), kind.model_validate(row.document()["spec"])) == ()


def test_there_are_enough_rows_and_none_twice() -> None:
    assert len(table.ROWS) >= 60
    assert len({str(r) for r in table.ROWS}) == len(table.ROWS)


def test_every_rule_is_broken_by_some_row() -> None:
    said = "; ".join(refusal(row) for row in NEW)
    rules = {r.message for d in DEFINITIONS for model in walk(d.spec) for r in getattr(model, "rules", ())}
    assert sorted(message for message in rules if message not in said) == []


def refusal(row: table.Row) -> str:
    document = row.document()
    try:
        SPECS[document["kind"]].model_validate(document["spec"])
    except ValidationError as error:
        return explain(error)
    return ""
