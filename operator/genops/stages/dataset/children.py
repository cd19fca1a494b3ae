"""What a GenDataset owns: one Job for each syncRound, and the store's claim where it uses it."""

from typing import Any

from gencontract import layout
from gencontract import task as contract
from gencontract.task import PrepareTask, Run, TaskFile
from genops.core.model import Config, Manifest, Resource
from genops.core.podspec import TRAINER, Trying, Work, claims_of, job, pod_path
from genops.core.stores import shared_claim
from genops.stages.dataset import removal
from genops.stages.dataset.spec import Prepare, Spec
from genops.stages.dataset.status import ROLE, Facts, inputs

RETRIES = 3


def wanted(obj: Resource[Spec], facts: Facts, config: Config) -> tuple[Manifest, ...]:
    """Everything that should exist. A Job that has done its work stays for its logs until its time is over."""
    claim = shared_claim(obj.spec.storage, config, obj)
    needed = not facts.recorded and facts.source_ready
    if needed or (facts.job.exists and not facts.expired):
        return (*claim, prepare_job(obj, config, facts.capture_uri))
    return claim


def output(obj: Resource[Spec], config: Config) -> str:
    """Where the data of this syncRound goes."""
    return f"{removal.folder(obj, config)}/{obj.spec.sync_round}"


def prepare_job(obj: Resource[Spec], config: Config, capture_uri: str) -> Manifest:
    """Build the Job that fetches, cleans, checks and splits."""
    spec = obj.spec
    own = spec.prepare or Prepare()
    secret = spec.source.secret_ref
    goes_to = output(obj, config)
    comes_from = f"pvc://{spec.source.pvc.claim_name}" if spec.source.pvc else capture_uri
    work = Work(
        role=ROLE,
        task=TaskFile(run=_run(obj), task=_task(obj, config, capture_uri)),
        image=own.image or config.trainer_image,
        claims=claims_of(goes_to, comes_from),
        secrets=(secret.name,) if secret else (),
        resources=spec.resources,
        template=spec.template,
        command=tuple(own.command) if own.command else TRAINER,
    )
    trying = Trying(RETRIES, spec.active_deadline_seconds, spec.suspend)
    return job(obj, work, trying, config, inputs(obj))


def _run(obj: Resource[Spec]) -> Run:
    return Run(kind=obj.kind.kind, namespace=obj.namespace, name=obj.name, uid=obj.uid)


def _task(obj: Resource[Spec], config: Config, capture_uri: str) -> PrepareTask:
    spec = obj.spec
    own = spec.prepare or Prepare()
    return PrepareTask(
        source=_source(spec, capture_uri),
        format=spec.format,
        filters=[contract.Filter.model_validate(_plain(f)) for f in own.filters],
        dedup=contract.Dedup.model_validate(_plain(own.dedup)) if own.dedup else contract.Dedup(),
        pii=own.pii or "off",
        licenses=list(spec.licenses.allow) if spec.licenses else [],
        splits=contract.Splits.model_validate(_plain(spec.splits)),
        columns=[
            contract.Column.model_validate(_plain(c)) for c in (spec.data_schema.columns if spec.data_schema else [])
        ],
        checks=[contract.Check.model_validate(_plain(c)) for c in spec.checks],
        options=dict(own.options),
        output=pod_path(output(obj, config)),
    )


def _source(spec: Spec, capture_uri: str) -> contract.Source:
    said = spec.source
    secret = f"{layout.SECRET_DIR}/{said.secret_ref.name}" if said.secret_ref else None
    common = {"revision": said.revision, "license": said.license, "secret": secret}
    if said.builtin:
        return contract.Source(
            kind="builtin", name=said.builtin.name, samples=said.builtin.samples, seed=said.builtin.seed, **common
        )
    if said.http:
        sums = {d.url: d.sha256 for d in said.http.urls if d.sha256}
        return contract.Source(kind="http", urls=[d.url for d in said.http.urls], sha256=sums, **common)
    if said.s3:
        return contract.Source(kind="s3", uri=said.s3.uri, endpoint=said.s3.endpoint, **common)
    if said.git:
        return contract.Source(kind="git", uri=said.git.url, path=said.git.path, **common)
    if said.hugging_face:
        repository = said.hugging_face
        return contract.Source(kind="huggingFace", name=repository.repository, split=repository.split, **common)
    if said.oci:
        return contract.Source(kind="oci", uri=said.oci.image, **common)
    if said.pvc:
        path = f"pvc://{said.pvc.claim_name}/{said.pvc.path}"
        return contract.Source(kind="path", path=pod_path(path).rstrip("/"), **common)
    return contract.Source(kind="capture", uri=pod_path(capture_uri), **common)


def _plain(model: Any) -> dict[str, Any]:
    return dict(model.model_dump(mode="json", by_alias=True, exclude_none=True))
