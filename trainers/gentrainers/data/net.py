"""Fetch over http(s) without being talked into a network that the pod should not reach.

Only http and https on ordinary hosts; the name is resolved once, every address is judged, and the connection goes to
that very address (TLS still checks the name). Redirects are followed here, one by one, each judged anew; no proxy
setting is honoured. A broken transfer goes on where it stopped. Must not know what is fetched.
"""

import errno
import hashlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urljoin, urlsplit

from gencontract.codes import Code
from gentrainers.errors import JobError

ALLOW_PRIVATE = "GENOPS_ALLOW_PRIVATE_SOURCES"
MAX_BYTES = 64 << 30
TIMEOUT = 30.0  # seconds for a connection and for each read
REDIRECTS = 5
TRIES = 4
CHUNK = 1 << 20
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?")
MOVED = (301, 302, 303, 307, 308)
BUSY = (408, 425, 429, 500, 502, 503, 504)
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


def lookup(host: str, port: int) -> list[str]:
    """Resolve a name to addresses. Raises OSError where there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(info[4][0]) for info in found})


@dataclass(frozen=True)
class Policy:
    """What may be fetched. `private` opens loopback, link-local and private networks: for tests and closed sites."""

    private: bool = field(default_factory=lambda: os.environ.get(ALLOW_PRIVATE) == "1")
    max_bytes: int = MAX_BYTES
    timeout: float = TIMEOUT
    pause: float = 1.0  # seconds before the second try, doubled for each further one
    resolve: Resolve = lookup
    tick: Callable[[int], None] = lambda done: None  # called with the bytes so far; may raise to stop


class Interrupted(Exception):
    """A transfer broke; another try may go on."""


def download(url: str, path: Path, policy: Policy, sha256: str | None = None) -> str:
    """Fetch a URL into a file and return the SHA-256 in hex. Raises JobError; `path` is then gone."""
    try:
        _patiently(url, path, policy)
        return _checked(url, path, sha256)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _checked(url: str, path: Path, sha256: str | None) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and found != sha256.removeprefix("sha256:").lower():
        raise JobError(Code.DIGEST_MISMATCH, f"{shown(url)} has sha256 {found}, source.sha256 says {sha256}")
    return found


@dataclass
class Transfer:
    """A download on its way. `version` is how the server named the content, to go on only with the same."""

    url: str
    path: Path
    policy: Policy
    version: str = ""

    @property
    def have(self) -> int:
        """How many bytes are there to go on from."""
        return self.path.stat().st_size if self.version and self.path.exists() else 0


def _patiently(url: str, path: Path, policy: Policy) -> None:
    transfer = Transfer(url, path, policy)
    reason = ""
    for number in range(TRIES):
        if number:
            time.sleep(policy.pause * 2 ** (number - 1))
        try:
            return _fetch(transfer)
        except (Interrupted, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            reason = str(error) or type(error).__name__
    raise JobError(Code.SOURCE_UNAVAILABLE, f"{shown(url)} did not answer in {TRIES} tries ({reason})")


def _fetch(transfer: Transfer) -> None:
    url = transfer.url
    for _ in range(REDIRECTS + 1):
        target = judge(url, transfer.policy)
        with closing(_connect(target, transfer.policy)) as connection:
            connection.request("GET", target.resource, headers=_headers(target, transfer))
            answer = connection.getresponse()
            if answer.status not in MOVED:
                return _store(answer, target, transfer)
            url = _next(url, answer.getheader("Location") or "")
    raise JobError(Code.BAD_DATA, f"{shown(transfer.url)} was redirected more than {REDIRECTS} times")


def _next(url: str, location: str) -> str:
    moved = urljoin(url, location)
    if url.startswith("https:") and not moved.startswith("https:"):
        raise JobError(Code.FORBIDDEN, f"{shown(url)} redirects from https to {shown(moved)}")
    return moved


def _headers(target: "Target", transfer: Transfer) -> dict[str, str]:
    base = {"Host": target.netloc, "User-Agent": "genops", "Accept": "*/*", "Accept-Encoding": "identity"}
    if not transfer.have:
        return base
    return {**base, "Range": f"bytes={transfer.have}-", "If-Range": transfer.version}


def _store(answer: http.client.HTTPResponse, target: "Target", transfer: Transfer) -> None:
    have = transfer.have
    if answer.status in BUSY:
        raise Interrupted(f"status {answer.status}")
    if answer.status not in (200, 206, 416):
        raise _refused(answer.status, target.url)
    goes_on = answer.status == 206 and (answer.getheader("Content-Range") or "").startswith(f"bytes {have}-")
    if answer.status == 416 or (answer.status == 206 and not goes_on):
        transfer.version = ""
        raise Interrupted("the server could not go on where the transfer broke")
    tag = answer.getheader("ETag") or ""
    transfer.version = tag if tag.startswith('"') else ""
    with transfer.path.open("ab" if goes_on else "wb") as out:
        _copy(answer, out, target, transfer.policy)


def _copy(answer: http.client.HTTPResponse, out: IO[bytes], target: "Target", policy: Policy) -> None:
    while chunk := answer.read(CHUNK):
        if out.tell() + len(chunk) > policy.max_bytes:
            raise JobError(Code.BAD_DATA, f"{shown(target.url)} is larger than {policy.max_bytes} bytes")
        out.write(chunk)
        policy.tick(out.tell())
    if answer.length:  # http.client ends a short body silently when it is read in pieces
        raise Interrupted("the transfer broke off")


def _refused(status: int, url: str) -> JobError:
    code = {401: Code.FORBIDDEN, 403: Code.FORBIDDEN, 404: Code.MISSING_INPUT, 410: Code.MISSING_INPUT}
    return JobError(code.get(status, Code.BAD_DATA), f"{shown(url)} answered with status {status}")


@dataclass(frozen=True)
class Target:
    """A URL that was judged, and the one address to connect to."""

    url: str
    scheme: str
    host: str
    port: int
    address: str
    resource: str

    @property
    def netloc(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return name if usual else f"{name}:{self.port}"


def judge(url: str, policy: Policy) -> Target:
    """Check a URL and resolve its host once. Raises JobError(FORBIDDEN or BAD_CONFIG) where it may not be fetched.

    All addresses of a name must be allowed, so that no answer of a name server can mix a good and a bad one.
    """
    parts = _split(url)
    host, port = _host(parts, url), _port(parts, url)
    addresses = [ipaddress.ip_address(host)] if _is_address(host) else _resolved(host, port, url, policy)
    for address in addresses:
        if not policy.private and (why := forbidden(address)):
            hint = f"set {ALLOW_PRIVATE}=1 to allow it"
            raise JobError(Code.FORBIDDEN, f"{shown(url)} leads to {address}, a {why} address; {hint}")
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, parts.scheme, host, port, str(addresses[0]), resource)


def _split(url: str) -> SplitResult:
    if any(ord(c) <= 32 or ord(c) >= 127 for c in url) or "\\" in url:
        raise _bad(url, "has a space, a backslash, a control or a non-ASCII character; encode it")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _bad(url, str(error)) from None
    if parts.scheme not in ("http", "https"):
        raise _bad(url, "is not http or https", Code.FORBIDDEN)
    if "@" in parts.netloc:
        raise _bad(url, "carries a user name or password", Code.FORBIDDEN)
    return parts


def _host(parts: SplitResult, url: str) -> str:
    host = parts.hostname or ""
    if _is_address(host):
        return host
    if "[" in parts.netloc:
        raise _bad(url, "has no IPv6 address between its brackets", Code.FORBIDDEN)
    # A host that is all numbers is some old spelling of an address (octal, hex, short): nobody needs it.
    last = host.rstrip(".").rpartition(".")[2]
    if not HOST.fullmatch(host) or re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", last):
        raise _bad(url, "has no ordinary host name", Code.FORBIDDEN)
    return host


def _port(parts: SplitResult, url: str) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _bad(url, "has no valid port") from None
    if port == 0:
        raise _bad(url, "has no valid port")
    return port or (443 if parts.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host)) and "%" not in host
    except ValueError:
        return False


def _resolved(host: str, port: int, url: str, policy: Policy) -> list[Address]:
    try:
        found = policy.resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise Interrupted(f"{host} cannot be resolved: {error}") from None
    if not found:
        raise Interrupted(f"{host} has no address")
    return [ipaddress.ip_address(a.partition("%")[0]) for a in found]


def forbidden(address: Address) -> str:
    """Say which kind of closed network an address belongs to, or "" for one on the public internet.

    >>> forbidden(ipaddress.ip_address("169.254.169.254"))
    'link-local'
    >>> forbidden(ipaddress.ip_address("::ffff:10.0.0.1"))
    'private'
    """
    address = _inner(address)
    kinds = ("unspecified", "loopback", "link_local", "multicast", "reserved", "private")
    for kind in kinds:
        if getattr(address, f"is_{kind}"):
            return kind.replace("_", "-")
    return "" if address.is_global else "special-purpose"


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo, NAT64 or IPv4-compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    if address.teredo:
        return address.teredo[1]
    if address in NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _connect(target: Target, policy: Policy) -> http.client.HTTPConnection:
    """Connect to the judged address, and for https check the certificate against the name."""
    connection = http.client.HTTPConnection(target.host, target.port, timeout=policy.timeout)
    plain = socket.create_connection((target.address, target.port), policy.timeout)
    connection.sock = plain if target.scheme == "http" else _tls(plain, target.host)
    return connection


def _tls(plain: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise JobError(Code.FORBIDDEN, f"{host}: its certificate was not accepted ({error.verify_message})") from None


def _bad(url: str, why: str, code: Code = Code.BAD_CONFIG) -> JobError:
    return JobError(code, f"source.urls: {shown(url)} {why}")


def shown(url: str) -> str:
    """Return a URL fit for a message: no user, password or query, no control characters, not too long."""
    bare = re.sub(r"//[^/@]*@", "//", url.partition("?")[0])
    return bare.encode("unicode_escape").decode()[:200]
