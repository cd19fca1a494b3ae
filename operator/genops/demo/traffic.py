"""People who ask a served model for pictures, every answer counted; and how a Prometheus finds the servers they ask."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Any

PAUSE_SECONDS = 0.02
BATCH = 8
TIMEOUT_SECONDS = 30.0


def targets(pods: Iterable[dict[str, Any]], namespace: str) -> str:
    """List server pods and their labels for Prometheus, as its own operator would by our PodMonitor.

    Debian's Prometheus is built without Kubernetes, so it asks for them over HTTP.
    """
    found = []
    for pod in pods:
        if address := pod["status"].get("podIP"):
            version = pod["metadata"]["labels"]["genops.dev/version"]
            own = {"namespace": namespace, "pod": pod["metadata"]["name"], "genops_dev_version": version}
            found.append({"targets": [f"{address}:8002"], "labels": own})
    return json.dumps(found)


class Traffic:
    """A client in a thread of its own, from `with` to its end; `wanted`, classes in turn, may change at any time."""

    def __init__(self, url: str, wanted: Sequence[int]) -> None:
        self.url, self.wanted = url, tuple(wanted)
        self.answered = 0
        self.failures: list[tuple[float, str]] = []  # Unix time, and what went wrong
        self._ended = threading.Event()
        self._client = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Traffic":
        self._client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._client.join()

    def _run(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        turn = 0
        while not self._ended.wait(PAUSE_SECONDS):
            turn += 1
            wanted, numbers = self.wanted, range(BATCH * turn, BATCH * turn + BATCH)
            columns = {"seed": list(numbers), "label": [wanted[n % len(wanted)] for n in numbers]}
            inputs = [{"name": k, "shape": [BATCH, 1], "datatype": "INT64", "data": v} for k, v in columns.items()]
            asked = urllib.request.Request(self.url, json.dumps({"inputs": inputs}).encode())
            try:
                with opener.open(asked, timeout=TIMEOUT_SECONDS) as answer:
                    answer.read()
                self.answered += 1
            except OSError as error:
                self.failures.append((time.time(), str(error)))
