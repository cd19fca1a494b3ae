"""Every condition reason, once, with its meaning. The reference page is printed from here.

The reasons of a pod's end stand in gencontract/codes.py and join this list.
"""

from enum import StrEnum

from gencontract.codes import TABLE


class Reason(StrEnum):
    """Why a condition is as it is. The comment behind each is its meaning in the reference."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Reason":
        """Keep the meaning beside the word."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Every kind
    INVALID_SPEC = "InvalidSpec", "The spec breaks a rule; the message names the field and what is allowed"
    SUSPENDED = "Suspended", "spec.suspend is true, so nothing is started"
    WAITING_FOR_REFERENCE = "WaitingForReference", "Something the spec refers to does not exist yet or is not ready"
    CREATING = "Creating", "Children were asked for and have not started"
    RUNNING = "Running", "The work goes on"
    RETRYING = "Retrying", "The last pod failed in a way that is worth another try"
    POD_NOT_STARTED = "PodNotStarted", "A pod cannot start: its image, volume or place is not to be had"
    DELETING = "Deleting", "The object is being removed"
    NO_REPORT = "NoReport", "A pod ended well and left no report; its image is not one of ours"
    CHILD_REFUSED = "ChildRefused", "The API server does not take an object that the spec asks for"
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The work took longer than the spec allows"
    # What Prometheus was asked for
    NO_PROMETHEUS = "NoPrometheus", "The operator was told of no Prometheus, so nothing can be measured"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable", "Prometheus gave no answer, or an error; it is asked again"
    QUERY_REFUSED = "QueryRefused", "Prometheus does not take the query; the message has its words"
    NO_METRICS = "NoMetrics", "Prometheus has no such series: nothing scrapes the servers, or nothing was asked of them"
    AMBIGUOUS = "Ambiguous", "The query gives several series where one number is needed; aggregate it"
    NOT_A_NUMBER = "NotANumber", "The answer is NaN or infinite"
    STALE = "Stale", "The newest number is too old to tell of now"
    # GenDataset
    PREPARING = "Preparing", "The source is fetched, cleaned, checked and split"
    FETCHED = "Fetched", "The source was read"
    FROZEN = "Frozen", "The data is complete and named by its digest"
    CHECKS_PASSED = "ChecksPassed", "Every check with action Block passed"
    REMOVING_DATA = "RemovingData", "spec.deletionPolicy is Delete, and a Job removes the data before the object goes"
    DATA_IN_USE = "DataInUse", "The data is to be removed and something refers to it; the message names what"
    REMOVAL_FAILED = "RemovalFailed", "The data could not be removed; it is tried again"
    DATA_REMOVED = "DataRemoved", "The data was removed, and the object goes"
    DATA_KEPT = "DataKept", "spec.deletionPolicy was set to Keep, and the object goes without its data"
    DATA_LEFT_BEHIND = (
        "DataLeftBehind",
        "The object goes, and nothing can remove its data; the message says where it is",
    )
    CHECKS_WARNED = "ChecksWarned", "A check with action Warn did not pass"
    # GenTrainingJob
    TRAINING = "Training", "The trainer runs"
    SEARCHING = "Searching", "Trials of the search run"
    WEIGHTS_READY = "WeightsReady", "The weights are complete and named by their digest"
    QUEUED = "Queued", "Kueue has not given the run its share yet"
    ADMITTED = "Admitted", "The pods may start"
    INPUTS_RESOLVED = "InputsResolved", "Everything the run is made of is there and named by its digest"
    REFERENCE_FAILED = "ReferenceFailed", "What the spec refers to has failed; the object goes on once that is mended"
    INPUT_CHANGED = "InputChanged", "What the spec refers to is not what the digest names, or what the run began with"
    JOB_SET_MISSING = "JobSetMissing", "scheduling.gang is JobSet and the cluster does not serve JobSets"
    REPORT_LOST = "ReportLost", "The pods went before their report was read; the last step is made again"
    NO_METRIC = "NoMetric", "A trial ended without the metric that the search compares by"
    NO_TRIAL = "NoTrial", "No trial of the search came to an end with a model"
    # GenEvaluation
    INPUTS_READY = "InputsReady", "What is judged, what it is compared with and the data are there, by digest"
    EVALUATING = "Evaluating", "The model is measured"
    VERDICT_PASSED = "VerdictPassed", "Everything that decision.requires names passed"
    VERDICT_FAILED = "VerdictFailed", "Something that decision.requires names did not pass"
    VERDICT_INCONCLUSIVE = "VerdictInconclusive", "The data or the people did not decide; the message says what would"
    WAITING_FOR_HUMANS = "WaitingForHumans", "The numbers are there, and people's verdicts are waited for"
    PREFERRED = "Preferred", "People were shown to prefer the subject more often than was asked"
    NOT_PREFERRED = "NotPreferred", "People were shown to prefer the subject less often than was asked"
    COUNTING = "Counting", "All verdicts of people have come, and a pod counts them"
    UNDECIDED = "Undecided", "People's verdicts do not tell whether the subject is preferred as often as was asked"
    RATERS_UNVERIFIED = "RatersUnverified", "The cluster does not check who gives a verdict, so that none counts"
    RATERS_DISAGREE = "RatersDisagree", "People agreed less than human.minAgreement asks"
    HUMANS_TIMED_OUT = "HumansTimedOut", "Too few verdicts of people came within human.timeoutSeconds"
    # GenDeployment
    VERDICT_MISSING = "VerdictMissing", "The verdict that spec.requires names is not there yet"
    VERDICT_NOT_PASSED = "VerdictNotPassed", "The verdict that spec.requires names is not Passed"
    VERDICT_OF_ANOTHER_MODEL = "VerdictOfAnotherModel", "The verdict is about other weights than those to be served"
    AUTOSCALER_MISSING = "AutoscalerMissing", "spec.scale asks for what this cluster or operator has no part for"
    BUILDING = "Building", "The engine is built and compared with the model"
    ENGINE_READY = "EngineReady", "The engine is built, faithful and measured"
    FALLBACK = "Fallback", "Another engine serves than the first that spec.optimize.targets names"
    STARTING = "Starting", "The server loads the engine and compares its first generation"
    CRASH_LOOP = "CrashLoop", "The server ends again and again; the message has its last words"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded", "The server was not ready in time"
    ROLLING_OUT = "RollingOut", "A new version starts beside the one that answers"
    SWITCHING = "Switching", "The new version answers, and the old one finishes what it has"
    CANARY = "Canary", "The new version is watched beside the one that answers"
    ANALYSIS_UNKNOWN = "AnalysisUnknown", "A number that the new version must keep to cannot be had; it waits as it is"
    ANALYSIS_FAILED = "AnalysisFailed", "The new version did not keep to what spec.rollout.metrics asks"
    GATEWAY_MISSING = "GatewayMissing", "spec.rollout.gatewayRef is set and the cluster does not serve HTTPRoutes"
    GATEWAY_NOT_READY = "GatewayNotReady", "The Gateway does not route as it is told, so no weight is in effect"
    ROLLED_BACK = "RolledBack", "The new version failed, and the one before goes on; see status.quarantined"
    NOTHING_BEFORE = "NothingBefore", "A drift asks to go back, and there is no version before with other weights"
    SERVING = "Serving", "The server answers"
    NOT_ALL_READY = "NotAllReady", "Fewer servers answer than are asked for"
    NOT_ROUTED = "NotRouted", "No request reaches a server yet"
    PARKED = "Parked", "spec.scale.min is 0, so no server runs"
    DRIFTED = "Drifted", "A watch found so many windows in a row too far from the training data as it asks for"
    NO_DRIFT = "NoDrift", "Every watch found its newest windows near enough to the training data"
    TOO_FEW_SAMPLES = "TooFewSamples", "A window had fewer samples than the watch needs"
    MEASURING = "Measuring", "The Job that measures the window has not ended"
    NO_REFERENCE = "NoReference", "The engine carries no distribution to compare with"
    # GenModel
    RUN_FAILED = "RunFailed", "An object of the run ended badly; the message names it"
    RUN_REJECTED = "RunRejected", "The run's model did not pass, so it is not served"
    WAITING_FOR_APPROVAL = "WaitingForApproval", "The run passed, and promotion.mode Manual waits for a person"
    DEPLOYING = "Deploying", "The promoted run's model is built and started"


def meanings() -> dict[str, str]:
    """Return every reason with its meaning, those of pods included."""
    return {str(r): r.meaning for r in Reason} | {m.reason: m.says for m in TABLE.values()}
