"""Every metric of the operator, declared once. The reference page and the dashboards are made from here."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()

RECONCILES = Counter(
    "genops_reconcile_total", "Looks at an object, by how they ended", ["kind", "result"], registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "genops_reconcile_duration_seconds",
    "Seconds that one look took",
    ["kind"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("genops_queue_depth", "Objects that wait to be looked at", registry=REGISTRY)
QUEUE_AGE = Gauge(
    "genops_queue_oldest_age_seconds", "Seconds that the first object in the queue has waited", registry=REGISTRY
)
API_CALLS = Counter("genops_api_requests_total", "Requests to the API server", ["verb", "code"], registry=REGISTRY)
QUERIES = Counter(
    "genops_prometheus_queries_total", "Questions to Prometheus, by answer", ["answer"], registry=REGISTRY
)
LEADING = Gauge("genops_leading", "1 while this process holds the lease", registry=REGISTRY)
WATCH_EVENTS = Counter("genops_watch_events_total", "Events received from watches", ["kind"], registry=REGISTRY)


class Objects(Collector):
    """Counts objects by kind and phase when asked, so that no counter can drift from the truth."""

    NAME, HELP, LABELS = "genops_objects", "Objects of ours, by kind and phase", ("kind", "phase")

    def __init__(self, count: Callable[[], dict[tuple[str, str], int]]) -> None:
        self._count = count

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count now."""
        family = GaugeMetricFamily(self.NAME, self.HELP, labels=self.LABELS)
        for (kind, phase), n in sorted(self._count().items()):
            family.add_metric([kind, phase], n)
        yield family


def count_api_call(verb: str, code: str) -> None:
    """Count one request to the API server."""
    API_CALLS.labels(verb, code).inc()


def exposition() -> bytes:
    """Print all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
