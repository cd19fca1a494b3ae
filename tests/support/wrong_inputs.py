"""Inputs that must be refused, each with the field that the message must name.

One table for both sides: tests/specs runs it against pydantic, e2e/test_admission_refusals.py against a real API
server. A row is a sample with fields set or dropped; with `change`, the sample exists and the row is its update.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
DIGEST = "sha256:" + "0" * 64
MISSING = object()


@dataclass(frozen=True)
class Row:
    """A wrong input."""

    says: str
    sample: str
    names: str  # what the message must contain
    set: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    change: bool = False
    server_only: bool = False  # about metadata, or about how the server reads YAML

    def __str__(self) -> str:
        return re.sub(r"\W+", "-", f"{self.sample}-{self.says}".lower()).strip("-")

    def document(self) -> dict[str, Any]:
        """Make the wrong input."""
        doc = copy.deepcopy(load(self.sample))
        for path, value in self.set.items():
            put(doc, path, value)
        for path in self.drop:
            put(doc, path, MISSING)
        return doc


def load(sample: str) -> dict[str, Any]:
    """Read a sample by folder and name."""
    document: dict[str, Any] = yaml.safe_load((SAMPLES / f"{sample}.yaml").read_text(encoding="utf-8"))
    return document


def put(doc: Any, path: str, value: Any) -> None:
    """Set a field by its path, as spec.checks[0].kind; MISSING removes it."""
    *way, last = [int(p) if p.isdigit() else p for p in re.findall(r"[^.\[\]]+", path)]
    for part in way:
        doc = doc.setdefault(part, {}) if isinstance(part, str) else doc[part]
    if value is MISSING:
        del doc[last]
    else:
        doc[last] = value


def row(says: str, sample: str, names: str, *drop: str, set: Mapping[str, Any] | None = None, **more: Any) -> Row:
    """Open a row by the fact it states."""
    return Row(says, sample, names, set or {}, drop, **more)


def changed(says: str, sample: str, names: str, *drop: str, set: Mapping[str, Any] | None = None) -> Row:
    """Open a row about an object that exists."""
    return Row(says, sample, names, set or {}, drop, change=True)


DATASETS = (
    row(
        "columns of music",
        "dataset/pvc",
        "schema must be left out",
        set={"spec.schema": {"columns": [{"name": "a", "type": "string"}]}},
    ),
    row("no spec", "dataset/minimal", "spec", "spec", server_only=True),
    row("no source", "dataset/minimal", "source", "spec.source"),
    row("a source of no kind", "dataset/minimal", "exactly one of builtin, http", "spec.source.builtin"),
    row(
        "a source of two kinds",
        "dataset/minimal",
        "exactly one of builtin, http",
        set={"spec.source.pvc": {"claimName": "x"}},
    ),
    row("a source that is null", "dataset/minimal", "source", set={"spec.source": None}),
    row("an unknown field", "dataset/minimal", "colour", set={"spec.colour": "red"}),
    row("an unknown field far down", "dataset/minimal", "seeds", set={"spec.source.builtin.seeds": 1}),
    row("a format that is none", "dataset/minimal", "format", set={"spec.format": "video"}),
    row("a format in another case", "dataset/minimal", "format", set={"spec.format": "Images"}),
    row("a format that is a number", "dataset/minimal", "format", set={"spec.format": 3}),
    row("a builtin without a name", "dataset/minimal", "name", set={"spec.source.builtin": {}}),
    row("a builtin with an empty name", "dataset/minimal", "name", set={"spec.source.builtin.name": ""}),
    row("a negative number of samples", "dataset/minimal", "samples", set={"spec.source.builtin.samples": -1}),
    row("a huge number of samples", "dataset/minimal", "samples", set={"spec.source.builtin.samples": 10**12}),
    row("samples as text", "dataset/minimal", "samples", set={"spec.source.builtin.samples": "100"}),
    row("samples as a fraction", "dataset/minimal", "samples", set={"spec.source.builtin.samples": 1.5}),
    row("a revision where there is none", "dataset/minimal", "revision", set={"spec.source.revision": "v1"}),
    row("a secret that nothing needs", "dataset/minimal", "secretRef", set={"spec.source.secretRef": {"name": "x"}}),
    row("a secret in another namespace", "dataset/s3", "namespace", set={"spec.source.secretRef.namespace": "other"}),
    row(
        "an address with a password",
        "dataset/http",
        "url",
        set={"spec.source.http.urls[0].url": "https://me:pw@example.org/x"},
    ),
    row("an address that is a file", "dataset/http", "url", set={"spec.source.http.urls[0].url": "file:///etc/passwd"}),
    row(
        "the same address twice",
        "dataset/http",
        "urls",
        set={"spec.source.http.urls[1].url": "https://example.org/faces-1.tar"},
    ),
    row("no addresses", "dataset/http", "urls", set={"spec.source.http.urls": []}),
    row("a checksum that is none", "dataset/http", "sha256", set={"spec.source.http.urls[0].sha256": "abc"}),
    row("a bucket by another protocol", "dataset/s3", "uri", set={"spec.source.s3.uri": "gs://corpora/logs"}),
    row("a claim's folder that climbs out", "dataset/pvc", "path", set={"spec.source.pvc.path": "../etc"}),
    row("a claim's folder that climbs out midway", "dataset/pvc", "path", set={"spec.source.pvc.path": "a/../../etc"}),
    row("a claim's folder from the root", "dataset/pvc", "path", set={"spec.source.pvc.path": "/etc"}),
    row("a near threshold of 0", "dataset/full", "threshold", set={"spec.prepare.dedup.near.threshold": 0}),
    row("a near threshold above 1", "dataset/full", "threshold", set={"spec.prepare.dedup.near.threshold": 1.01}),
    row(
        "a filter's ends exchanged",
        "dataset/full",
        "min must be at most max",
        set={"spec.prepare.filters[0].min": 90000},
    ),
    row("personal data in images", "dataset/minimal", "prepare.pii", set={"spec.prepare": {"pii": "redact"}}),
    row(
        "a check for personal data in music",
        "dataset/pvc",
        "checks",
        set={"spec.checks": [{"name": "p", "kind": "pii"}]},
    ),
    row("your own container without its command", "dataset/own-container", "image and command", "spec.prepare.command"),
    row("your own command without its container", "dataset/own-container", "image and command", "spec.prepare.image"),
    row(
        "your own container with a built-in step",
        "dataset/own-container",
        "built-in",
        set={"spec.prepare.dedup": {"exact": True}},
    ),
    row("an image with a blank", "dataset/own-container", "image", set={"spec.prepare.image": "my image"}),
    row("splits below 1", "dataset/minimal", "must add up to 1", set={"spec.splits": {"train": 0.5}}),
    row("splits above 1", "dataset/minimal", "must add up to 1", set={"spec.splits": {"train": 0.9}}),
    row(
        "a negative split",
        "dataset/minimal",
        "validation",
        set={"spec.splits": {"train": 0.9, "validation": -0.1, "test": 0.2}},
    ),
    row(
        "nothing to train on",
        "dataset/minimal",
        "train must be above 0",
        set={"spec.splits": {"train": 0, "validation": 0, "test": 1}},
    ),
    row("a check of no kind", "dataset/full", "kind", "spec.checks[0].kind"),
    row("a check of an unknown kind", "dataset/full", "kind", set={"spec.checks[0].kind": "beauty"}),
    row("two checks of one name", "dataset/full", "checks", set={"spec.checks[1].name": "enough"}),
    row("rows without a threshold", "dataset/full", "threshold is required", "spec.checks[0].threshold"),
    row("a share above 1", "dataset/full", "share from 0 to 1", set={"spec.checks[2].threshold": 2}),
    row(
        "a schema check with a threshold",
        "dataset/full",
        "threshold must be left out",
        set={"spec.checks[1].threshold": 1},
    ),
    row("a schema check without a schema", "dataset/full", "schema is required", "spec.schema"),
    row("a schema without columns", "dataset/full", "columns", set={"spec.schema.columns": []}),
    row("a column of no type", "dataset/full", "type", "spec.schema.columns[0].type"),
    row("a store of two kinds", "dataset/full", "exactly one of uri, pvc", set={"spec.storage.uri": "s3://a/b"}),
    row("a store that cannot be written", "dataset/s3", "uri", set={"spec.storage.uri": "https://example.org/x"}),
    row("a licence that is none", "dataset/full", "allow", set={"spec.licenses.allow": ["all rights reserved!"]}),
    row("a sync round of 0", "dataset/minimal", "syncRound", set={"spec.syncRound": 0}),
    row("a deadline in words", "dataset/minimal", "activeDeadlineSeconds", set={"spec.activeDeadlineSeconds": "1h"}),
    row("suspend as text", "dataset/minimal", "suspend", set={"spec.suspend": "true"}),
    row(
        "a name that no Service can have",
        "dataset/minimal",
        "metadata.name",
        set={"metadata.name": "7.digits"},
        server_only=True,
    ),
    row(
        "a name that is too long", "dataset/minimal", "metadata.name", set={"metadata.name": "d" * 64}, server_only=True
    ),
    changed("another source", "dataset/minimal", "source is immutable", set={"spec.source.builtin.name": "sprites"}),
    changed("other splits", "dataset/full", "splits is immutable", set={"spec.splits.seed": 8}),
    changed(
        "a check that is added",
        "dataset/minimal",
        "checks is immutable",
        set={"spec.checks": [{"name": "x", "kind": "license"}]},
    ),
    changed("a check that is taken away", "dataset/full", "checks is immutable", "spec.checks"),
    changed(
        "another dial of the same number",
        "dataset/git",
        "prepare is immutable",
        "spec.prepare.options.tokenizer",
        set={"spec.prepare.options.words": "bytes"},
    ),
    changed("a sync round that falls", "dataset/capture", "syncRound may only be raised", set={"spec.syncRound": 2}),
)

PODS = (
    row("a limit on what is none", "training/full", "limits", set={"spec.resources.limits": {"a b": "1"}}),
    row(
        "a toleration of nothing",
        "training/full",
        "key is required",
        set={"spec.template.tolerations": [{"operator": "Equal"}]},
    ),
    row(
        "a toleration that ends without its effect",
        "training/full",
        "tolerationSeconds",
        set={"spec.template.tolerations[0].tolerationSeconds": 5},
    ),
    row("a negative number of cores", "training/full", "cpu", set={"spec.resources.requests": {"cpu": -1}}),
    row("a dial beyond all numbers", "training/full", "steps", set={"spec.hyperparameters.steps": 2**60}),
    row("a quantity that is none", "training/full", "memory", set={"spec.resources.requests": {"memory": "much"}}),
    row("a negative quantity", "training/full", "cpu", set={"spec.resources.requests": {"cpu": "-1"}}),
    row(
        "a quantity with a fraction as a number", "training/full", "cpu", set={"spec.resources.requests": {"cpu": 0.5}}
    ),
    row("a resource that is none", "training/full", "requests", set={"spec.resources.requests": {"a b": "1"}}),
    row("a host path", "training/full", "hostPath", set={"spec.template.volumes[0].hostPath": {"path": "/"}}),
    row(
        "a volume of two kinds",
        "training/full",
        "exactly one of configMap",
        set={"spec.template.volumes[0].emptyDir": {}},
    ),
    row(
        "a volume over the operator's folder",
        "training/full",
        "mountPath",
        set={"spec.template.volumes[0].mountPath": "/genops/task"},
    ),
    row(
        "a volume over the processes", "training/full", "mountPath", set={"spec.template.volumes[0].mountPath": "/proc"}
    ),
    row("two volumes of one name", "training/full", "volumes", set={"spec.template.volumes[1].name": "caches"}),
    row("a variable of the operator", "training/full", "GENOPS_", set={"spec.template.env[0].name": "GENOPS_TASK"}),
    row("a variable of two origins", "training/full", "exactly one of value", set={"spec.template.env[1].value": "x"}),
    row("a variable of no origin", "training/full", "exactly one of value", "spec.template.env[0].value"),
    row("a variable as a number", "training/full", "value", set={"spec.template.env[0].value": 8}),
    row("a label of the operator", "training/full", "labels", set={"spec.template.labels": {"genops.dev/role": "x"}}),
    row("a label that is none", "training/full", "labels", set={"spec.template.labels": {"team": "a b"}}),
    row(
        "a toleration that contradicts itself",
        "training/full",
        "value",
        set={"spec.template.tolerations[0].value": "x"},
    ),
    row(
        "a privileged pod",
        "training/full",
        "securityContext",
        set={"spec.template.securityContext": {"privileged": True}},
    ),
    row(
        "too many tolerations",
        "training/full",
        "tolerations",
        set={"spec.template.tolerations": [{"operator": "Exists"}] * 17},
    ),
)

TRAININGS = (
    row("steps without a range", "training/search", "step needs min", set={"spec.search.parameters[2].step": 1}),
    row(
        "whole numbers without a range",
        "training/search",
        "integer needs min",
        set={"spec.search.parameters[2].integer": True},
    ),
    row("no data", "training/minimal", "exactly one of datasetRef, datasetUri", "spec.datasetRef"),
    row(
        "data of two kinds",
        "training/minimal",
        "exactly one of datasetRef, datasetUri",
        set={"spec.datasetUri": "s3://a/b"},
    ),
    row("data in another namespace", "training/minimal", "namespace", set={"spec.datasetRef.namespace": "other"}),
    row("data with a name that is none", "training/minimal", "name", set={"spec.datasetRef.name": "My Data"}),
    row("data as plain text", "training/minimal", "datasetRef", set={"spec.datasetRef": "digits"}),
    row("data in a local file", "training/custom", "datasetUri", set={"spec.datasetUri": "file:///data"}),
    row("no family", "training/minimal", "family", "spec.family"),
    row("an unknown family", "training/minimal", "family", set={"spec.family": "rnn"}),
    row("an unknown size", "training/minimal", "size", set={"spec.size": "xxl"}),
    row("custom without an image", "training/custom", "image and command", "spec.image"),
    row("custom without a command", "training/custom", "image and command", "spec.command"),
    row("a command that is not custom", "training/minimal", "command is allowed only", set={"spec.command": ["x"]}),
    row("an empty command", "training/custom", "command", set={"spec.command": []}),
    row(
        "a base of two kinds",
        "training/finetune",
        "exactly one of trainingJobRef, uri",
        set={"spec.baseModel.uri": "s3://a/b"},
    ),
    row("a digest that is none", "training/finetune", "digest", set={"spec.baseModel.digest": "md5:1"}),
    row("a hyperparameter as a fraction", "training/minimal", "lr", set={"spec.hyperparameters": {"lr": 0.5}}),
    row("a hyperparameter as a list", "training/minimal", "betas", set={"spec.hyperparameters": {"betas": ["a"]}}),
    row(
        "too many hyperparameters",
        "training/minimal",
        "hyperparameters",
        set={"spec.hyperparameters": {f"h{i}": i for i in range(65)}},
    ),
    row("no nodes", "training/minimal", "nodes", set={"spec.nodes": 0}),
    row("too many nodes", "training/minimal", "nodes", set={"spec.nodes": 100000}),
    row("a negative seed", "training/minimal", "seed", set={"spec.seed": -1}),
    row(
        "a checkpoint each 0 seconds", "training/minimal", "everySeconds", set={"spec.checkpoint": {"everySeconds": 0}}
    ),
    row("a single checkpoint", "training/minimal", "keep", set={"spec.checkpoint": {"keep": 1}}),
    row("a retry after nothing", "training/minimal", "after", set={"spec.retry": {"after": []}}),
    row("a retry after something unknown", "training/minimal", "after", set={"spec.retry": {"after": ["Always"]}}),
    row("a retry after the same twice", "training/minimal", "after", set={"spec.retry": {"after": ["Error", "Error"]}}),
    row("endless retries", "training/minimal", "limit", set={"spec.retry": {"limit": 1000}}),
    row("an unknown gang", "training/minimal", "gang", set={"spec.scheduling": {"gang": "Volcano"}}),
    row("an unknown resume", "training/minimal", "resume", set={"spec.resume": "Sometimes"}),
    row("a search without parameters", "training/search", "parameters", set={"spec.search.parameters": []}),
    row("a search without trials", "training/search", "trials", "spec.search.trials"),
    row(
        "more at a time than in all",
        "training/search",
        "parallel must be at most trials",
        set={"spec.search.parallel": 13},
    ),
    row("a range upside down", "training/search", "min must be below max", set={"spec.search.parameters[0].min": 1}),
    row("a range with one end", "training/search", "min and max", "spec.search.parameters[0].max"),
    row(
        "a range and values", "training/search", "exactly one of values", set={"spec.search.parameters[0].values": [1]}
    ),
    row(
        "a logarithm of nothing", "training/search", "log needs a min above 0", set={"spec.search.parameters[0].min": 0}
    ),
    row(
        "a grid over a range without steps", "training/search-grid", "values or step", "spec.search.parameters[1].step"
    ),
    row("a search over what is fixed", "training/search", "hyperparameters", set={"spec.hyperparameters.lr": "1e-3"}),
    row("a manager without a domain", "training/full", "managedBy", set={"spec.managedBy": "me"}),
    changed("another family", "training/minimal", "family is immutable", set={"spec.family": "gan"}),
    changed(
        "a hyperparameter that is added",
        "training/minimal",
        "hyperparameters is immutable",
        set={"spec.hyperparameters": {"lr": "1e-3"}},
    ),
    changed(
        "a hyperparameter by another name",
        "training/finetune",
        "hyperparameters is immutable",
        "spec.hyperparameters.lora",
        set={"spec.hyperparameters.rank": 8},
    ),
    changed(
        "a hyperparameter of another type",
        "training/finetune",
        "hyperparameters is immutable",
        set={"spec.hyperparameters.lora": "8"},
    ),
    changed("another data set", "training/minimal", "datasetRef is immutable", set={"spec.datasetRef.name": "other"}),
    changed("more nodes", "training/minimal", "nodes is immutable", set={"spec.nodes": 2}),
    changed("another image", "training/custom", "image is immutable", set={"spec.image": "x/y:4"}),
    changed("an output that is taken away", "training/full", "output is immutable", "spec.output"),
)

EVALUATIONS = (
    row("no subject", "evaluation/minimal", "subject", "spec.subject"),
    row(
        "a subject of no kind",
        "evaluation/minimal",
        "exactly one of trainingJobRef, deploymentRef, uri",
        "spec.subject.trainingJobRef",
    ),
    row(
        "a subject of two kinds",
        "evaluation/minimal",
        "exactly one of trainingJobRef, deploymentRef, uri",
        set={"spec.subject.uri": "s3://a/b"},
    ),
    row(
        "a digest without an address",
        "evaluation/minimal",
        "digest is allowed only with uri",
        set={"spec.subject.digest": DIGEST},
    ),
    row("no data", "evaluation/minimal", "exactly one of datasetRef, datasetUri", "spec.datasetRef"),
    row("an unknown split", "evaluation/minimal", "split", set={"spec.split": "dev"}),
    row("no seeds", "evaluation/minimal", "seeds", set={"spec.seeds": []}),
    row("a seed twice", "evaluation/minimal", "seeds", set={"spec.seeds": [1, 1]}),
    row("an alpha of 0", "evaluation/minimal", "alpha", set={"spec.alpha": 0}),
    row("an alpha of 1", "evaluation/minimal", "alpha", set={"spec.alpha": 1}),
    row("an unknown metric", "evaluation/minimal", "name must be one of fid", set={"spec.metrics[0].name": "beauty"}),
    row("a metric twice", "evaluation/against-served", "metrics", set={"spec.metrics[1].name": "fid"}),
    row("a threshold without op", "evaluation/minimal", "op and threshold", "spec.metrics[0].op"),
    row("an op without threshold", "evaluation/minimal", "op and threshold", "spec.metrics[0].threshold"),
    row("an unknown op", "evaluation/minimal", "op", set={"spec.metrics[0].op": "=="}),
    row("a threshold as text", "evaluation/minimal", "threshold", set={"spec.metrics[0].threshold": "8"}),
    row("a threshold that is infinite", "evaluation/minimal", "threshold", set={"spec.metrics[0].threshold": 1e300}),
    row(
        "a threshold and a regression",
        "evaluation/against-served",
        "threshold, maxRegression",
        set={"spec.metrics[1].maxRegression": 1},
    ),
    row("a regression against nothing", "evaluation/against-served", "baseline is required", "spec.baseline"),
    row("two primary metrics", "evaluation/against-served", "primary", set={"spec.metrics[1].primary": True}),
    row("a container for a built-in metric", "evaluation/own-metric", "custom", set={"spec.metrics[0].name": "fid"}),
    row("numbers required and none asked", "evaluation/minimal", "metrics", set={"spec.metrics": [{"name": "fid"}]}),
    row(
        "people required and not asked",
        "evaluation/minimal",
        "human is required",
        set={"spec.decision": {"requires": ["Human"]}},
    ),
    row(
        "people asked and not required",
        "evaluation/human-only",
        "human is allowed only",
        set={
            "spec.decision": {"requires": ["Quantitative"]},
            "spec.metrics": [{"name": "fid", "op": "<", "threshold": 1}],
        },
    ),
    row("an unknown gate", "evaluation/minimal", "requires", set={"spec.decision": {"requires": ["Luck"]}}),
    row("agreement of one", "evaluation/human-only", "raters must be at least 2", set={"spec.human.raters": 1}),
    row("all pairs to be won", "evaluation/human-only", "minWinRate", set={"spec.human.minWinRate": 1}),
    row("no pairs", "evaluation/human-only", "pairs", set={"spec.human.pairs": 0}),
    row("an agreement above 1", "evaluation/human-only", "minAgreement", set={"spec.human.minAgreement": 67}),
    row("an unknown end of waiting", "evaluation/human-only", "onTimeout", set={"spec.human.onTimeout": "Pass"}),
    changed("another threshold", "evaluation/minimal", "metrics is immutable", set={"spec.metrics[0].threshold": 80}),
    changed(
        "another subject", "evaluation/minimal", "subject is immutable", set={"spec.subject.trainingJobRef.name": "x"}
    ),
    changed(
        "a baseline that is added",
        "evaluation/minimal",
        "baseline is immutable",
        set={"spec.baseline": {"deploymentRef": {"name": "x"}}},
    ),
)

DEPLOYMENTS = (
    row("no model", "deployment/minimal", "model", "spec.model"),
    row(
        "a model of two kinds",
        "deployment/minimal",
        "exactly one of trainingJobRef, uri",
        set={"spec.model.uri": "s3://a/b"},
    ),
    row(
        "a verdict of two kinds",
        "deployment/canary",
        "exactly one of evaluationRef, selector",
        set={"spec.requires.evaluationRef": {"name": "x"}},
    ),
    row("a failed verdict", "deployment/canary", "verdict", set={"spec.requires.verdict": "Failed"}),
    row("a selector of everything", "deployment/canary", "matchLabels", set={"spec.requires.selector.matchLabels": {}}),
    row("no targets", "deployment/int8", "targets", set={"spec.optimize.targets": []}),
    row("an unknown target", "deployment/int8", "targets", set={"spec.optimize.targets": ["openvino"]}),
    row("a target twice", "deployment/int8", "targets", set={"spec.optimize.targets": ["onnx", "onnx"]}),
    row("an unknown precision", "deployment/int8", "precision", set={"spec.optimize.precision": "fp8"}),
    row("a calibration on nothing", "deployment/int8", "optimize.datasetRef is required", "spec.optimize.datasetRef"),
    row("a negative tolerance", "deployment/int8", "atol", set={"spec.optimize.tolerance.atol": -1}),
    row("a batch of 0", "deployment/full", "batchSizes", set={"spec.optimize.shapes.batchSizes": [0]}),
    row("another server", "deployment/full", "runtime", set={"spec.server.runtime": "vllm"}),
    row("more at least than at most", "deployment/autoscale", "min must be at most max", set={"spec.scale.min": 11}),
    row("a negative scale", "deployment/minimal", "min", set={"spec.scale": {"min": -1}}),
    row("autoscaling by nothing", "deployment/autoscale", "max, metric and target", "spec.scale.metric"),
    row("a target without a most", "deployment/autoscale", "max, metric and target", "spec.scale.max"),
    row("a query without text", "deployment/scale-to-zero", "query is required", "spec.scale.query"),
    row("a query that nothing asks", "deployment/autoscale", "query is required", set={"spec.scale.query": "up"}),
    row(
        "from zero by cpu",
        "deployment/scale-to-zero",
        "metric must be queueTime or query",
        "spec.scale.query",
        set={"spec.scale.metric": "cpu"},
    ),
    row(
        "to zero and never",
        "deployment/scale-to-zero",
        "idleToZeroAfterSeconds is required",
        "spec.scale.idleToZeroAfterSeconds",
    ),
    row(
        "to zero and at least one",
        "deployment/scale-to-zero",
        "idleToZeroAfterSeconds needs min 0",
        set={"spec.scale.min": 1},
    ),
    row(
        "to zero behind a gateway",
        "deployment/scale-to-zero",
        "rollout.gatewayRef must be left out",
        set={"spec.rollout": {"gatewayRef": {"name": "public"}}},
    ),
    row("an unknown strategy", "deployment/canary", "strategy", set={"spec.rollout.strategy": "Rolling"}),
    row(
        "steps without a canary",
        "deployment/recreate",
        "steps is allowed only",
        set={"spec.rollout.steps": [{"weight": 5}]},
    ),
    row("steps that fall", "deployment/canary", "weight must rise", set={"spec.rollout.steps[2].weight": 20}),
    row("steps that stand", "deployment/canary", "weight must rise", set={"spec.rollout.steps[2].weight": 25}),
    row(
        "numbers of requests that never come",
        "deployment/blue-green",
        "builtin is allowed only when strategy is Canary or Shadow",
        "spec.rollout.metrics[0].query",
        set={"spec.rollout.metrics[0].builtin": "errorRate"},
    ),
    row("a weight above 100", "deployment/canary", "weight", set={"spec.rollout.steps[2].weight": 101}),
    row(
        "a number of two origins",
        "deployment/canary",
        "exactly one of query, builtin",
        set={"spec.rollout.metrics[0].query": "up"},
    ),
    row("a number without a threshold", "deployment/canary", "threshold", "spec.rollout.metrics[0].threshold"),
    row("a shadow without a gateway", "deployment/shadow", "gatewayRef is required", "spec.rollout.gatewayRef"),
    row(
        "a mirror without a shadow",
        "deployment/canary",
        "mirrorPercent is allowed only",
        set={"spec.rollout.mirrorPercent": 5},
    ),
    row("a hold in a canary", "deployment/canary", "holdSeconds is allowed only", set={"spec.rollout.holdSeconds": 5}),
    row(
        "numbers with nothing to compare",
        "deployment/recreate",
        "metrics must be left out",
        set={"spec.rollout.metrics": [{"name": "e", "builtin": "errorRate", "op": "<", "threshold": 1}]},
    ),
    row(
        "a gateway in another namespace",
        "deployment/canary",
        "namespace",
        set={"spec.rollout.gatewayRef.namespace": "infra"},
    ),
    row("a capture of nothing", "deployment/full", "sampleRate", set={"spec.capture.sampleRate": 0}),
    row("a capture to nowhere", "deployment/full", "store", "spec.capture.store"),
    row("an embedding test without samples", "deployment/full", "capture is required", "spec.capture"),
    row(
        "a drift with two limits",
        "deployment/full",
        "exactly one of threshold, alpha",
        set={"spec.drift[0].threshold": 1},
    ),
    row("a drift without a limit", "deployment/full", "exactly one of threshold, alpha", "spec.drift[0].alpha"),
    row(
        "a p-value of psi",
        "deployment/full",
        "alpha is allowed only",
        "spec.drift[1].threshold",
        set={"spec.drift[1].alpha": 0.1},
    ),
    row("a feature without its name", "deployment/full", "feature is required", "spec.drift[1].feature"),
    row("a feature that nothing asks", "deployment/full", "feature is required", set={"spec.drift[3].feature": "x"}),
    row(
        "embeddings of one feature",
        "deployment/full",
        "test mmd",
        "spec.drift[1].threshold",
        set={"spec.drift[1].test": "mmd", "spec.drift[1].alpha": 0.1},
    ),
    row("a p-value too small to count", "deployment/full", "alpha must be", set={"spec.drift[0].alpha": 0.00001}),
    row(
        "a drift against nothing",
        "deployment/int8",
        "referenceRef is required",
        set={"spec.drift": [{"name": "x", "of": "input", "test": "psi", "threshold": 0.2}]},
    ),
    row("an unknown action", "deployment/full", "action", set={"spec.drift[0].action": "Panic"}),
)

MODELS = (
    row("copies of tables", "model/sensors", "success: metric bits", set={"spec.success[0].metric": "longestCopy"}),
    row(
        "captions of tables",
        "model/sensors",
        "evaluation: metric bits",
        set={"spec.evaluation.template": {"spec": {"metrics": [{"name": "clip"}]}}},
    ),
    row("pictures of text", "model/stories", "success: metric clip", set={"spec.success[1].metric": "clip"}),
    row(
        "neighbours of text",
        "model/stories",
        "evaluation: metric clip",
        set={"spec.evaluation": {"template": {"spec": {"metrics": [{"name": "nearestRatio"}]}}}},
    ),
    row(
        "copies of pictures",
        "model/digits",
        "evaluation: metric longestCopy",
        set={"spec.evaluation.template.spec.metrics[0].name": "longestCopy"},
    ),
    row(
        "bytes of music", "model/chorales", "success: metric bitsPerByte", set={"spec.success[1].metric": "bitsPerByte"}
    ),
    row("an image model of text", "model/stories", "family", set={"spec.training.template.spec.family": "flow"}),
    row(
        "a primary metric and a primary goal",
        "model/digits",
        "no metric may be primary",
        set={"spec.evaluation.template.spec.metrics[0].primary": True},
    ),
    row("no intent", "model/minimal", "intent", "spec.intent"),
    row("no use case", "model/minimal", "useCase", "spec.intent.useCase"),
    row("no acceptance test", "model/minimal", "success", "spec.success"),
    row("an empty acceptance test", "model/minimal", "success", set={"spec.success": []}),
    row("a goal of its own", "model/minimal", "metric", set={"spec.success[0].metric": "beauty"}),
    row("two primary goals", "model/digits", "primary", set={"spec.success[1].primary": True}),
    row("data of two kinds", "model/digits", "exactly one of ref, template", set={"spec.dataset.ref": {"name": "x"}}),
    row(
        "data of another kind than the idea",
        "model/digits",
        "intent.modality",
        set={"spec.dataset.template.spec.format": "text"},
    ),
    row("a text model of images", "model/digits", "family", set={"spec.training.template.spec.family": "gpt"}),
    row("an image model of music", "model/chorales", "family", set={"spec.training.template.spec.family": "vae"}),
    row("a text metric of images", "model/digits", "longestCopy", set={"spec.success[3].metric": "longestCopy"}),
    row(
        "an image metric of music",
        "model/chorales",
        "clip",
        set={"spec.evaluation.template.spec.metrics": [{"name": "clip"}]},
    ),
    row(
        "a goal that stands twice",
        "model/digits",
        "metrics must not name",
        set={"spec.evaluation.template.spec.metrics[0].name": "fid"},
    ),
    row(
        "data that the parent fills in",
        "model/digits",
        "datasetRef",
        set={"spec.training.template.spec.datasetRef": {"name": "x"}},
    ),
    row(
        "a rule of a child",
        "model/digits",
        "command is allowed only",
        set={"spec.training.template.spec.command": ["x"]},
    ),
    row(
        "people required and not asked",
        "model/minimal",
        "human is required",
        set={"spec.promotion": {"requires": ["Human"]}},
    ),
    row(
        "people asked and not required",
        "model/chorales",
        "human is allowed only",
        set={"spec.promotion.requires": ["Quantitative"]},
    ),
    row("a drift that nothing watches", "model/digits", "retrain.causes", set={"spec.retrain": {"causes": ["Drift"]}}),
    row(
        "new data of a source that does not grow",
        "model/full",
        "nothing else grows",
        "spec.dataset.template.spec.source.capture",
        set={"spec.dataset.template.spec.source.builtin": {"name": "digits"}},
    ),
    row(
        "a watch that asks nobody", "model/full", "retrain.causes", set={"spec.retrain.causes": ["Schedule", "NewData"]}
    ),
    row("a schedule without a time", "model/full", "schedule is required", "spec.retrain.schedule"),
    row(
        "a time without a schedule",
        "model/full",
        "schedule is required",
        set={"spec.retrain.causes": ["Drift", "NewData"]},
    ),
    row("a schedule that is none", "model/full", "schedule", set={"spec.retrain.schedule": "every day"}),
    row("new data of no number", "model/full", "minNewSamples is required", "spec.retrain.minNewSamples"),
    row("a limit without its window", "model/full", "windowSeconds", "spec.retrain.windowSeconds"),
    row("a budget of nothing", "model/full", "gpuHours or cpuHours", set={"spec.budget": {}}),
    row("a negative budget", "model/full", "gpuHours", set={"spec.budget.gpuHours": -1}),
    row("no history", "model/full", "historyLimit", set={"spec.historyLimit": 0}),
    row("a promotion to nowhere", "model/minimal", "promotion.mode", set={"spec.promotion": {"mode": "Manual"}}),
)

VERDICTS = (
    row("no choice", "verdict/minimal", "choice", "spec.choice"),
    row("an unknown choice", "verdict/minimal", "choice", set={"spec.choice": "Both"}),
    row("a negative pair", "verdict/minimal", "pair", set={"spec.pair": -1}),
    row("a grade of 6", "verdict/full", "fidelity", set={"spec.scores.fidelity": 6}),
    row("a comment without end", "verdict/full", "comment", set={"spec.comment": "x" * 2001}),
    row("a verdict of nobody", "verdict/full", "rater", "spec.rater"),
    changed("another's name", "verdict/full", "rater is immutable", set={"spec.rater": "ada"}),
    changed("another mind", "verdict/full", "choice is immutable", set={"spec.choice": "A"}),
    changed("a comment that is added", "verdict/minimal", "comment is immutable", set={"spec.comment": "Well."}),
)

ROWS: tuple[Row, ...] = (*DATASETS, *PODS, *TRAININGS, *EVALUATIONS, *DEPLOYMENTS, *MODELS, *VERDICTS)
# Changes that must be taken: (sample, what is set).
ALLOWED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dataset/minimal", {"spec.syncRound": 2}),
    ("dataset/minimal", {"spec.suspend": True}),
    ("dataset/s3", {"spec.deletionPolicy": "Keep"}),
    ("dataset/full", {"spec.ttlSecondsAfterFinished": 1}),
    ("training/queued", {"spec.suspend": False}),
    ("training/full", {"spec.ttlSecondsAfterFinished": 1}),
    ("evaluation/full", {"spec.ttlSecondsAfterFinished": 1}),
    ("deployment/full", {"spec.model.trainingJobRef.name": "other", "spec.scale.min": 3}),
    ("deployment/canary", {"spec.rollout": {"strategy": "Recreate"}}),
    ("model/full", {"spec.training.template.spec.size": "l"}),
    ("verdict/full", {"metadata.labels": {"seen": "yes"}}),
)
