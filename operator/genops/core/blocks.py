"""Parts that the specs and the statuses of several kinds share: references, places, pods, conditions."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genops.core.expr import absent, equals, every_key, exactly_one, matches, no_key, present, when
from genops.core.schema import (
    DNS_LABEL,
    QUALIFIED,
    Constraint,
    Count,
    Digest,
    Key,
    LabelValue,
    ListMap,
    MetaMap,
    Number,
    ObjectName,
    Quantity,
    Rules,
    Seconds,
    SpecModel,
    StatusModel,
    StoreUri,
    Time,
    Unique,
)

# --- references: always by name, always in the same namespace --------------------------------------------------------


class Ref(SpecModel):
    """Another object in the same namespace."""

    name: ObjectName = Field(description="Name of the object, in the same namespace.")


class KeyRef(SpecModel):
    """One key of a ConfigMap or Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the object, in the same namespace.")
    key: Key = Field(description="Key within the object.")


class Claim(SpecModel):
    """A folder on a PersistentVolumeClaim in the same namespace."""

    claim_name: ObjectName = Field(description="Name of the PersistentVolumeClaim, in the same namespace.")
    path: str = Field(
        "",
        max_length=512,
        pattern=r"^([^/\s.][^/\s]*(/[^/\s.][^/\s]*)*)?$",
        description="Folder within the claim, relative, without parts that start with a dot. Empty for its root.",
    )


class Store(SpecModel):
    """Where artifacts are kept."""

    uri: StoreUri | None = Field(None, description="Folder to write below: s3://, gs://, az:// or pvc://CLAIM/FOLDER.")
    pvc: Claim | None = Field(None, description="Claim to write below.")

    rules: ClassVar[Rules] = (Constraint(exactly_one("uri", "pvc"), "exactly one of uri, pvc must be set"),)

    def location(self) -> str:
        """Give the place as one URI, whichever way it was said."""
        if self.pvc is None:
            return self.uri or ""
        return f"pvc://{self.pvc.claim_name}/{self.pvc.path}".rstrip("/")


# --- pods ------------------------------------------------------------------------------------------------------------

ResourceMap = Annotated[dict[str, Quantity], Field(max_length=16)]


class Resources(SpecModel):
    """Compute resources of one pod, as Kubernetes has them."""

    requests: ResourceMap = Field(
        {}, description="What the scheduler sets aside, by resource: cpu, memory, nvidia.com/gpu."
    )
    limits: ResourceMap = Field(
        {}, description="What the pod may use at most, by resource: cpu, memory, nvidia.com/gpu."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            every_key("requests", QUALIFIED),
            "requests: each key must be a resource name, as cpu or nvidia.com/gpu",
            "requests",
        ),
        Constraint(
            every_key("limits", QUALIFIED),
            "limits: each key must be a resource name, as cpu or nvidia.com/gpu",
            "limits",
        ),
    )


class Toleration(SpecModel):
    """A taint that the pods tolerate."""

    key: Annotated[str, Field(max_length=316, pattern=QUALIFIED)] | None = Field(
        None, description="Taint key; left out with operator Exists, every taint is tolerated."
    )
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How the taint's value is compared.")
    value: LabelValue | None = Field(None, description="Taint value, with operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; left out, all effects."
    )
    toleration_seconds: Seconds | None = Field(
        None, description="How long a NoExecute taint is tolerated; left out, for ever."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            when(equals("operator", "Exists"), absent("value")),
            "value must be left out when operator is Exists",
            "value",
        ),
        Constraint(when(equals("operator", "Equal"), present("key")), "key is required when operator is Equal", "key"),
        Constraint(
            when(present("tolerationSeconds"), equals("effect", "NoExecute")),
            "tolerationSeconds needs effect NoExecute",
            "tolerationSeconds",
        ),
    )


class EmptyDir(SpecModel):
    """A folder that lives as long as the pod."""

    medium: Literal["Memory"] | None = Field(
        None, description="Memory for a folder in RAM; left out, on the node's disk."
    )
    size_limit: Quantity | None = Field(None, description="Most that the folder may hold, as 2Gi.")


class Volume(SpecModel):
    """A volume, and where the pods' main container finds it. Host paths are not offered."""

    name: Annotated[str, Field(min_length=1, max_length=50, pattern=DNS_LABEL)] = Field(
        description="Name of the volume, a DNS label."
    )
    mount_path: str = Field(
        min_length=2,
        max_length=512,
        pattern=r"^(/[^/\s:.][^/\s:]*)+$",
        description="Absolute path in the container; /genops belongs to the operator.",
    )
    read_only: bool = Field(False, description="Mount it without the right to write.")
    config_map: Ref | None = Field(None, description="Keys of a ConfigMap as files.")
    secret: Ref | None = Field(None, description="Keys of a Secret as files.")
    pvc: Ref | None = Field(None, description="A PersistentVolumeClaim.")
    empty_dir: EmptyDir | None = Field(None, description="A folder that lives as long as the pod.")

    rules: ClassVar[Rules] = (
        Constraint(
            exactly_one("configMap", "secret", "pvc", "emptyDir"),
            "exactly one of configMap, secret, pvc, emptyDir must be set",
        ),
        Constraint(
            ~matches("mountPath", "^(/(genops|dev|proc|sys)(/|$)|/tmp$)"),
            "mountPath must not be /tmp or below /genops, /dev, /proc or /sys: the operator needs them",
            "mountPath",
        ),
    )


class EnvVar(SpecModel):
    """One environment variable: a value, or where it comes from."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the variable; names that start with GENOPS_ belong to the operator.",
    )
    value: str | None = Field(
        None, max_length=4096, description="The value itself. Never a secret: anyone who may read the object reads it."
    )
    secret_key_ref: KeyRef | None = Field(None, description="Take the value from a Secret.")
    config_map_key_ref: KeyRef | None = Field(None, description="Take the value from a ConfigMap.")

    rules: ClassVar[Rules] = (
        Constraint(
            exactly_one("value", "secretKeyRef", "configMapKeyRef"),
            "exactly one of value, secretKeyRef, configMapKeyRef must be set",
        ),
        Constraint(
            ~matches("name", "^GENOPS_"), "name must not start with GENOPS_, which belongs to the operator", "name"
        ),
    )


class PodTemplate(SpecModel):
    """What the pods carry beyond what the operator decides."""

    labels: MetaMap = Field({}, description="More labels for the pods; those of genops.dev belong to the operator.")
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=64)] = Field(
        {}, description="More annotations for the pods."
    )
    node_selector: MetaMap = Field({}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field([], max_length=16, description="Taints that the pods tolerate.")
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass of the pods, as nvidia.")
    service_account_name: ObjectName | None = Field(
        None, description="ServiceAccount of the pods. No token is mounted unless it is named."
    )
    image_pull_secrets: Annotated[list[Ref], ListMap("name")] = Field(
        [], max_length=8, description="Secrets with registry credentials."
    )
    volumes: Annotated[list[Volume], ListMap("name")] = Field(
        [], max_length=16, description="Volumes, mounted into the main container."
    )
    env: Annotated[list[EnvVar], ListMap("name")] = Field(
        [], max_length=64, description="Environment variables of the main container."
    )

    rules: ClassVar[Rules] = (
        Constraint(
            no_key("labels", "^genops[.]dev/"),
            "labels of genops.dev belong to the operator",
            "labels",
        ),
    )


class ObjectMeta(SpecModel):
    """Labels and annotations of an object that is made from a template."""

    labels: MetaMap = Field({}, description="Labels of the object.")
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=64)] = Field(
        {}, description="Annotations of the object."
    )


class Retry(SpecModel):
    """When a failed attempt is made again. What would end the same way is never tried again."""

    limit: int = Field(
        3, ge=0, le=100, description="How many times at most; an attempt that was preempted is not counted."
    )
    after: Annotated[list[Literal["Preempted", "NodeLost", "Error"]], Unique()] = Field(
        ["Preempted", "NodeLost", "Error"], min_length=1, max_length=3, description="After which ends."
    )


# --- status ----------------------------------------------------------------------------------------------------------


class ConditionStatus(StatusModel):
    """One side of the object, as Kubernetes has conditions."""

    type: str = Field(min_length=1, max_length=316, description="Which side.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Count | None = Field(None, description="Generation of the object that this was said about.")
    last_transition_time: Time | None = Field(None, description="When the status last changed.")
    reason: str | None = Field(None, max_length=1024, description="Why, in one word of the reasons' table.")
    message: str | None = Field(None, max_length=32768, description="Why, for people: what, where and what to do.")


class LastFailure(StatusModel):
    """The last thing that went wrong; it stays after the object has recovered."""

    stage: str | None = Field(
        None, max_length=253, description="Where: fetch, prepare, train, evaluate, optimize, serve."
    )
    reason: str | None = Field(None, max_length=1024, description="Why, in one word of the reasons' table.")
    message: str | None = Field(None, max_length=32768, description="What, where, which input, and what to do.")
    pod: str | None = Field(None, max_length=253, description="Pod it happened in.")
    exit_code: int | None = Field(None, ge=-1, le=255, description="Exit code, of the exit codes' table.")
    retryable: bool | None = Field(None, description="Whether another try is worth it.")
    time: Time | None = Field(None, description="When.")


class MetricValue(StatusModel):
    """One measured number."""

    name: str = Field(max_length=253, description="Name of the metric.")
    value: Number | None = Field(None, description="Its value.")


class CheckpointStatus(StatusModel):
    """The newest checkpoint that a run can go on from."""

    uri: str | None = Field(None, max_length=2048, description="Where it is.")
    step: Count | None = Field(None, description="Steps finished when it was written.")
    digest: Digest | None = Field(None, description="Digest of its content.")


class ProgressStatus(StatusModel):
    """How far the work is."""

    stage: str | None = Field(None, max_length=253, description="What is done now, for people.")
    percent: int | None = Field(None, ge=0, le=100, description="Share of the work that is done.")
    step: Count | None = Field(None, description="Steps done.")
    total_steps: Count | None = Field(None, description="Steps in all.")
    samples_per_second: Number | None = Field(None, description="Speed.")
    eta_seconds: Count | None = Field(None, description="Seconds left at this speed.")
    metrics: Annotated[list[MetricValue], ListMap("name")] = Field(
        [], max_length=64, description="Newest metrics, as loss."
    )
    updated_at: Time | None = Field(None, description="When the pod last said so.")


class ArtifactStatus(StatusModel):
    """An artifact, named by its content."""

    uri: str | None = Field(None, max_length=2048, description="Where it is.")
    digest: Digest | None = Field(None, description="Digest of its manifest, which names every file's digest.")


class UsageStatus(StatusModel):
    """What was used so far."""

    cpu_seconds: Number | None = Field(None, description="Processor seconds.")
    gpu_seconds: Number | None = Field(None, description="GPU seconds.")
    peak_memory_bytes: Count | None = Field(None, description="Most memory that one pod used.")


class Standing(StatusModel):
    """What the status of every kind says."""

    observed_generation: Count | None = Field(None, description="Generation of the object that this status is about.")
    phase: str | None = Field(None, max_length=64, description="Where the object is, in one word for people.")
    conditions: Annotated[list[ConditionStatus], ListMap("type")] = Field(
        [], max_length=32, description="All sides of the object; what programs should read."
    )
    last_failure: LastFailure | None = Field(None, description="The last thing that went wrong.")
