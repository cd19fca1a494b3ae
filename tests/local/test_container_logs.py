"""Logs: how lines are stored, and what a reader gets."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from genops.local.agent import logs
from genops.local.agent.logs import LONGEST, Query

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def stored(*texts):
    return [f"2026-01-01T12:00:0{n}.000000000Z stdout F {text}\n".encode() for n, text in enumerate(texts)]


async def read(path, query, ended=lambda: True):
    return b"".join([text async for text in logs.read(path, query, ended)]).decode()


async def pumped(path, *chunks):
    reader = asyncio.StreamReader()
    for chunk in chunks:
        reader.feed_data(chunk)
    reader.feed_eof()
    with path.open("ab") as file:
        await logs.pump(reader, "stdout", file)


async def test_lines_come_back_as_they_were_written(tmp_path):
    await pumped(tmp_path / "log", b"one\ntw", b"o\n\nlast")
    assert await read(tmp_path / "log", Query()) == "one\ntwo\n\nlast\n"


@pytest.mark.parametrize("size", [LONGEST, LONGEST + 1, 5 * LONGEST])
async def test_long_lines_are_stored_in_parts_and_read_as_one(tmp_path, size):
    await pumped(tmp_path / "log", b"x" * size + b"\nend\n")
    assert await read(tmp_path / "log", Query()) == "x" * size + "\nend\n"


async def test_a_reader_chooses(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(stored("a", "b", "c")))
    assert await read(path, Query(tail=2)) == "b\nc\n"
    assert await read(path, Query(tail=0)) == ""
    assert await read(path, Query(since=NOW + timedelta(seconds=1))) == "b\nc\n"
    assert await read(path, Query(timestamps=True, tail=1)) == "2026-01-01T12:00:02.000000000Z c\n"
    assert await read(path, Query(limit_bytes=3)) == "a\nb"


async def test_a_follower_gets_what_comes_until_the_end(tmp_path):
    path, over = tmp_path / "log", asyncio.Event()
    path.write_bytes(b"".join(stored("a")))
    following = asyncio.ensure_future(read(path, Query(follow=True), over.is_set))
    await asyncio.sleep(0)
    with path.open("ab") as file:
        file.write(stored("b")[0])
    over.set()
    assert await asyncio.wait_for(following, 10) == "a\nb\n"


def test_parameters_are_read():
    query = logs.parse_query({"follow": "true", "tailLines": "5", "sinceSeconds": "60", "limitBytes": "9"}, NOW)
    assert query == Query(True, False, 5, NOW - timedelta(seconds=60), 9)
    assert logs.parse_query({"sinceTime": "2026-01-01T11:00:00Z"}, NOW).since == NOW - timedelta(hours=1)
    assert logs.parse_query({}, NOW) == Query()


def test_the_end_of_a_log_is_kept_for_the_termination_message(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"".join(stored("a", "b", "c")))
    assert logs.last_text(path, 2048, 2) == "b\nc\n"
    assert logs.last_text(path, 2, 80) == "c\n"
    assert logs.last_text(tmp_path / "none", 10, 10) == ""
