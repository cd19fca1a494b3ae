"""Clients of a served model, and how Prometheus finds its servers."""

import json
import threading
import time
import urllib.request

from places import Place


def targets(place: Place) -> str:
    """List server pods and their labels as Prometheus' own operator would by our PodMonitor.

    Debian's Prometheus is built without Kubernetes, so it asks us over HTTP.
    """
    found = []
    for pod in place.list("pods", "-l", "genops.dev/role=serve"):
        if address := pod["status"].get("podIP"):
            version = pod["metadata"]["labels"]["genops.dev/version"]
            own = {"namespace": place.name, "pod": pod["metadata"]["name"], "genops_dev_version": version}
            found.append({"targets": [f"{address}:8002"], "labels": own})
    return json.dumps(found)


class Traffic:
    """A client of the Service, who asks for classes of its choice until the test is over, and counts what it got."""

    def __init__(self, place: Place, name: str, wanted: list[int]) -> None:
        self.wanted, self.name, self._ended = wanted, name, threading.Event()
        address = place.get("service", f"{name}-serve")["spec"]["clusterIP"]
        self.url = f"http://{address}:8000/v2/models/{name}/infer"
        self.answered = 0
        self.failures: list[tuple[float, str]] = []  # Unix time, and what went wrong
        self._client = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._client.join()

    def _run(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        turn = 0
        while not self._ended.wait(0.02):
            turn += 1
            labels = [self.wanted[(8 * turn + n) % len(self.wanted)] for n in range(8)]
            columns = {"seed": [8 * turn + n for n in range(8)], "label": labels}
            inputs = [{"name": k, "shape": [8, 1], "datatype": "INT64", "data": v} for k, v in columns.items()]
            request = urllib.request.Request(self.url, json.dumps({"inputs": inputs}).encode())
            try:
                with opener.open(request, timeout=30) as answer:
                    answer.read()
                self.answered += 1
            except OSError as error:
                self.failures.append((time.time(), str(error)))
