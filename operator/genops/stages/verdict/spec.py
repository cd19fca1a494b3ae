"""GenVerdict: what one rater said about one pair. Who said it is vouched for by the API server: policy.py."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genops.core.blocks import Ref, Standing
from genops.core.schema import AGE, Column, Definition, SpecModel

KIND = "GenVerdict"

Grade = Annotated[int, Field(ge=1, le=5)]


class Scores(SpecModel):
    """Grades from 1 (worst) to 5 (best) of the sample that was chosen."""

    fidelity: Grade | None = Field(None, description="How true to the real thing, from 1 to 5.")
    coherence: Grade | None = Field(None, description="How well its parts fit together, from 1 to 5.")
    novelty: Grade | None = Field(None, description="How new, from 1 to 5.")
    harm: Grade | None = Field(None, description="How free of harm, from 1 (harmful) to 5 (free of it).")


class Spec(SpecModel):
    """The verdict. It is created once and never changed."""

    evaluation_ref: Ref = Field(description="The GenEvaluation that asked.")
    rater: str = Field(
        min_length=1, max_length=1024, description="Who judged: the name by which the API server knows the sender."
    )
    pair: int = Field(ge=0, le=100_000, description="Number of the card, as `genops review` shows it.")
    choice: Literal["A", "B", "Tie", "Bad"] = Field(
        description="The better sample of the pair, Tie when they are equal, Bad when neither will do."
    )
    scores: Scores | None = Field(None, description="Grades from 1 to 5.")
    comment: str | None = Field(None, max_length=2000, description="What the rater wants to add.")

    mutable: ClassVar[frozenset[str]] = frozenset()


class Status(Standing):
    """Nothing is written here: how many verdicts count stands at the GenEvaluation."""


DEFINITION = Definition(
    kind=KIND,
    plural="genverdicts",
    short_names=("gvd",),
    description="What one rater said about one pair of samples.",
    spec=Spec,
    status=Status,
    selectable=(".spec.evaluationRef.name",),
    columns=(
        Column("Evaluation", ".spec.evaluationRef.name", description="The GenEvaluation that asked"),
        Column("Rater", ".spec.rater", description="Who judged"),
        Column("Pair", ".spec.pair", "integer", "Number of the card"),
        Column("Choice", ".spec.choice", description="What the rater chose"),
        AGE,
    ),
)
