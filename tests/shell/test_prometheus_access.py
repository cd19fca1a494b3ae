"""A Prometheus behind TLS that wants a token: a real server, by certificates of the test's own authority."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from genops.core.model import Answer
from genops.core.reasons import Reason
from genops.local import certs
from genops.shell.access import Access
from genops.shell.prometheus import Prometheus

TOKEN = "a-token-of-the-test"
HERE = certs.Leaf("server", "ca", "prometheus", hosts=("127.0.0.1",))
ELSEWHERE = certs.Leaf("elsewhere", "ca", "prometheus", hosts=("prometheus.example",))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    certs.ensure(folder, ["ca", "other-ca"], [HERE, ELSEWHERE])
    return folder


@asynccontextmanager
async def guarded(keys: Path, leaf: str = "server") -> AsyncIterator[str]:
    """Serve the number 1 to those who show the token."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, text="Unauthorized")
        at = datetime.now(UTC).timestamp()
        return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [at, "1"]}})

    app = web.Application()
    app.router.add_post("/api/v1/query", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(keys / f"{leaf}.crt", keys / f"{leaf}.key")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(oracle: Prometheus) -> Answer:
    return (await oracle.ask({"it": "1"}, datetime.now(UTC)))["it"]


def asked(keys: Path, access: Access, leaf: str = "server") -> Answer:
    async def go() -> Answer:
        async with guarded(keys, leaf) as address:
            oracle = Prometheus(address, access=access)
            try:
                return await ask(oracle)
            finally:
                await oracle.close()

    return asyncio.run(go())


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def test_with_the_token_and_the_authority_it_answers(keys: Path, token: Path) -> None:
    assert asked(keys, Access(str(token), str(keys / "ca.crt"))) == Answer(1.0)


@pytest.mark.parametrize(
    ("token_text", "authority", "leaf", "says"),
    [
        ("another", "ca.crt", "server", "refuses us by HTTP 401; see GENOPS_PROMETHEUS_TOKEN_FILE"),
        (TOKEN, "", "server", "certificate verify failed"),
        (TOKEN, "other-ca.crt", "server", "certificate verify failed"),
        (TOKEN, "ca.crt", "elsewhere", "certificate is not valid for"),
        (TOKEN, "none.crt", "server", "none.crt cannot be read: No such file"),
        (TOKEN, "ca.key", "server", "ca.key holds no certificates in PEM"),
        ("", "ca.crt", "server", "token holds no token"),
        (f"{TOKEN}\nX-Evil: 1", "ca.crt", "server", "token holds no token"),
        (None, "ca.crt", "server", "token cannot be read: No such file"),
    ],
)
def test_whatever_is_wrong_is_no_number_and_names_the_file(
    keys: Path, token: Path, token_text: str | None, authority: str, leaf: str, says: str
) -> None:
    token.unlink()
    if token_text is not None:
        token.write_text(token_text)
    answer = asked(keys, Access(str(token), str(keys / authority) if authority else ""), leaf)
    assert (answer.value, answer.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)
    assert says in answer.message
    assert TOKEN not in answer.message


def test_files_that_are_renewed_are_read_anew(keys: Path, token: Path, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes((keys / "other-ca.crt").read_bytes())
    token.write_text("old")

    async def go() -> list[float | None]:
        async with guarded(keys) as address:
            oracle = Prometheus(address, access=Access(str(token), str(authority)))
            try:
                before = await ask(oracle)
                renewed = tmp_path / "renewed"
                renewed.write_bytes((keys / "ca.crt").read_bytes())
                renewed.rename(authority)
                token.write_text(TOKEN)
                return [before.value, (await ask(oracle)).value]
            finally:
                await oracle.close()

    assert asyncio.run(go()) == [None, 1.0]
