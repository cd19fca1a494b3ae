"""Prometheus over HTTP: the only file that asks it. Knows its API and nothing of what is asked, or why.

Whatever goes wrong becomes an answer with a reason, since a look at an object must not fail because a number is
missing; and no failure is ever a number.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import aiohttp

from genops.core.model import Answer
from genops.core.reasons import Reason
from genops.shell import metrics
from genops.shell.access import Access, AccessError

SECONDS = 5.0  # for one question
AT_ONCE = 8
LATE_SECONDS = 60.0  # how far its clock may be from ours
MOST_BYTES = 1 << 20
QUOTED = 300


class Prometheus:
    """One Prometheus, or whatever speaks its API."""

    def __init__(self, address: str, seconds: float = SECONDS, access: Access | None = None) -> None:
        self._query = f"{address.rstrip('/')}/api/v1/query"
        self._address, self._seconds, self._access = address, seconds, access or Access()
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(self, questions: Mapping[str, str], now: datetime) -> Mapping[str, Answer]:
        """Answer each of the named PromQL expressions; a few at a time."""
        answers = await asyncio.gather(*(self._ask(query, now) for query in questions.values()))
        return dict(zip(questions, answers, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def _ask(self, query: str, now: datetime) -> Answer:
        async with self._turns:
            answer = await self._answered(query, now)
        metrics.QUERIES.labels(answer.reason or "Number").inc()
        return answer

    async def _answered(self, query: str, now: datetime) -> Answer:
        try:
            status, body = await self._post(query)
        except TimeoutError:
            return self._silent(f"no answer in {self._seconds:g} s")
        except (aiohttp.ClientError, AccessError, OSError) as error:
            return self._silent(str(error) or type(error).__name__)
        if status in (401, 403):
            return self._silent(f"it refuses us by HTTP {status}; see GENOPS_PROMETHEUS_TOKEN_FILE")
        try:
            said = json.loads(body)
        except ValueError:
            return self._silent(f"HTTP {status}, which is not JSON: {body[:QUOTED].decode(errors='replace')}")
        if not isinstance(said, dict):
            return self._silent(f"HTTP {status} with {type(said).__name__} for an object")
        return read(status, said, now)

    async def _post(self, query: str) -> tuple[int, bytes]:
        limit = aiohttp.ClientTimeout(total=self._seconds)
        self._session = self._session or aiohttp.ClientSession(timeout=limit)
        headers, tls = self._access.headers(), self._access.tls()
        data = {"query": query}
        async with self._session.post(
            self._query, data=data, headers=headers, ssl=tls, allow_redirects=False
        ) as response:
            body = b""
            async for part in response.content.iter_chunked(1 << 16):
                body += part
                if len(body) > MOST_BYTES:
                    raise aiohttp.ClientPayloadError(f"the answer is longer than {MOST_BYTES} bytes")
            return response.status, body

    def _silent(self, why: str) -> Answer:
        text = f"{self._address} gave no answer: {why[:QUOTED]}; see whether it runs and may be reached"
        return Answer(None, Reason.PROMETHEUS_UNREACHABLE, text)


def read(status: int, said: Mapping[str, Any], now: datetime) -> Answer:
    """Read what Prometheus said into one number, or into why there is none."""
    if said.get("status") != "success":
        why = str(said.get("error") or f"HTTP {status}")[:QUOTED]
        reason = Reason.QUERY_REFUSED if said.get("errorType") == "bad_data" else Reason.PROMETHEUS_UNREACHABLE
        return Answer(None, reason, f"Prometheus says: {why}")
    if said.get("warnings"):
        return Answer(None, Reason.PROMETHEUS_UNREACHABLE, f"An answer in part: {str(said['warnings'])[:QUOTED]}")
    try:
        samples = _samples(said["data"])
    except (KeyError, TypeError, ValueError, IndexError):
        return Answer(None, Reason.PROMETHEUS_UNREACHABLE, "Prometheus gave an answer that is not of its API")
    return _number(samples, now)


def _samples(data: Mapping[str, Any]) -> list[tuple[float, float]]:
    """List (time, value) of each series of an instant answer."""
    kind, result = data["resultType"], data["result"]
    if kind not in ("scalar", "vector"):
        raise ValueError(kind)
    pairs = [result] if kind == "scalar" else [series["value"] for series in result]
    return [(float(at), float(value)) for at, value in pairs]


def _number(samples: list[tuple[float, float]], now: datetime) -> Answer:
    if not samples:
        return Answer(None, Reason.NO_METRICS, "Prometheus has no such series")
    if len(samples) > 1:
        return Answer(None, Reason.AMBIGUOUS, f"{len(samples)} series where one number is needed; aggregate the query")
    at, value = samples[0]
    if not math.isfinite(value):
        return Answer(None, Reason.NOT_A_NUMBER, f"The answer is {value}")
    late = now.timestamp() - at
    if abs(late) > LATE_SECONDS:
        where = "behind" if late > 0 else "ahead of"
        text = f"Prometheus' clock is more than {LATE_SECONDS:.0f} s {where} the operator's; mend either"
        return Answer(None, Reason.STALE, text)
    return Answer(value)
