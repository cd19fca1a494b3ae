"""The port to whoever answers PromQL. The engine knows this; `prometheus` is the real one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from genops.core.model import Answer


class Oracle(Protocol):
    """Answers questions by name. It never raises: what cannot be known is an answer with a reason."""

    async def ask(self, questions: Mapping[str, str], now: datetime) -> Mapping[str, Answer]:
        """Answer each of the named PromQL expressions."""
        ...
