"""What a GenModel owns: the objects of its runs, each named by its number, and one deployment.

Each object is made when the one before it has succeeded, so that nothing waits for what may never come. The objects of
a run are never changed; the deployment moves to a run's model once that run passed and, where asked, was approved.
"""

from typing import Any

from gencontract import layout
from genops.core.kinds import Kind
from genops.core.model import Manifest, Resource
from genops.core.names import child_labels, owner_reference
from genops.stages.model.chain import Chain, Link
from genops.stages.model.spec import Spec
from genops.stages.model.status import Facts

MOST_SEEDS = 2**31  # that spec.seed takes


def wanted(obj: Resource[Spec], facts: Facts) -> tuple[Manifest, ...]:
    """Everything that should exist: kept runs as they are, the current one a link further, the deployment."""
    made: list[Manifest] = []
    for chain in facts.kept:
        made += [_kept(link) for link in chain.links if link.manifest and _is_owned(obj, link)]
    if facts.growing:
        made += _next(obj, facts, facts.chain)
    if obj.spec.deployment and (facts.served or facts.deployment.manifest):
        made.append(_deployment(obj, facts))
    return tuple(made)


def _kept(link: Link) -> Manifest:
    """An object that exists and stays as it is."""
    assert link.manifest is not None
    return {**link.manifest, "apiVersion": link.kind.api_version, "kind": link.kind.kind}


def _is_owned(obj: Resource[Spec], link: Link) -> bool:
    owners = (link.manifest or {}).get("metadata", {}).get("ownerReferences", ())
    return any(o.get("uid") == obj.uid for o in owners)


def _next(obj: Resource[Spec], facts: Facts, chain: Chain) -> list[Manifest]:
    """The first link that is missing, once all before it are done."""
    builders = ((chain.dataset, dataset), (chain.training, training), (chain.evaluation, evaluation))
    for link, build in builders:
        if link.state == "absent":
            return [build(obj, facts, chain)] if link.name != _referred(obj, link) else []
        if link.state != "done":
            return []
    return []


def _referred(obj: Resource[Spec], link: Link) -> str:
    """The name of a dataset that is somebody else's, and is waited for rather than made."""
    ref = obj.spec.dataset.ref
    return ref.name if ref and link.kind.kind == "GenDataset" else ""


def dataset(obj: Resource[Spec], facts: Facts, chain: Chain) -> Manifest:
    """Build the run's GenDataset."""
    template = obj.spec.dataset.template
    assert template is not None
    spec = _plain(template.spec)
    if obj.spec.intent.licenses and "licenses" not in spec:
        spec["licenses"] = _plain(obj.spec.intent.licenses)
    return _object(obj, chain.dataset, chain.number, spec, template.metadata)


def training(obj: Resource[Spec], facts: Facts, chain: Chain) -> Manifest:
    """Build the run's GenTrainingJob. A later run of the same inputs is another model, by its seed."""
    template = obj.spec.training.template
    seed = (template.spec.seed + chain.number - 1) % MOST_SEEDS
    spec = {**_plain(template.spec), "seed": seed, "datasetRef": {"name": chain.dataset.name}}
    return _object(obj, chain.training, chain.number, spec, template.metadata)


def evaluation(obj: Resource[Spec], facts: Facts, chain: Chain) -> Manifest:
    """Build the run's GenEvaluation: the idea's acceptance test, against what is served now."""
    template = obj.spec.evaluation.template
    said = _plain(template.spec)
    goals = [{**_plain(goal), "name": goal.metric} for goal in obj.spec.success]
    for goal in goals:
        goal.pop("metric")
    judged_by = obj.spec.evaluation.dataset_ref
    spec: dict[str, Any] = {
        **said,
        "subject": {"trainingJobRef": {"name": chain.training.name}},
        "datasetRef": {"name": judged_by.name if judged_by else chain.dataset.name},
        "metrics": [*goals, *said.get("metrics", ())],
        "decision": {"requires": list(obj.spec.promotion.requires)},
    }
    if facts.deployment.status.get("stable"):
        spec["baseline"] = {"deploymentRef": {"name": facts.deployment.name}}
    else:  # the first run has nothing to be compared with: what asks for no regression is measured only
        spec["metrics"] = [{k: v for k, v in m.items() if k != "maxRegression"} for m in spec["metrics"]]
    return _object(obj, chain.evaluation, chain.number, spec, template.metadata)


def _deployment(obj: Resource[Spec], facts: Facts) -> Manifest:
    """Build the GenDeployment: on the promoted run's model, or as it stands while no other was promoted."""
    assert obj.spec.deployment is not None
    template = obj.spec.deployment.template
    if facts.served:
        chosen = {
            "model": {"trainingJobRef": {"name": facts.served.training.name}},
            "requires": {"evaluationRef": {"name": facts.served.evaluation.name}},
        }
    else:
        spec = (facts.deployment.manifest or {}).get("spec", {})
        chosen = {k: spec[k] for k in ("model", "requires") if k in spec}
    return _object(obj, facts.deployment, 0, {**_plain(template.spec), **chosen}, template.metadata)


def _object(obj: Resource[Spec], link: Link, number: int, spec: dict[str, Any], said: Any) -> Manifest:
    kind: Kind = link.kind
    labels = {**(said.labels if said else {}), **child_labels(obj.kind, obj.metadata, kind.kind.lower())}
    if number:
        labels[layout.LABEL_RUN] = str(number)
    metadata: dict[str, Any] = {
        "name": link.name,
        "namespace": obj.namespace,
        "labels": labels,
        "ownerReferences": [owner_reference(obj.kind, obj.metadata)],
    }
    if said and said.annotations:
        metadata["annotations"] = dict(said.annotations)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def _plain(model: Any) -> dict[str, Any]:
    return dict(model.model_dump(mode="json", by_alias=True, exclude_none=True))
