"""People who ask a served model for pictures: steady requests for classes of a mix, every answer counted."""

import json
import random
import threading
import urllib.request
from collections.abc import Sequence

PAUSE_SECONDS = 0.05
BATCH = 8
TIMEOUT_SECONDS = 60.0


class Traffic:
    """A client in a thread of its own, from `with` to its end. `wanted` may change at any time."""

    def __init__(self, url: str, wanted: Sequence[int]) -> None:
        self.url, self.wanted = url, tuple(wanted)
        self.answered = 0
        self.failures: list[str] = []
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
        choice = random.Random(0)
        while not self._ended.wait(PAUSE_SECONDS):
            columns = {
                "seed": [choice.randrange(1 << 30) for _ in range(BATCH)],
                "label": [choice.choice(self.wanted) for _ in range(BATCH)],
            }
            inputs = [{"name": k, "shape": [BATCH, 1], "datatype": "INT64", "data": v} for k, v in columns.items()]
            asked = urllib.request.Request(self.url, json.dumps({"inputs": inputs}).encode())
            try:
                with opener.open(asked, timeout=TIMEOUT_SECONDS) as answer:
                    answer.read()
                self.answered += 1
            except OSError as error:
                self.failures.append(str(error))
