"""The server is started with nothing open that serving does not need, and ready means right."""

import threading
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gencontract.codes import Code
from gentrainers.errors import JobError
from gentrainers.serving import launcher
from gentrainers.serving.client import difference
from gentrainers.serving.launcher import Listen, Triton
from gentrainers.serving.readiness import Readiness

OLD = frozenset({"--model-repository", "--model-control-mode", "--http-address", "--http-restricted-api"})
HERE = Listen("127.0.0.1", 1, 2, 3)


def a_command(flags: frozenset[str]) -> list[str]:
    triton = Triton(Path("/t/bin/tritonserver"), "", flags, {"python": Path("/t/backends/python")})
    return launcher.command(triton, Path("/repository"), Path("/t/backends"), HERE)


def test_flags_that_a_version_lacks_are_left_out() -> None:
    assert not [word for word in a_command(OLD) if "client-shm" in word]
    assert "--allow-client-shm=false" in a_command(OLD | {"--allow-client-shm"})


def test_control_apis_are_closed_by_a_key_of_this_start_only() -> None:
    first, second = (next(w for w in a_command(OLD) if "restricted" in w) for _ in range(2))
    assert "model-repository,shared-memory" in first
    assert first != second
    assert "--model-control-mode=none" in a_command(OLD)


def test_no_server_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launcher, "IMAGE", tmp_path / "opt")
    monkeypatch.setattr(launcher.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    with pytest.raises(JobError, match="extra `server`") as caught:
        launcher.find()
    assert caught.value.code == Code.UNSUPPORTED


def test_an_image_is_found_by_path_and_asked_for_its_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "backends/onnxruntime").mkdir(parents=True)
    program = tmp_path / "bin/tritonserver"
    program.write_text("#!/bin/sh\necho '  --model-repository <string>'\necho '  --allow-client-shm <boolean>'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    triton = launcher.find()
    assert triton.flags == {"--model-repository", "--allow-client-shm"}
    assert list(triton.backends) == ["onnxruntime"]
    assert launcher.backend_folder(triton, tmp_path / "scratch") == tmp_path / "backends"


def test_a_program_that_does_not_start_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho 'libcuda.so: cannot open' >&2; exit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(JobError, match=r"libcuda\.so"):
        launcher.find()


def test_the_reason_of_an_end_is_in_tritons_own_words() -> None:
    lines = deque(
        [
            'I1125 02:54:31 model_lifecycle.cc:472] "loading: generator:1"\n',
            'E1125 02:54:33 model_lifecycle.cc:642] "failed to load generator: no such input"\n',
            "| generator | 1 | UNAVAILABLE |\n",
            "Error: Failed to initialize NVML\n",
        ]
    )
    server = launcher.Server(process=None, lines=lines)  # type: ignore[arg-type]
    assert server.why() == 'E1125 02:54:33 model_lifecycle.cc:642] "failed to load generator: no such input"'


def asked(endpoint: Readiness, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_are_answered_by_the_state_of_the_moment() -> None:
    state = {"ready": "starting"}
    endpoint = Readiness("127.0.0.1", 0, lambda: state["ready"], lambda: "")
    try:
        assert asked(endpoint, "/readyz") == (503, "starting\n")
        assert asked(endpoint, "/livez") == (200, "ok\n")
        state["ready"] = ""
        assert asked(endpoint, "/readyz?verbose") == (200, "ok\n")
        assert asked(endpoint, "/secret")[0] == 404
    finally:
        endpoint.close()


def test_a_silent_client_does_not_hold_up_probes() -> None:
    import socket

    endpoint = Readiness("127.0.0.1", 0, lambda: "", lambda: "")
    try:
        with socket.create_connection(("127.0.0.1", endpoint.port)):
            answers: list[Any] = []
            thread = threading.Thread(target=lambda: answers.append(asked(endpoint, "/readyz")))
            thread.start()
            thread.join(3)
            assert answers == [(200, "ok\n")]
    finally:
        endpoint.close()


PIXELS = np.full((2, 10, 10, 1), 128, np.uint8)


def off(by: int, places: int) -> Any:
    other = PIXELS.copy()
    other.reshape(-1)[:places] += by
    return other


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (PIXELS, ""),
        (off(15, 3), ""),  # one level of 17, in 1.5 % of places
        (off(15, 20), "10.0% of them differ"),
        (off(60, 1), "up to 60 apart"),
        (np.zeros((0,), np.uint8), "numpy below 2"),
        (PIXELS[:1], "shape [1, 10, 10, 1]"),
    ],
    ids=["equal", "rounded", "too many", "too far", "empty", "too few"],
)
def test_a_first_generation_may_differ_by_rounding_only(got: Any, says: str) -> None:
    answer = difference(got, PIXELS, levels=16)
    assert (says in answer) if says else answer == ""


def test_sequences_and_numbers_are_compared_in_their_own_ways() -> None:
    tokens = np.array([[1, 2], [3, 4], [5, 6]])
    assert difference(np.array([[1, 2], [3, 4], [5, 7]]), tokens) == ""
    assert "67% of the sequences" in difference(np.array([[1, 2], [0, 4], [5, 7]]), tokens)
    rows = np.array([[1.0], [2.0]])
    assert difference(rows + 1e-3, rows) == ""
    assert "inf" in difference(rows * np.nan, rows)
