"""The console and its database are broken, locked and killed: calls never notice, and the index is whole afterwards."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.server import CONSOLE, REPOSITORY, Server, running_server

PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    async with Phone(host="127.0.0.1", port=0, ports=PortPool("127.0.0.1", 29000, 29998)) as phone:
        yield phone


def _console(server: Server) -> list[int]:
    found = []
    for pid in server.children():
        try:
            if b"offhook.console" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def _indexed(server: Server) -> list[str]:
    try:
        with closing(sqlite3.connect(server.folder / "offhook.db", timeout=0.2)) as database:
            return [
                str(row[0]) for row in database.execute("select id from calls where ended_at is not null")
            ]
    except sqlite3.Error:
        return []


async def _one_call(server: Server, phone: Phone) -> str:
    call = await phone.dial(server.uri())
    call.hang_up()
    await call.ended()
    folder = await server.last_call()
    await server.finished(folder)
    return folder.path.name


async def test_a_database_that_is_no_database_costs_no_call_and_is_filled_again(tmp_path: Path) -> None:
    """The console tries again and again, with a pause that grows; whoever deletes the file has the index back."""
    database = tmp_path / "offhook.db"
    database.write_bytes(b"this is not a database, whatever its name says" * 100)
    async with (
        running_server(tmp_path, console=CONSOLE, dialplan=PLAN, workers=1) as server,
        _phone() as phone,
    ):
        call_id = await _one_call(server, phone)
        await server.until(lambda: any("helper_lost" in line for line in server.log), "restart", 20)
        database.unlink()
        await server.until(lambda: _indexed(server) == [call_id], "index", 40)


async def test_a_locked_database_costs_no_call(tmp_path: Path) -> None:
    """Somebody's backup holds it for longer than the console waits."""
    async with (
        running_server(tmp_path, console=CONSOLE, dialplan=PLAN, workers=1) as server,
        _phone() as phone,
    ):
        await server.until(lambda: (tmp_path / "offhook.db").exists(), "database", 20)
        first = await _one_call(server, phone)
        await server.until(lambda: _indexed(server) == [first], "index", 20)
        with closing(sqlite3.connect(tmp_path / "offhook.db", isolation_level=None)) as backup:
            backup.execute("begin exclusive")
            second = await _one_call(server, phone)
            for pid in _console(server):
                os.kill(pid, signal.SIGKILL)
            third = await _one_call(server, phone)
            backup.execute("rollback")
        await server.until(lambda: set(_indexed(server)) == {first, second, third}, "index", 40)


async def test_logs_of_a_call_name_it_and_hide_people_when_asked(tmp_path: Path) -> None:
    """`log: {format: json, redact: yes}`: no line holds the number that was dialled, as grep would find it."""
    settings = "log: {level: debug, format: json, redact: yes}\n"
    async with (
        running_server(
            tmp_path, dialplan=REPOSITORY / "dialplans" / "demo.yaml", settings=settings
        ) as server,
        _phone() as phone,
    ):
        call_id = await _one_call(server, phone)
        await server.until(lambda: any("call_ended" in line for line in server.log), "end in the log", 20)
        lines = [json.loads(line) for line in server.log if line.startswith("{")]
    ours = [line for line in lines if line["event"].startswith("call_")]
    assert ours and all(line.get("call_id") == call_id for line in ours)
    hidden = [value for line in lines for name, value in line.items() if name.startswith("pii_")]
    assert all(value == "***" for value in hidden)
