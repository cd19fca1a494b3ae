"""GenDataset: data that was fetched, cleaned, checked, split, and is named by its digest from then on."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gencontract.task import Modality
from genops.core.blocks import (
    Claim,
    PodTemplate,
    ProgressStatus,
    Ref,
    Resources,
    Standing,
    Store,
    UsageStatus,
)
from genops.core.expr import (
    absent,
    adds_up,
    all_of,
    among,
    any_of,
    compare,
    equals,
    exactly_one,
    ordered,
    present,
    some,
    together,
    when,
)
from genops.core.schema import (
    AGE,
    Column,
    Command,
    Constraint,
    Count,
    Definition,
    Dials,
    Digest,
    Finite,
    Image,
    Line,
    ListMap,
    Number,
    Period,
    PositiveShare,
    Rules,
    Seconds,
    Seed,
    Share,
    Spdx,
    SpecModel,
    StatusModel,
    Unique,
    Word,
)

KIND = "GenDataset"

# --- source ----------------------------------------------------------------------------------------------------------


class Builtin(SpecModel):
    """A data set that comes with the trainers, or one that they make by a procedure."""

    name: Word = Field(description="Which one: digits, sprites, markov, arpeggios, chorales, opticks, shakespeare.")
    samples: int | None = Field(
        None, ge=1, le=100_000_000, description="How many samples to take or to make. Left out, all that there are."
    )
    seed: Seed = Field(0, description="Seed of a procedural set.")


class Download(SpecModel):
    """One file to fetch."""

    url: str = Field(
        min_length=8, max_length=2048, pattern=r"^https?://[^\s/@]+(/[^\s]*)?$", description="Address of the file."
    )
    sha256: str | None = Field(
        None, max_length=64, pattern=r"^[0-9a-f]{64}$", description="SHA-256 that the file must have, in hexadecimal."
    )


class Http(SpecModel):
    """Files behind web addresses."""

    urls: Annotated[list[Download], ListMap("url")] = Field(
        min_length=1, max_length=256, description="The files. Archives are opened."
    )


class S3(SpecModel):
    """Objects of a bucket that speaks S3."""

    uri: str = Field(
        min_length=6,
        max_length=1024,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]+(/[^\s]*)?$",
        description="Bucket and prefix, as s3://bucket/folder.",
    )
    endpoint: str | None = Field(
        None,
        max_length=512,
        pattern=r"^https?://[^\s/@]+(/[^\s]*)?$",
        description="Address of the service. Left out, the one of AWS.",
    )


class Git(SpecModel):
    """A folder of a Git repository."""

    url: str = Field(
        min_length=8,
        max_length=1024,
        pattern=r"^(https?://[^\s/@]+/[^\s]+|ssh://[^\s]+|git@[^\s:]+:[^\s]+)$",
        description="Address of the repository.",
    )
    path: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        pattern=r"^[^/\s.][^/\s]*(/[^/\s.][^/\s]*)*$",
        description="Folder within the repository. Left out, its root.",
    )


class HuggingFace(SpecModel):
    """A data set of the Hugging Face hub."""

    repository: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9][-\w.]*(/[A-Za-z0-9][-\w.]*)?$",
        description="owner/name of the data set.",
    )
    split: Word | None = Field(None, description="Split of the hub's to read. Left out, all.")


class Oci(SpecModel):
    """A data set kept as an OCI artifact."""

    image: Image = Field(description="Reference of the artifact, with registry and repository.")


class Capture(SpecModel):
    """What a GenDeployment recorded of its traffic."""

    deployment_ref: Ref = Field(description="The GenDeployment; its spec.capture must be set.")


VARIANTS = ("builtin", "http", "s3", "git", "huggingFace", "pvc", "oci", "capture")


class Source(SpecModel):
    """Where the data comes from: exactly one of the variants."""

    builtin: Builtin | None = Field(None, description="A set that comes with the trainers.")
    http: Http | None = Field(None, description="Files behind web addresses.")
    s3: S3 | None = Field(None, description="Objects of a bucket that speaks S3.")
    git: Git | None = Field(None, description="A folder of a Git repository.")
    hugging_face: HuggingFace | None = Field(None, description="A data set of the Hugging Face hub.")
    pvc: Claim | None = Field(None, description="A folder on a PersistentVolumeClaim.")
    oci: Oci | None = Field(None, description="An OCI artifact.")
    capture: Capture | None = Field(None, description="What a GenDeployment recorded of its traffic.")
    revision: Line | None = Field(
        None, description="Commit, tag or digest to read, with git, huggingFace and oci. Recorded in status either way."
    )
    secret_ref: Ref | None = Field(
        None, description="Secret with the credentials, with http, s3, git, huggingFace and oci."
    )
    license: Spdx | None = Field(
        None, description="SPDX id that the owner states, for data that does not say it itself."
    )

    rules: ClassVar[Rules] = (
        Constraint(exactly_one(*VARIANTS), f"exactly one of {', '.join(VARIANTS)} must be set"),
        Constraint(
            when(present("revision"), any_of(present("git"), present("huggingFace"), present("oci"))),
            "revision is allowed only with git, huggingFace or oci",
            "revision",
            "FieldValueForbidden",
        ),
        Constraint(
            when(
                present("secretRef"),
                all_of(absent("builtin"), absent("pvc"), absent("capture")),
            ),
            "secretRef is allowed only with http, s3, git, huggingFace or oci",
            "secretRef",
            "FieldValueForbidden",
        ),
    )


# --- preparation -----------------------------------------------------------------------------------------------------


class Filter(SpecModel):
    """A built-in filter by name, with its numbers."""

    name: Word = Field(description="Which filter, as length, resolution or language.")
    min: Finite | None = Field(None, description="Smallest value that stays.")
    max: Finite | None = Field(None, description="Largest value that stays.")
    values: Annotated[list[Line], Unique()] = Field([], max_length=64, description="Values that stay.")

    rules: ClassVar[Rules] = (Constraint(ordered("min", "<=", "max"), "min must be at most max", "min"),)


class Near(SpecModel):
    """Removal of near duplicates: Jaccard similarity for text, share of equal hash bits for images."""

    threshold: PositiveShare | None = Field(
        None,
        description="Similarity above which two samples count as one. Left out, 0.8, and 60/64 of the bits for images.",
    )


class Dedup(SpecModel):
    """Removal of duplicates."""

    exact: bool = Field(True, description="Remove samples that are equal byte by byte.")
    near: Near | None = Field(None, description="Remove samples that are nearly equal too.")


class Prepare(SpecModel):
    """How the data is cleaned: by built-in steps, or by your own container."""

    filters: Annotated[list[Filter], ListMap("name")] = Field(
        [], max_length=32, description="Built-in filters, in this order."
    )
    dedup: Dedup | None = Field(None, description="Removal of duplicates. Left out, exact ones are removed.")
    pii: Literal["redact", "drop", "flag"] | None = Field(
        None,
        description="Personal data in text: replaced, its sample dropped, or only counted. Left out, not looked for.",
    )
    options: Dials = Field({}, description="Dials of the format: imageSize, tokenizer, blockLength, ...")
    image: Image | None = Field(None, description="Your own container image, which gets the task file.")
    command: Command | None = Field(None, description="Command of your own container.")

    rules: ClassVar[Rules] = (
        Constraint(together("image", "command"), "image and command must be set together, for your own container"),
        Constraint(
            when(present("image"), all_of(absent("filters"), absent("dedup"), absent("pii"))),
            "filters, dedup and pii are built-in steps: they must be left out when image is set",
            "image",
            "FieldValueForbidden",
        ),
    )


class Splits(SpecModel):
    """Shares of the data by hash of a stable key, so that adding data never moves a sample."""

    train: Share = Field(0.8, description="Share to train on.")
    validation: Share = Field(0.1, description="Share to choose by.")
    test: Share = Field(0.1, description="Share to judge by.")
    key: Line = Field("content", description="What is hashed: content, path, or the name of a column.")
    seed: Seed = Field(0, description="Seed of the hash.")

    rules: ClassVar[Rules] = (
        Constraint(
            adds_up(1.0, 1e-6, "train", "validation", "test"), "train, validation and test must add up to 1", "train"
        ),
        Constraint(compare("train", ">", 0.0), "train must be above 0", "train"),
    )


class SchemaColumn(SpecModel):
    """A column that the data must have."""

    name: Line = Field(description="Name in the source.")
    type: Literal["string", "integer", "number", "boolean", "category"] = Field(description="Type of its values.")
    map_to: Word | None = Field(
        None, description="What the column means to the trainers: text, image, label, prompt, ..."
    )
    required: bool = Field(True, description="Whether each sample must have a value.")


class Schema(SpecModel):
    """What the samples look like."""

    columns: Annotated[list[SchemaColumn], ListMap("name")] = Field(
        min_length=1, max_length=512, description="The columns."
    )


CheckKind = Literal["rows", "schema", "duplicates", "pii", "license", "decodable", "overlap", "balance"]


class Check(SpecModel):
    """A check on the prepared data."""

    name: Word = Field(description="Name of the check, as it stands in status.")
    kind: CheckKind = Field(
        description=(
            "What is checked. rows: samples, at least threshold. schema: every sample fits spec.schema. "
            "duplicates, pii, overlap: share of samples concerned, at most threshold. decodable: share of samples that "
            "can be read, at least threshold. license: each one is allowed. balance: rarest class over commonest, at "
            "least threshold."
        )
    )
    threshold: float | None = Field(
        None, ge=0, le=1e12, description="The limit: a number of samples with rows, a share from 0 to 1 otherwise."
    )
    action: Literal["Block", "Warn"] = Field(
        "Block", description="Block stops everything that uses the dataset; Warn only says so."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            when(among("kind", "schema", "license"), absent("threshold")),
            "threshold must be left out when kind is schema or license",
            "threshold",
            "FieldValueForbidden",
        ),
        Constraint(
            when(
                all_of(present("threshold"), among("kind", "duplicates", "pii", "decodable", "overlap", "balance")),
                compare("threshold", "<=", 1.0),
            ),
            "threshold must be a share from 0 to 1 unless kind is rows",
            "threshold",
        ),
        Constraint(
            when(equals("kind", "rows"), present("threshold")),
            "threshold is required when kind is rows",
            "threshold",
            "FieldValueRequired",
        ),
    )


class Licenses(SpecModel):
    """Which licences the data may have."""

    allow: Annotated[list[Spdx], Unique()] = Field(
        [], max_length=64, description="SPDX ids that are allowed. Empty allows all."
    )


# --- the spec --------------------------------------------------------------------------------------------------------


class Template(SpecModel):
    """A GenDataset as it stands inside a GenModel."""

    source: Source = Field(description="Where the data comes from: exactly one of the variants.")
    format: Modality = Field(description="What a sample is.")
    prepare: Prepare | None = Field(
        None, description="How the data is cleaned. Left out, exact duplicates are removed."
    )
    splits: Splits = Field(Splits(), description="Shares of the data by hash of a stable key.")
    data_schema: Schema | None = Field(None, alias="schema", description="What the samples look like.")
    licenses: Licenses | None = Field(None, description="Which licences the data may have.")
    checks: Annotated[list[Check], ListMap("name")] = Field(
        [], max_length=32, description="Checks on the prepared data."
    )
    storage: Store | None = Field(None, description="Where the result is kept. Left out, in the operator's store.")
    deletion_policy: Literal["Keep", "Delete"] = Field(
        "Keep",
        description=(
            "Whether the data stays or goes when the object is deleted. With Delete, the object waits until nothing "
            "refers to the data and it is removed."
        ),
    )
    resources: Resources | None = Field(None, description="Compute resources of the preparing pod.")
    template: PodTemplate | None = Field(None, description="What the preparing pod carries besides.")
    active_deadline_seconds: Period | None = Field(None, description="Seconds after which preparing is given up.")
    ttl_seconds_after_finished: Seconds | None = Field(
        None, description="Seconds after which the finished Job is removed. The dataset stays."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            when(among("format", "images", "music"), absent("prepare.pii")),
            "prepare.pii must be left out unless format is text or tabular",
            "prepare",
            "FieldValueForbidden",
        ),
        Constraint(
            when(among("format", "images", "music"), ~some("checks", equals("kind", "pii"))),
            "checks: kind pii is allowed only when format is text or tabular",
            "checks",
            "FieldValueForbidden",
        ),
        Constraint(
            when(some("checks", equals("kind", "schema")), present("schema")),
            "schema is required by a check of kind schema",
            "schema",
            "FieldValueRequired",
        ),
        Constraint(
            when(equals("format", "music"), absent("schema")),
            "schema must be left out when format is music",
            "schema",
            "FieldValueForbidden",
        ),
    )


class Spec(Template):
    """What the data is made of and what it must be. Only syncRound, suspend, deletionPolicy and the TTL may change."""

    sync_round: int = Field(1, ge=1, le=1_000_000, description="Raise it to look at the source again.")
    suspend: bool = Field(False, description="Whether to hold everything until it is false.")

    mutable: ClassVar[frozenset[str]] = frozenset({"syncRound", "suspend", "deletionPolicy", "ttlSecondsAfterFinished"})
    rising: ClassVar[frozenset[str]] = frozenset({"syncRound"})


# --- status ----------------------------------------------------------------------------------------------------------


class SplitStatus(StatusModel):
    """One split as it came out."""

    name: str = Field(max_length=63, description="train, validation or test.")
    samples: Count | None = Field(None, description="How many samples it has.")
    digest: Digest | None = Field(None, description="Digest of its content.")


class CheckStatus(StatusModel):
    """How one check came out."""

    name: str = Field(max_length=63, description="Name of the check.")
    passed: bool | None = Field(None, description="Whether it passed.")
    action: Literal["Block", "Warn"] | None = Field(None, description="What follows when it did not.")
    value: Number | None = Field(None, description="What was measured.")
    message: str | None = Field(None, max_length=4096, description="What was found.")


class Reference(StatusModel):
    """Statistics of the training split, to tell drift by."""

    uri: str | None = Field(None, max_length=2048, description="Where they are.")


class Status(Standing):
    """What is known of the data."""

    phase: Literal["Pending", "Preparing", "Ready", "Blocked", "Failed", "Suspended", "Deleting"] | None = Field(
        None, description="Where the dataset is, in one word for people."
    )
    digest: Digest | None = Field(None, description="Digest of the whole data set.")
    uri: str | None = Field(None, max_length=2048, description="Where the data is.")
    revision: str | None = Field(None, max_length=253, description="Revision of the source that was read.")
    sync_round: Count | None = Field(None, description="The syncRound that this data comes from.")
    samples: Count | None = Field(None, description="How many samples there are.")
    bytes: Count | None = Field(None, description="How many bytes they take.")
    splits: Annotated[list[SplitStatus], ListMap("name")] = Field([], max_length=8, description="The splits.")
    checks: Annotated[list[CheckStatus], ListMap("name")] = Field([], max_length=64, description="The checks.")
    reference: Reference | None = Field(None, description="Statistics to tell drift by.")
    progress: ProgressStatus | None = Field(None, description="How far preparing is.")
    usage: UsageStatus | None = Field(None, description="What was used so far.")


DEFINITION = Definition(
    kind=KIND,
    plural="gendatasets",
    short_names=("gds",),
    description="Data that was fetched, cleaned, checked and split, and is named by its digest from then on.",
    spec=Spec,
    status=Status,
    columns=(
        Column("Phase", ".status.phase", description="Where the dataset is"),
        Column("Samples", ".status.samples", "integer", "How many samples there are"),
        Column("Checks", '.status.conditions[?(@.type=="Validated")].reason', description="How the checks came out"),
        Column("Digest", ".status.digest", description="Digest of the whole data set", priority=1),
        AGE,
    ),
)
