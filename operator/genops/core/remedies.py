"""What a person does about a reason, beside its meaning: one line each, printed by `genops why` and in the reference.

A reason that comes right by itself, or that says all is well, has none. `{ref}` stands for the object, as kubectl
takes it.
"""

from collections.abc import Mapping

from gencontract.codes import Code, meaning
from genops.core.reasons import Reason

LOGS = "read what its pod said: kubectl genops logs {ref}"
NEW_OBJECT = "correct what the message names in a new object; one that has ended is not run again"

_OF_REASONS: Mapping[Reason, str] = {
    Reason.INVALID_SPEC: "correct the field that the message names: kubectl edit {ref}, or make a new object",
    Reason.SUSPENDED: """kubectl patch {ref} --type=merge -p '{{"spec": {{"suspend": false}}}}'""",
    Reason.WAITING_FOR_REFERENCE: "make what is missing, or name another object in a new one",
    Reason.POD_NOT_STARTED: "make the image, the volume or the room on a node that the message names; "
    "it goes on by itself then",
    Reason.NO_REPORT: "use an image whose program leaves a report as gencontract says, in a new object",
    Reason.CHILD_REFUSED: "mend the field or the quota that the message names, or give the operator the right",
    Reason.DEADLINE_EXCEEDED: "make a new object with a longer activeDeadlineSeconds, or with less work",
    Reason.NO_PROMETHEUS: "tell the operator of Prometheus: GENOPS_PROMETHEUS, or the chart's prometheus.address",
    Reason.PROMETHEUS_UNREACHABLE: "look at the Prometheus that GENOPS_PROMETHEUS names",
    Reason.QUERY_REFUSED: "correct the query that the message quotes",
    Reason.NO_METRICS: "let Prometheus scrape the servers (docs/howto/monitoring.md), or send requests",
    Reason.AMBIGUOUS: "aggregate the query to one series",
    Reason.REFERENCE_FAILED: "mend what it refers to; it goes on by itself then",
    Reason.INPUT_CHANGED: "make a new object for the inputs as they are now",
    Reason.JOB_SET_MISSING: "install JobSet and restart the operator, or leave scheduling.gang out in a new object",
    Reason.QUEUED: "look at what holds the queue: kubectl get workloads",
    Reason.NO_METRIC: "name a metric in search.metric that the trainer reports, in a new object",
    Reason.NO_TRIAL: "look at the trials' failures in status.search.trials; " + LOGS,
    Reason.VERDICT_FAILED: "train a better model, or ask for less in a new GenEvaluation; "
    "see the samples: kubectl genops samples {ref}",
    Reason.VERDICT_INCONCLUSIVE: "measure with more samples or seeds, or ask more people, in a new GenEvaluation",
    Reason.WAITING_FOR_HUMANS: "judge the pairs: genops review",
    Reason.NOT_PREFERRED: "train a better model; people preferred the other",
    Reason.RATERS_DISAGREE: "ask a clearer human.question, or more raters, in a new GenEvaluation",
    Reason.HUMANS_TIMED_OUT: "ask again with a longer human.timeoutSeconds in a new GenEvaluation",
    Reason.VERDICT_MISSING: "make the GenEvaluation that spec.requires names, or name another",
    Reason.VERDICT_NOT_PASSED: "serve a model that passed: name another run and its GenEvaluation",
    Reason.VERDICT_OF_ANOTHER_MODEL: "evaluate the weights that are to be served, and name that GenEvaluation",
    Reason.AUTOSCALER_MISSING: "install what the message names, or use spec.scale.metric cpu",
    Reason.CRASH_LOOP: LOGS,
    Reason.PROGRESS_DEADLINE_EXCEEDED: LOGS,
    Reason.ROLLED_BACK: "read why the new version never got ready, and change the spec for another try; " + LOGS,
    Reason.NOT_A_NUMBER: "correct the query so that it never divides by nothing",
    Reason.STALE: "look whether Prometheus still scrapes the servers",
    Reason.DATA_IN_USE: "delete what the message names first, or set spec.deletionPolicy to Keep",
    Reason.REMOVAL_FAILED: "give the operator what the message names, or set spec.deletionPolicy to Keep",
    Reason.DATA_LEFT_BEHIND: "remove the data by hand where the message says",
    Reason.UNDECIDED: "ask more people or more pairs in a new GenEvaluation",
    Reason.RATERS_UNVERIFIED: "apply the policy that the message names, which comes with the CRDs",
    Reason.ANALYSIS_UNKNOWN: "let Prometheus have the number that the message names; the roll-out waits for it",
    Reason.ANALYSIS_FAILED: "look at status.canary.analysis, and change the model or the spec for another try",
    Reason.GATEWAY_MISSING: "install the Gateway API, or leave spec.rollout.gatewayRef out",
    Reason.GATEWAY_NOT_READY: "look at the Gateway that spec.rollout.gatewayRef names: kubectl describe gateway",
    Reason.PARKED: "raise spec.scale.min to serve: kubectl scale {ref} --replicas=1",
    Reason.DRIFTED: "look at status.drift, and train on newer data (docs/howto/retraining.md)",
    Reason.TOO_FEW_SAMPLES: "widen windowSeconds or lower minSamples of the watch, if the traffic is meant to be so",
    Reason.NO_REFERENCE: "build the engine with a dataset: name one in spec.optimize.datasetRef or drift.referenceRef",
    Reason.RUN_FAILED: "mend what failed and change the GenModel's spec, which starts the next run",
    Reason.RUN_REJECTED: "change data, training or success of the GenModel, which starts the next run",
    Reason.WAITING_FOR_APPROVAL: "see its samples: kubectl genops samples {ref}; then: kubectl genops approve {ref}",
}
_OF_ENDS: Mapping[Code, str] = {
    Code.CRASHED: LOGS,
    Code.BAD_CONFIG: NEW_OBJECT,
    Code.BAD_DATA: "mend the file that the message names at the source, and read it again in a new object",
    Code.MISSING_INPUT: "put the input where the message says, or name another place in a new object",
    Code.DIGEST_MISMATCH: "find who changed the file; make the artifact anew rather than trust this one",
    Code.BAD_SIGNATURE: "sign it with the key whose public half the pods have, or make it anew where that key is",
    Code.NO_DEVICE: "ask for a node that has the accelerator (resources, nodeSelector), or do without",
    Code.NON_FINITE: "lower the learning rate, or look at the data, in a new object",
    Code.OUT_OF_MEMORY: "raise resources.limits.memory or make the batch smaller, in a new object",
    Code.CHECK_BLOCKED: "mend the data, or the check that the message names, in a new GenDataset",
    Code.WRONG_CHECKPOINT: "resume with the model and data that the checkpoint is of, or start anew",
    Code.NO_ENGINE: "add a runtime to spec.optimize.targets that this place can build, such as onnx or torch",
    Code.OUT_OF_TOLERANCE: "widen spec.optimize.tolerance, take a higher precision, or add another runtime",
    Code.FORBIDDEN: "give the credentials or the licence that the message names",
    Code.UNSUPPORTED: "leave out what the message names, or combine it as it says",
    Code.STORE_FULL: "make room in the store, or raise its claim; it goes on from the last checkpoint",
    Code.SOURCE_UNAVAILABLE: "look whether the source or the store that the message names answers",
    Code.STALLED: LOGS,
    Code.KILLED: "raise resources.limits.memory if it was killed for memory; " + LOGS,
}
REMEDIES: Mapping[str, str] = {
    **{str(reason): text for reason, text in _OF_REASONS.items()},
    **{meaning(code).reason: text for code, text in _OF_ENDS.items()},
}


def remedy(reason: str, ref: str = "KIND/NAME") -> str:
    """Say what a person does about a reason; nothing where nobody needs to do anything.

    >>> remedy("Parked", "gdp/front")
    'raise spec.scale.min to serve: kubectl scale gdp/front --replicas=1'
    """
    return REMEDIES.get(reason, "").format(ref=ref)
