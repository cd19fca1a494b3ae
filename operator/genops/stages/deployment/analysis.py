"""Look at the numbers that a new version must keep to. Pure: answers in, a look at each out.

A look that has no number is neither a failure nor a pass: it stops nothing and lets nothing through. Knows nothing of
steps and weights, nor of what follows from a look.
"""

from dataclasses import dataclass
from datetime import datetime

from genops.core import promql
from genops.core.conditions import timestamp
from genops.core.model import Answer, Manifest, Resource, Seen
from genops.core.reasons import Reason
from genops.core.reporting import number
from genops.stages.deployment.servers import VERSION_LABEL
from genops.stages.deployment.spec import Analysis, Spec

STALE_SECONDS = 60  # age from which Triton's newest number does not tell of now
WINDOW_SECONDS = 60  # of a rate, at most; and never before the step began
AGE, REQUESTS = "canary/age", "canary/requests"
KEEPS = {
    ">=": lambda value, threshold: value >= threshold,
    "<=": lambda value, threshold: value <= threshold,
    ">": lambda value, threshold: value > threshold,
    "<": lambda value, threshold: value < threshold,
}


@dataclass(frozen=True)
class Look:
    """The newest look at one number. `passed` is None where there was no number, or no look yet."""

    metric: Analysis
    at: datetime | None = None
    value: float | None = None
    passed: bool | None = None
    failures: int = 0  # looks that failed, this one included
    reason: str = Reason.CANARY
    message: str = "not looked at yet"

    @property
    def failed(self) -> bool:
        """Say whether more looks failed than may."""
        return self.failures > self.metric.failure_limit

    def due(self, now: datetime) -> float:
        """Seconds until the next look; none left where it is due."""
        return 0.0 if self.at is None else self.metric.interval_seconds - (now - self.at).total_seconds()

    def passed_since(self, since: datetime) -> bool:
        """Say whether the number was kept to, looked at since then."""
        return self.passed is True and self.at is not None and self.at >= since

    def status(self) -> Manifest:
        """Write it as it stands in status."""
        entry = {
            "name": self.metric.name,
            "value": None if self.value is None else number(self.value, 4),
            "failures": self.failures,
            "passed": self.passed,
            "message": self.message,
            "time": timestamp(self.at) if self.at else None,
        }
        return {key: value for key, value in entry.items() if value is not None}


# What is asked.


@dataclass(frozen=True)
class About:
    """What is asked about: a new version beside the one that answers, since its step began."""

    obj: Resource[Spec]
    version: str
    stable: str
    since: datetime

    def window(self, now: datetime) -> int:
        """Seconds that a rate looks back: a server tries its engine before it is ready, and that is no request."""
        return max(1, min(WINDOW_SECONDS, int((now - self.since).total_seconds())))

    @property
    def where(self) -> str:
        """The labels of the new version's series."""
        return promql.selector(namespace=self.obj.namespace, model=self.obj.name, **{VERSION_LABEL: self.version})


def asks(about: About, looks: tuple[Look, ...], now: datetime) -> dict[str, str]:
    """Write what is to be asked: every number whose look is due, and whether there was any request to tell of."""
    due = [look.metric for look in looks if look.due(now) <= 0]
    rate = f"[{about.window(now)}s]"
    questions = {_question(m): query(about, m, rate) for m in due}
    if any(m.builtin for m in due):
        good, bad = (f"nv_inference_request_{end}{about.where}" for end in ("success", "failure"))
        questions[AGE] = f"time() - max(timestamp({good}))"
        questions[REQUESTS] = f"sum(increase({good}{rate})) + sum(increase({bad}{rate}))"
    return questions


def _question(metric: Analysis) -> str:
    return f"canary/{metric.name}"


def query(about: About, metric: Analysis, rate: str) -> str:
    """Write the PromQL of a number: the user's own, or one about Triton's series of that version."""
    if metric.query:
        return metric.query.replace("{{version}}", about.version).replace("{{stable}}", about.stable)
    assert metric.builtin
    return BUILTINS[metric.builtin](about.where, rate)


def error_rate(where: str, rate: str) -> str:
    """Write the share of the requests that failed. Without a request there is none: nothing is divided by nothing."""
    bad, good = (f"sum(rate(nv_inference_request_{end}{where}{rate}))" for end in ("failure", "success"))
    return f"{bad} / ({bad} + {good})"


def latency_p95(where: str, rate: str) -> str:
    """Write the 95th percentile of the slowest server's latency, in milliseconds.

    Triton counts microseconds, over a minute of its own.
    """
    return f'max(nv_inference_request_summary_us{{quantile="0.95",{where[1:-1]}}}) / 1000'


def queue_time(where: str, rate: str) -> str:
    """Write the milliseconds that a request waits for its turn."""
    waited = f"sum(rate(nv_inference_queue_duration_us{where}{rate}))"
    return f"{waited} / sum(rate(nv_inference_request_success{where}{rate})) / 1000"


BUILTINS = {"errorRate": error_rate, "latencyP95": latency_p95, "queueTime": queue_time}


# What is made of the answers.


def read(metric: Analysis, known: Manifest) -> Look:
    """Read a look back from status."""
    at = known.get("time")
    return Look(
        metric,
        datetime.fromisoformat(at) if at else None,
        float(known["value"]) if "value" in known else None,
        known.get("passed"),
        int(known.get("failures", 0)),
        message=str(known.get("message", Look(metric).message)),
    )


def look(before: Look, seen: Seen, now: datetime) -> Look:
    """Look at a number if that is due; else the look before stands."""
    if before.due(now) > 0:
        return before
    metric = before.metric
    answer = _answer(metric, seen)
    if answer.value is None:
        return Look(metric, now, None, None, before.failures, answer.reason, answer.message)
    kept = KEEPS[metric.op](answer.value, metric.threshold)
    verb = "keeps to" if kept else "does not keep to"
    text = f"{answer.value:.4g} {verb} {metric.op} {metric.threshold:g}"
    return Look(metric, now, answer.value, kept, before.failures + (not kept), message=text)


def _answer(metric: Analysis, seen: Seen) -> Answer:
    """Take the number, if it tells of now and of requests."""
    found = seen.answer(_question(metric))
    if found.value is None or metric.query or AGE not in seen.answers:
        return found
    age, requests = seen.answer(AGE), seen.answer(REQUESTS)
    if requests.value is None or requests.value <= 0:
        text = requests.message or "no request reached the new version since the step began"
        return Answer(None, requests.reason or Reason.NO_METRICS, text)
    if age.value is not None and age.value > STALE_SECONDS:
        return Answer(None, Reason.STALE, f"Triton's newest number is {age.value:.0f} s old; see whether it is scraped")
    return found if age.value is not None else age
