"""What stands between a GenDeployment and serving its model: is it there, may it be served, can it be done.

The gate lets a version in, not on: a version that runs has passed it, and a verdict that goes takes nothing away.
"""

from dataclasses import dataclass

from gencontract.codes import Code, meaning
from genops.core.kinds import GEN_DATASET, GEN_EVALUATION, GEN_TRAINING_JOB, HTTP_ROUTE
from genops.core.model import Key, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.core.reporting import Handover, data_of, weights_of
from genops.stages.deployment import scaling
from genops.stages.deployment.servers import Server
from genops.stages.deployment.spec import Requires, Spec

MISMATCH = meaning(Code.DIGEST_MISMATCH).reason


@dataclass(frozen=True)
class Problem:
    """Why the model that the spec names is not served. `waits` says that it comes right by itself."""

    reason: str
    message: str
    waits: bool = False


@dataclass(frozen=True)
class Inputs:
    """What the spec names, as the world has it now."""

    model: Handover
    data: Handover | None  # to calibrate and to check by


def read_inputs(obj: Resource[Spec], seen: Seen) -> Inputs:
    """Find the weights and the data."""
    return Inputs(_model(obj, seen), _data(obj, seen))


def admit(obj: Resource[Spec], seen: Seen, inputs: Inputs, servers: dict[str, Server]) -> tuple[str, Problem | None]:
    """Say by which evaluation the model is let in, and what stands in the way, if anything does."""
    evaluation, gate = _gate(obj, seen, inputs.model, servers)
    return evaluation, _impossible(obj.spec, seen) or _unready(obj, inputs) or gate


def _model(obj: Resource[Spec], seen: Seen) -> Handover:
    model = obj.spec.model
    if model.training_job_ref:
        return weights_of(Key(GEN_TRAINING_JOB, obj.namespace, model.training_job_ref.name), seen)
    return Handover(model.uri or "", model.uri or "", model.digest or "")


def _data(obj: Resource[Spec], seen: Seen) -> Handover | None:
    """The data to calibrate and to check by: named by the spec, or what the model was trained on, as it was then."""
    optimize, ref = obj.spec.optimize, obj.spec.model.training_job_ref
    if optimize and optimize.dataset_ref:
        return data_of(Key(GEN_DATASET, obj.namespace, optimize.dataset_ref.name), seen)
    run = seen.references.get(Key(GEN_TRAINING_JOB, obj.namespace, ref.name), {}) if ref else {}
    digest = ((run.get("status") or {}).get("inputs") or {}).get("datasetDigest", "")
    spec = run.get("spec", {})
    if spec.get("datasetUri"):
        return Handover(spec["datasetUri"], spec["datasetUri"], digest)
    name = spec.get("datasetRef", {}).get("name", "")
    found = data_of(Key(GEN_DATASET, obj.namespace, name), seen) if name else None
    return found if found and not found.why_not and digest in ("", found.digest) else None


def _impossible(spec: Spec, seen: Seen) -> Problem | None:
    """What the spec asks for and this cluster has no part for: refused, never ignored."""
    return _unroutable(spec, seen) or _unscalable(spec, seen)


def _unroutable(spec: Spec, seen: Seen) -> Problem | None:
    if spec.rollout.gateway_ref is None or HTTP_ROUTE in seen.present:
        return None
    text = "rollout.gatewayRef needs the Gateway API, whose HTTPRoute this cluster does not serve; install it"
    return Problem(Reason.GATEWAY_MISSING, f"{text}, or leave gatewayRef out to split by the number of servers")


def _unscalable(spec: Spec, seen: Seen) -> Problem | None:
    lacks = scaling.lacking(spec, seen)
    return Problem(*lacks) if lacks else None


def _unready(obj: Resource[Spec], inputs: Inputs) -> Problem | None:
    """Model or data that are not there, or are not the ones that were named."""
    said, model, data = obj.spec.model.digest, inputs.model, inputs.data
    if model.why_not:
        return Problem(Reason.WAITING_FOR_REFERENCE, model.why_not, waits=True)
    if said and model.digest != said:
        text = f"{model.what} has output {model.digest}, spec.model.digest is {said}; mend either"
        return Problem(MISMATCH, text)
    if data and data.why_not:
        return Problem(Reason.WAITING_FOR_REFERENCE, data.why_not, waits=True)
    if data is None and obj.spec.optimize and obj.spec.optimize.precision == "int8":
        text = "optimize.precision int8 is calibrated on data, and those the model was trained on are not here any more"
        return Problem(Reason.WAITING_FOR_REFERENCE, f"{text}; set optimize.datasetRef", waits=True)
    return None


def _gate(obj: Resource[Spec], seen: Seen, model: Handover, servers: dict[str, Server]) -> tuple[str, Problem | None]:
    """Find the verdict that lets the model in: its evaluation's name, or why there is none."""
    requires = obj.spec.requires
    if requires is None:
        return "", None
    let_in = next((s.version.evaluation for s in servers.values() if _let_in(s, requires, model)), "")
    if let_in:
        return let_in, None
    if not model.digest:
        text = "A verdict is about a digest: set spec.model.digest to that of the weights that were evaluated"
        return "", Problem(Reason.VERDICT_OF_ANOTHER_MODEL, text)
    found = _evaluation(obj, seen, requires, model)
    what = f"GenEvaluation/{requires.evaluation_ref.name}" if requires.evaluation_ref else "a GenEvaluation"
    if found is None:
        labels = "" if requires.evaluation_ref else f" of {model.digest} with the labels of spec.requires.selector"
        return "", Problem(Reason.VERDICT_MISSING, f"Waits for {what}{labels}; create it", waits=True)
    return found["metadata"]["name"], _verdict_problem(found, model)


def _let_in(server: Server, requires: Requires, model: Handover) -> bool:
    """A version that runs has passed the gate, and need not pass the same one again."""
    ref, version = requires.evaluation_ref, server.version
    same = bool(version.evaluation) if ref is None else version.evaluation == ref.name
    return same and bool(model.digest) and version.model == model.digest


def _evaluation(obj: Resource[Spec], seen: Seen, requires: Requires, model: Handover) -> Manifest | None:
    if requires.evaluation_ref:
        return seen.references.get(Key(GEN_EVALUATION, obj.namespace, requires.evaluation_ref.name))
    labels = requires.selector.match_labels.items() if requires.selector else {}.items()
    fits = [
        e
        for e in seen.referred(GEN_EVALUATION)
        if labels <= (e["metadata"].get("labels") or {}).items() and _judged(e) == model.digest
    ]
    return max(
        fits, key=lambda e: (str(e["metadata"].get("creationTimestamp", "")), e["metadata"]["name"]), default=None
    )


def _judged(evaluation: Manifest) -> str:
    return str(((evaluation.get("status") or {}).get("inputs") or {}).get("subjectDigest", ""))


def _verdict_problem(evaluation: Manifest, model: Handover) -> Problem | None:
    what, status = f"GenEvaluation/{evaluation['metadata']['name']}", evaluation.get("status") or {}
    complete = condition_of(status, "Complete")
    detail = f"{complete.get('reason', '')}: {complete.get('message', '')}".strip(": ")
    if complete.get("status") != "True":
        return Problem(Reason.VERDICT_MISSING, f"Waits for {what}. {detail}".rstrip(". "), waits=True)
    if _judged(evaluation) != model.digest:
        text = f"{what} judged {_judged(evaluation) or 'weights without a digest'}, to be served is {model.digest}"
        return Problem(Reason.VERDICT_OF_ANOTHER_MODEL, f"{text}; evaluate that one")
    if status.get("verdict") != "Passed":
        text = f"{what} says {status.get('verdict')}: {detail}; serve a model that passes, or name its evaluation"
        return Problem(Reason.VERDICT_NOT_PASSED, text)
    return None


def condition_of(status: Manifest, kind: str) -> Manifest:
    """One condition of a status, or nothing."""
    return next((c for c in status.get("conditions", ()) if c.get("type") == kind), {})
