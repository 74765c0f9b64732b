"""The console indexes what the switch tells it of and answers over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from offhook.bundle import Bundle, iso
from offhook.console.records import Records, beside
from offhook.console.server import application, follow, serve

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def write_call(root: Path, call_id: str) -> Path:
    """A finished call in which the caller said one thing."""
    with Bundle.create(root, call_id, NOON, {"caller": "+15550100", "called": "100"}) as bundle:
        bundle.append({"type": "UserTurnCommitted", "text": "hello", "understood": True}, at=5.0, wall=NOON)
        bundle.close(
            {"ended": iso(NOON), "duration_s": 1.0, "ended_by": "agent", "code": 200, "cause": "bye"}
        )
    return bundle.path


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    async with Records.open(beside(tmp_path)) as records:
        yield records


@pytest.fixture
async def client(records: Records) -> AsyncIterator[TestClient[Request, Application]]:
    async with TestClient(TestServer(application(records))) as client:
        yield client


async def test_calls_are_listed_and_shown_over_http(
    tmp_path: Path, records: Records, client: TestClient[Request, Application]
) -> None:
    """A list of detail records; one of them with its transcript, by a prefix of its id."""
    await records.index(write_call(tmp_path, "c1"))
    listed = await (await client.get("/api/calls")).json()
    assert [(call["id"], call["caller"], call["turns"]) for call in listed["calls"]] == [
        ("c1", "+15550100", 1)
    ]
    shown = await (await client.get("/api/calls/c")).json()
    assert shown["call"] == listed["calls"][0]
    assert [(line["speaker"], line["text"]) for line in shown["transcript"]] == [("caller", "hello")]


async def test_what_cannot_be_answered_is_refused_with_a_reason(
    tmp_path: Path, records: Records, client: TestClient[Request, Application]
) -> None:
    """Unknown and ambiguous ids, and a limit that is no number of calls."""
    for call_id in ("c1", "c2"):
        await records.index(write_call(tmp_path, call_id))
    for url, status, words in (
        ("/api/calls/zz", 404, "no call has the id 'zz'"),
        ("/api/calls/c", 409, "several ids: c1, c2"),
        ("/api/calls?limit=-1", 400, "limit='-1'"),
        ("/api/calls?limit=many", 400, "limit='many'"),
        ("/api/calls?limit=1001", 400, "from 1 to 1000"),
        ("/api/calls?limit=%C2%B2", 400, "limit='²'"),
    ):
        answer = await client.get(url)
        assert answer.status == status, url
        assert words in (await answer.json())["error"]
    assert (await client.get("/healthz")).status == 200


async def test_the_switch_tells_of_a_call_and_a_bad_message_costs_only_itself(
    tmp_path: Path, records: Records
) -> None:
    """Not JSON, an unknown type, a path outside, a folder without a call: then a good one."""
    told = write_call(tmp_path, "c1")
    outside = write_call(tmp_path / "elsewhere", "c2")
    lines = [
        b"not json",
        b'"text"',
        b'{"type": "from the future"}',
        b'{"type": "bundle"}',
        json.dumps({"type": "bundle", "path": str(outside)}).encode(),
        json.dumps({"type": "bundle", "path": str(tmp_path / "2026-03-04" / "none")}).encode(),
        json.dumps({"type": "bundle", "path": "/a\0b"}).encode(),
        b"x" * 200_000,
        json.dumps({"type": "bundle", "path": str(told)}).encode(),
    ]
    reader = asyncio.StreamReader()
    reader.feed_data(b"\n".join(lines) + b"\n")
    reader.feed_eof()
    await follow(reader, records, tmp_path / "2026-03-04")
    assert [call.id for call in await records.recent()] == ["c1"]


@asynccontextmanager
async def running(calls_dir: Path) -> AsyncIterator[tuple[str, int, asyncio.Task[None]]]:
    """A console as the switch runs it: its URL, the switch's end of the link, its task."""
    ours, theirs = os.pipe()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    console = asyncio.create_task(serve(calls_dir, beside(calls_dir), link_fd=ours, ready=ready.set_result))
    try:
        yield await ready, theirs, console
    finally:
        console.cancel()
        await asyncio.gather(console, return_exceptions=True)


async def test_the_console_ends_when_the_switch_is_gone(tmp_path: Path) -> None:
    """No orphan stays behind, whatever became of the switch."""
    async with running(tmp_path) as (url, link, console), ClientSession() as http:
        assert (await http.get(f"{url}/healthz")).status == 200
        os.close(link)
        await console


async def test_a_fresh_console_finds_the_calls_that_were_taken_without_it(tmp_path: Path) -> None:
    """It catches up from the bundles, then follows the link."""
    write_call(tmp_path, "before")
    async with running(tmp_path) as (url, link, _), ClientSession() as http:
        os.write(
            link, json.dumps({"type": "bundle", "path": str(write_call(tmp_path, "after"))}).encode() + b"\n"
        )
        ids: list[str] = []
        while len(ids) < 2:
            ids = sorted(call["id"] for call in (await (await http.get(f"{url}/api/calls")).json())["calls"])
        assert ids == ["after", "before"]
        os.close(link)


async def test_the_console_is_a_process_of_its_own(tmp_path: Path) -> None:
    """`python -m offhook.console` ends with the link, without an error and without a word on stderr."""
    ours, theirs = os.pipe()
    write_call(tmp_path, "c1")
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "offhook.console",
            "--calls-dir",
            str(tmp_path),
            "--link-fd",
            str(ours),
            "--log-level",
            "debug",
        ),
        pass_fds=[ours],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(ours)
    assert process.stderr is not None
    assert b"http://127.0.0.1:" in await process.stderr.readline()
    os.close(theirs)
    assert await process.communicate() == (b"", b"")
    assert process.returncode == 0
