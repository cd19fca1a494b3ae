"""Two ways to log in. A person of this machine proves by a code that they read the terminal, and is the kubeconfig's
user; elsewhere everyone brings a token of their own, and is whom the API server says.

Knows credentials and the API server; it must not know sessions or pages.
"""

import secrets
from dataclasses import replace
from typing import Protocol

from genops.review.errors import ReviewError
from genops.review.reviewer import Reviewer
from genops.shell.errors import ApiError, ClusterError
from genops.shell.kube import KubeApi

WRONG = "That is not the code of this page; copy the address that `genops review` printed"
REFUSED = "The API server does not take that token; get a new one"


class Login(Protocol):
    """How a secret becomes a reviewer."""

    asks: str  # what the person is asked for

    async def reviewer(self, secret: str) -> Reviewer:
        """Return who the secret belongs to. Raises ReviewError for a wrong one."""


class ByCode:
    """Whoever has the code is the kubeconfig's user."""

    asks = "code"

    def __init__(self, own: Reviewer) -> None:
        self._own, self.code = replace(own, shared=True), secrets.token_urlsafe(24)

    async def reviewer(self, secret: str) -> Reviewer:
        """Compare the code in constant time."""
        if not secrets.compare_digest(secret.encode(), self.code.encode()):
            raise ReviewError(WRONG, 401)
        return self._own


class ByToken:
    """Whoever brings a token is whom the API server says, and writes with that token."""

    asks = "token"

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    async def reviewer(self, secret: str) -> Reviewer:
        """Ask the API server under the token itself."""
        if not secret or not secret.isascii() or any(c.isspace() for c in secret):
            raise ReviewError(REFUSED, 401)
        theirs = self._api.with_token(secret)
        try:
            return await Reviewer.known(theirs, self._namespace)
        except (ReviewError, ClusterError) as error:
            await theirs.close()
            if isinstance(error, ApiError) and error.status == 401:
                raise ReviewError(REFUSED, 401) from None
            raise
