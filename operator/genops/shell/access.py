"""How the operator shows Prometheus who it is, and how it knows that it is Prometheus: a token and an authority.

Both are files, which Kubernetes renews under a running process, so they are read anew when they change. Knows files and
TLS, nothing of what is asked.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path


class AccessError(Exception):
    """A file of credentials cannot be used; the message names it, and never its content."""


@dataclass
class Access:
    """A bearer token and the certificates of authorities, each a file or nothing."""

    token_file: str = ""
    ca_file: str = ""
    _known: tuple[int, ssl.SSLContext] | None = field(default=None, repr=False)

    def headers(self) -> dict[str, str]:
        """Return the header that shows who we are. Raises AccessError."""
        if not self.token_file:
            return {}
        token = self._read(self.token_file).strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise AccessError(f"{self.token_file} holds no token: one line of printable characters")
        return {"Authorization": f"Bearer {token}"}

    def tls(self) -> ssl.SSLContext | bool:
        """Return what a server is known by: the file's authorities, else those of the system. Raises AccessError."""
        if not self.ca_file:
            return True
        changed = self._changed(self.ca_file)
        if self._known is None or self._known[0] != changed:
            try:
                self._known = (changed, ssl.create_default_context(cafile=self.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise AccessError(f"{self.ca_file} holds no certificates in PEM: {error}") from None
        return self._known[1]

    def _read(self, path: str) -> str:
        try:
            return Path(path).read_text()
        except (OSError, ValueError) as error:
            raise AccessError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None

    def _changed(self, path: str) -> int:
        try:
            return Path(path).stat().st_mtime_ns
        except OSError as error:
            raise AccessError(f"{path} cannot be read: {error.strerror}") from None
