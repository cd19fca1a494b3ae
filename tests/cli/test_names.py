"""Which object is meant by what people type."""

import pytest

from genops.cli.story.errors import Misnamed, Nothing
from genops.cli.story.names import choose, kind_of, parse, short
from genops.core.kinds import GEN_DATASET, GEN_DEPLOYMENT, GEN_MODEL, GEN_TRAINING_JOB, OURS
from genops.core.model import Key

DIGITS = [Key(k, "team", "digits") for k in (GEN_DATASET, GEN_TRAINING_JOB)]
FRONT = Key(GEN_DEPLOYMENT, "team", "front")


@pytest.mark.parametrize(
    "words",
    [
        ["gds", "digits"],
        ["gds/digits"],
        ["GenDataset", "digits"],
        ["gendatasets/digits"],
        ["gendatasets.genops.dev", "digits"],
    ],
    ids=" ".join,
)
def test_a_kind_has_many_names(words: list[str]) -> None:
    assert choose(parse(words), [*DIGITS, FRONT]) == DIGITS[0]


def test_every_kind_is_known_by_what_short_names_it() -> None:
    for kind in OURS:
        key = Key(kind, "team", "x")
        assert parse([short(key)]).kind == kind_of(kind.plural) == kind


def test_a_name_that_one_object_has_is_enough() -> None:
    assert choose(parse(["front"]), [*DIGITS, FRONT]) == FRONT


def test_a_model_stands_for_the_objects_it_made() -> None:
    model = Key(GEN_MODEL, "team", "digits")
    assert choose(parse(["digits"]), [*DIGITS, model]) == model


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gdx", "digits"], "KIND 'gdx' is not one of genmodel (gm), gendataset (gds)"),
        (["gendatset/digits"], "did you mean gendataset?"),
        (["digits"], "NAME 'digits' fits gds/digits, gtj/digits; write one of these"),
        (["gds/a/b"], "names no object; write KIND NAME or KIND/NAME, such as gds digits"),
        (["gds/"], "names no object"),
        (["gds", "a", "b"], "names no object"),
    ],
)
def test_what_fits_nothing_is_said_with_what_would(words: list[str], says: str) -> None:
    with pytest.raises(Misnamed) as refused:
        choose(parse(words), DIGITS)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["gds", "digit"], "GenDataset/digit does not exist in this namespace; did you mean gds/digits?"),
        (["gdp", "digits"], "GenDeployment/digits does not exist in this namespace; see kubectl get genops"),
        (["nothing"], "An object named 'nothing' does not exist"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(words: list[str], says: str) -> None:
    with pytest.raises(Nothing) as missing:
        choose(parse(words), DIGITS)
    assert says in str(missing.value)
