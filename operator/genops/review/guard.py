"""What stands before every page: limits before anyone is known, then who it is, then whether they meant it.

Knows HTTP and sessions; it must not know what is judged.
"""

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from genops.review.errors import ReviewError
from genops.review.sessions import Session, Sessions
from genops.shell.errors import ApiError, ClusterError

BODY_LIMIT = 16 * 1024
OPEN = ("/login", "/static/", "/healthz")  # what is shown to anyone
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """The middleware of one page."""

    def __init__(self, sessions: Sessions, secure: bool, hosts: frozenset[str]) -> None:
        self.sessions, self.secure, self._hosts = sessions, secure, hosts
        self.cookie = "__Host-genops-review" if secure else "genops-review"

    def middleware(self) -> Middleware:
        """Every request passes through here, and every answer leaves with our headers."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._admit(request)
                self._identify(request)
                answer = await handler(request)
            except web.HTTPException as error:
                answer = error
            except (ReviewError, ClusterError) as error:
                answer = web.json_response({"error": _said(error)}, status=_status(error))
            answer.headers.update(HEADERS)
            if isinstance(answer, web.HTTPException):
                raise answer
            return answer

        return guarded

    def _admit(self, request: web.Request) -> None:
        """Refuse what is too large, what comes from another page, and names that are not ours."""
        if self._hosts and _host(request.host) not in self._hosts:
            raise ReviewError(f"This page is not called {request.host}", 421)
        if request.method in ("GET", "HEAD"):
            return
        if request.content_length is None or request.content_length > BODY_LIMIT:
            raise web.HTTPRequestEntityTooLarge(BODY_LIMIT, request.content_length or 0)
        if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
            raise ReviewError("The request comes from another page", 403)

    def _identify(self, request: web.Request) -> None:
        """Find the session. Whoever has none is sent to log in; a change needs the session's second secret too."""
        if request.path.startswith(OPEN):
            return
        session = self.sessions.find(request.cookies.get(self.cookie, ""))
        if session is None:
            raise web.HTTPSeeOther("/login") if request.method == "GET" and "/api/" not in request.path else _unknown()
        if request.method not in ("GET", "HEAD") and request.headers.get("X-CSRF-Token") != session.csrf:
            raise ReviewError("The page is of another session; load it again", 403)
        request[SESSION] = session


def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""


def _unknown() -> ReviewError:
    return ReviewError("You are not logged in, or no longer; load the page again", 401)


def _status(error: Exception) -> int:
    if isinstance(error, ReviewError):
        return error.status
    return error.status if isinstance(error, ApiError) else 502


def _said(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else str(error)
