"""Who is logged in: sessions in memory, each named by a secret cookie and guarded by a second secret against forgery.

Knows nothing of HTTP but the words. A page that is started anew knows nobody.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from genops.review.reviewer import Reviewer

LIFETIME_SECONDS = 8 * 3600.0
MOST = 1000


@dataclass(frozen=True)
class Session:
    """One login."""

    reviewer: Reviewer
    csrf: str
    ends: float


class Sessions:
    """All logins."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._known = clock, dict[str, Session]()

    def __len__(self) -> int:
        return len(self._known)

    async def open(self, reviewer: Reviewer) -> str:
        """Begin a session and return its cookie; the oldest ones give way where there are too many."""
        for cookie in [c for c, s in self._known.items() if s.ends <= self._clock()]:
            await self.close(cookie)
        while len(self._known) >= MOST:
            await self.close(next(iter(self._known)))
        cookie = secrets.token_urlsafe(32)
        self._known[cookie] = Session(reviewer, secrets.token_urlsafe(32), self._clock() + LIFETIME_SECONDS)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """Find the session of a cookie, unless it has ended."""
        found = self._known.get(cookie)
        return found if found and found.ends > self._clock() else None

    async def close(self, cookie: str) -> None:
        """End a session."""
        found = self._known.pop(cookie, None)
        if found and not found.reviewer.shared:
            await found.reviewer.api.close()
