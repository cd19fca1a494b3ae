"""What the types of our API are made of: bounded fields, rules, and what a kind is called.

A spec is validated twice from one source: genops.generate turns these types and rules into the CRD's schema and CEL,
and pydantic checks the same types and the same rules when Python reads an object. Knows nothing of any kind, of
Kubernetes' client or of time.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from gencontract.task import Digest as PlainDigest
from genops.core.expr import Expr

# --- rules -----------------------------------------------------------------------------------------------------------

# FieldValueDuplicate is left out: with it the API server does not show the message.
Cause = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired"]


@dataclass(frozen=True)
class Constraint:
    """One rule about a model: what must hold, and what to tell a person when it does not.

    The message names the field and what is allowed. `field` is where the API server points, below the model.
    """

    expr: Expr
    message: str
    field: str = ""
    cause: Cause = "FieldValueInvalid"

    @property
    def cel(self) -> str:
        """The rule as the API server evaluates it."""
        return self.expr.cel("self")


Rules = tuple[Constraint, ...]


class SpecModel(BaseModel):
    """A part of a spec: strict, frozen, camelCase on the wire.

    `rules` hold for every object. `mutable` names the only fields that may change once the object exists (None: all
    may), `rising` those that may only grow.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        populate_by_name=True,
    )

    rules: ClassVar[Rules] = ()
    mutable: ClassVar[frozenset[str] | None] = None
    rising: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _obey(self) -> Self:
        doc = document(self) if self.rules else {}
        broken = [r for r in self.rules if not r.expr.holds(doc)]
        if broken:
            raise PydanticCustomError("rule", "{message}", {"message": "; ".join(r.message for r in broken)})
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not set: for the API server an empty list is there, and rules are about what is there."""
        unset = {n for name in self._unset() for n in (name, type(self).model_fields[name].alias)}
        return {k: v for k, v in handler(self).items() if k not in unset}

    def _unset(self) -> list[str]:
        return [n for n, v in self if v is None or (v in ([], {}) and n not in self.model_fields_set)]


def document(model: BaseModel) -> dict[str, Any]:
    """Write a model as the API server holds it: wire names, defaults filled in, nothing that was not set."""
    return model.model_dump(mode="json", by_alias=True)


def frozen_fields(model: type[SpecModel]) -> tuple[str, ...]:
    """Name the fields, on the wire, that may not change once the object exists."""
    if model.mutable is None:
        return ()
    aliases = [field.alias or name for name, field in model.model_fields.items()]
    return tuple(a for a in aliases if a not in model.mutable)


def frozen_message(field: str) -> str:
    """Say that a field may not change, and what to do."""
    return f"{field} is immutable: make a new object instead"


def rising_message(field: str) -> str:
    """Say that a field may only grow."""
    return f"{field} may only be raised"


def check_change(old: SpecModel, new: SpecModel) -> tuple[str, ...]:
    """List what the API server would refuse about replacing one spec by the other."""
    before, after = document(old), document(new)
    frozen = [frozen_message(f) for f in frozen_fields(type(new)) if before.get(f) != after.get(f)]
    return (*frozen, *(rising_message(f) for f in sorted(new.rising) if after.get(f, 0) < before.get(f, 0)))


# --- fields ----------------------------------------------------------------------------------------------------------

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
QUALIFIED = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
READ_URI = r"^((s3|gs|az|pvc)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^\s]*)?|https?://[^\s/@]+(/[^\s]*)?)$"
STORE_URI = r"^(s3|gs|az|pvc)://[A-Za-z0-9][A-Za-z0-9._-]*(/[^\s]*)?$"

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Label = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Word = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$")]
Line = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\r\n]+$")]
Text = Annotated[str, Field(max_length=4096)]
Image = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$")]
Arg = Annotated[str, Field(max_length=4096)]
Command = Annotated[list[Arg], Field(min_length=1, max_length=64)]
Spdx = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][-A-Za-z0-9.+]*$")]
Digest = Annotated[PlainDigest, Field(max_length=71)]
ReadUri = Annotated[str, Field(min_length=6, max_length=1024, pattern=READ_URI)]
StoreUri = Annotated[str, Field(min_length=6, max_length=1024, pattern=STORE_URI)]
Seconds = Annotated[int, Field(ge=0, le=31_536_000)]
Period = Annotated[int, Field(ge=1, le=31_536_000)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Finite = Annotated[float, Field(ge=-1e12, le=1e12)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Number = Annotated[str, Field(max_length=64, pattern=NUMBER)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Op = Literal[">=", "<=", ">", "<"]
MetaMap = Annotated[dict[str, LabelValue], Field(max_length=64)]


def _quantity(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(min_length=1, max_length=32, pattern=QUANTITY),
    BeforeValidator(_quantity),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": QUANTITY, "minimum": 0, "maximum": 2**53}
    ),
]
# A dial of a free-form map. Numbers with a fraction are text, since the API server holds such maps as integers or text.
Dial = Annotated[
    Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[str, Field(max_length=256)],
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 256, "minimum": -(2**53), "maximum": 2**53}),
]
Dials = Annotated[dict[str, Dial], Field(max_length=64)]


def read_dials(dials: dict[str, int | str]) -> dict[str, Any]:
    """Turn dials into plain values: text that is JSON, other than text in quotes, becomes what it says.

    >>> read_dials({"batch": 64, "lr": "3e-4", "compile": "true", "schedule": "cosine", "betas": "[0.9, 0.99]"})
    {'batch': 64, 'lr': 0.0003, 'compile': True, 'schedule': 'cosine', 'betas': [0.9, 0.99]}
    """
    return {name: _read_dial(value) for name, value in dials.items()}


def _read_dial(value: int | str) -> Any:
    try:
        plain = json.loads(value, parse_constant=str) if isinstance(value, str) else value
    except ValueError:
        return value
    return value if isinstance(plain, str) else plain


@dataclass(frozen=True)
class ListMap:
    """Mark a list as a map by one key: members are merged by it and none stands twice."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse a list where a key stands twice, as the API server does."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._unique, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Any:
        """Tell the generator."""
        return handler(core) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [to_camel(self.key)]}

    def _unique(self, members: list[Any]) -> list[Any]:
        seen = [getattr(m, self.key) for m in members]
        return _refuse_repeats(members, seen)


@dataclass(frozen=True)
class Unique:
    """Mark a list of scalars as a set."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse a list where a value stands twice, as the API server does."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(lambda m: _refuse_repeats(m, m), handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> Any:
        """Tell the generator."""
        return handler(core) | {"x-kubernetes-list-type": "set"}


def _refuse_repeats(members: list[Any], keys: list[Any]) -> list[Any]:
    repeated = sorted({str(k) for k in keys if keys.count(k) > 1})
    if repeated:
        raise PydanticCustomError("duplicate", "Duplicate value: {names}", {"names": ", ".join(repeated)})
    return members


# --- status ----------------------------------------------------------------------------------------------------------


class StatusModel(BaseModel):
    """A part of a status: nothing is required, and what a newer operator wrote is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


# --- kinds -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    description: str = ""
    priority: int = 0


AGE = Column("Age", ".metadata.creationTimestamp", "date", "Time since the object was made")


@dataclass(frozen=True)
class Scale:
    """The paths by which `kubectl scale` and autoscalers reach a kind."""

    spec: str
    status: str
    selector: str


@dataclass(frozen=True)
class Definition:
    """All that a CustomResourceDefinition says about a kind, as types."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[SpecModel]
    status: type[StatusModel]
    columns: tuple[Column, ...]
    scale: Scale | None = None
    selectable: tuple[str, ...] = ()  # fields that `kubectl get --field-selector` knows

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()


def walk(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Visit a model and every model below it, each once."""
    seen: list[type[BaseModel]] = []
    todo = [model]
    while todo:
        here = todo.pop(0)
        if here not in seen:
            seen.append(here)
            yield here
            todo += [m for f in here.model_fields.values() for m in _models(f.annotation)]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models(arg)]
