"""One container in a real sandbox, without a cluster: exit codes, signals, limits, logs, messages."""

import asyncio
import shutil
import signal
from types import SimpleNamespace

import pytest

from genops.local.agent import sandbox, status
from genops.local.agent.container import Container, identity
from genops.local.agent.context import PodPlace, base_of
from genops.local.agent.environment import ConfigError
from genops.local.agent.facts import NodeFacts, now
from genops.local.agent.logs import Query, read
from genops.local.agent.rootfs import Point
from genops.local.agent.sandbox import Launch
from genops.local.paths import Paths

BWRAP = shutil.which("bwrap") or ""
pytestmark = pytest.mark.skipif(not BWRAP, reason="needs bubblewrap")
FACTS = NodeFacts("local", "127.1.0.1", 2, 1 << 30, 1 << 30, "127.0.0.1", 1)


def launch(script, points=(), **env):
    return Launch(["sh", "-c", script], {"PATH": "/usr/bin:/bin", **env}, points, 65532, 65532, "box")


async def output(script, **more):
    return await sandbox.run_to_end(launch(script, **more), BWRAP, 30)


async def ended(process):
    """Wait for the end, with the output read to its end, so that nothing is left open for the next test."""
    assert process.outer.stdout is not None
    await asyncio.gather(process.outer.stdout.read(), process.outer.stderr.read())
    return await process.wait()


@pytest.fixture
def make(tmp_path):
    """`make(container, spec)` returns a container on a node without control groups, and what the node said."""

    def build(container, **spec):
        main = {"name": "main", "image": "x", **container}
        pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [main], **spec}}
        said = []
        node = SimpleNamespace(
            facts=FACTS, paths=Paths.of(tmp_path / "c"), bwrap=BWRAP, images={}, cgroups=None, api=None,
            events=SimpleNamespace(say=lambda *args: said.append(args[2])), services=lambda namespace: [],
        )  # fmt: skip
        place = PodPlace(pod, node, "127.1.64.1", lambda: None)
        place.folder.mkdir(parents=True)
        (place.folder / "hosts").write_text("127.0.0.1 localhost\n")
        return Container(main, status.fresh(pod, now()).containers["main"], place), said

    return build


async def test_exit_codes_are_the_commands():
    assert await output("exit 3") == (3, "")
    assert (await output("kill -9 $$"))[0] == 0, "as in a cluster, process 1 does not die of its own signals"
    assert (await output("kill -9 $$; exit 7"))[0] == 7


async def test_only_the_environment_that_was_given_is_seen():
    code, text = await output("env | sort", SECRET="x")
    assert (code, text.split()) == (0, ["PATH=/usr/bin:/bin", "PWD=/", "SECRET=x"])


async def test_variables_do_not_show_in_the_hosts_process_list():
    process = await sandbox.start(launch("sleep 30", SECRET="s3cret"), BWRAP)
    with open(f"/proc/{process.outer.pid}/cmdline") as file:
        assert "s3cret" not in file.read()
    process.kill()
    assert (await ended(process)).code == 137


async def test_a_signal_reaches_the_command_and_the_process_can_be_waited_for_twice():
    process = await sandbox.start(launch("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"), BWRAP)
    assert await process.outer.stdout.readline() == b"up\n"
    process.signal(signal.SIGTERM)
    assert [(await ended(process)).code, (await process.wait()).code] == [9, 9]


async def test_a_command_that_is_not_there_has_not_started():
    process = await sandbox.start(Launch(["no-such"], {"PATH": "/bin"}, (), 1, 1, "box"), BWRAP)
    end = await ended(process)
    assert (end.code, end.started) == (128, False)


async def test_a_short_command_has_a_time_limit():
    assert await sandbox.run_to_end(launch("sleep 30"), BWRAP, 0.2) == (124, "timed out after 0.2 s")


async def test_a_command_killed_before_it_exists_never_lives():
    process = await sandbox.start(launch("echo alive; sleep 60"), BWRAP)
    process.kill()
    assert (await ended(process)).code in (128, 137)


async def test_mount_points_are_made_anywhere(tmp_path):
    (tmp_path / "x").write_text("hello")
    points = [Point("/etc/made/up/x", source=str(tmp_path / "x")), Point("/new", source=str(tmp_path), read_only=False)]
    code, text = await output("cat /etc/made/up/x; echo more > /new/y; touch /etc/z 2>&1", points=points)
    assert text.startswith("hello")
    assert code != 0
    assert (tmp_path / "y").read_text() == "more\n"


async def test_a_container_is_recorded_from_start_to_end(make):
    container, said = make({"command": ["sh", "-c", "echo out; echo -n why > /dev/termination-log; exit 5"]})
    await container.run()
    end = container.record.state["terminated"]
    assert (end["exitCode"], end["reason"], end["message"]) == (5, "Error", "why")
    assert b"".join([text async for text in read(container.log_path, Query(), lambda: True)]) == b"out\n"
    assert said == ["Created", "Started"]


async def test_memory_is_limited_without_control_groups_too(make):
    script = "import time; x = bytearray(b'x' * 2**28); time.sleep(60)"
    container, _ = make({"command": ["python", "-c", script], "resources": {"limits": {"memory": "64Mi"}}})
    await asyncio.wait_for(container.run(), 60)
    end = container.record.state["terminated"]
    assert (end["exitCode"], end["reason"]) == (137, "OOMKilled")


async def test_a_container_that_is_asked_to_end_while_it_starts_ends(make):
    container, said = make({"command": ["sleep", "600"]})
    container.place.kill_at = 0
    container.place.ending.set()
    await asyncio.wait_for(container.run(), 30)
    assert container.record.exit_code == 137
    assert "Killing" in said


async def test_the_grace_may_be_shortened_while_a_container_ends(make):
    container, _ = make({"command": ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"]})
    running = asyncio.ensure_future(container.run())
    while not (container.log_path.exists() and container.log_path.read_bytes()):
        await asyncio.sleep(0.01)
    container.place.kill_at = asyncio.get_running_loop().time() + 600
    stopping = asyncio.ensure_future(container.stop(""))
    await asyncio.sleep(0)
    container.place.kill_at = 0
    await asyncio.wait_for(asyncio.gather(running, stopping), 30)
    assert container.record.exit_code == 137


async def test_root_is_refused_where_the_pod_says_so(make):
    container, _ = make(
        {"command": ["true"], "securityContext": {"runAsUser": 0}}, securityContext={"runAsNonRoot": True}
    )
    with pytest.raises(ConfigError, match="non-root"):
        await container.run()


async def test_a_working_folder_that_is_not_there_is_made(make):
    container, _ = make({"command": ["sh", "-c", "pwd > /dev/termination-log"], "workingDir": "/srv/app/deep"})
    await container.run()
    assert container.record.state["terminated"]["message"] == "/srv/app/deep\n"


@pytest.mark.parametrize(
    ("pod", "container", "expected"),
    [
        ({}, {}, (65532, 65532)),
        ({"runAsUser": 1}, {}, (1, 1)),
        ({"runAsUser": 1, "runAsGroup": 2}, {"runAsUser": 3}, (3, 2)),
        ({}, {"runAsUser": 0}, (0, 0)),
    ],
)
def test_whom_a_container_runs_as(pod, container, expected):
    assert identity({"spec": {"securityContext": pod}}, {"securityContext": container}) == expected


def test_the_base_of_a_virtual_environment_is_read(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("home = /opt/python/3.12/bin\nversion = 3.12\n")
    assert base_of(str(tmp_path)) == "/opt/python/3.12"
    assert base_of(str(tmp_path / "none")) == ""
