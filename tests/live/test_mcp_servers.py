"""Real MCP servers behind an agent's tools: used, refused, hung, killed, and gone when they should be."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from offhook.softphone import Line, place_call
from pipeline.agent.conversation import Conversation
from pipeline.agent.mcp import McpServer
from pipeline.agent.tools import RunContext
from pipeline.errors import ToolError
from tests.live.server import REPOSITORY, running_server

DESK = str(Path(__file__).with_name("mcp_desk.py"))
CONTEXT = RunContext(cast("Conversation", None), "key-1")


@asynccontextmanager
async def _desk(**options: Any) -> AsyncIterator[McpServer]:
    """The desk over stdio, unless there is a url."""
    where = {} if "url" in options else {"command": [sys.executable, DESK, "stdio"]}
    server = McpServer("desk", **{"connect_timeout_s": 20.0, **where, **options})
    await server.acquire()
    try:
        yield server
    finally:
        await server.release()


async def _call(server: McpServer, name: str, arguments: str = "{}") -> str:
    tools = {tool.spec.name: tool for tool in server.tools}
    return str(await tools[name].call(CONTEXT, arguments))


async def _until_gone(pid: int) -> None:
    """Until no such process runs."""
    async with asyncio.timeout(5):
        while _runs(pid):  # noqa: ASYNC110 # it is not our child
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def _until_back(server: McpServer) -> None:
    async with asyncio.timeout(20):
        while not server.connected:  # noqa: ASYNC110 # another process
            await asyncio.sleep(0.02)


async def test_a_servers_tools_come_with_their_schemas_and_answer_in_text() -> None:
    async with _desk(allow=["add", "look_up"], prefix="crm.") as server:
        assert [tool.spec.name for tool in server.tools] == ["crm_add", "crm_look_up"], (
            "as models allow names"
        )
        add = server.tools[0].spec
        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["a", "b"]
        assert await _call(server, "crm_add", "{'a': 1, 'b': 2,}") == "3"
        assert '"name": "Ann"' in await _call(server, "crm_look_up", '{"number": "4711"}')


async def test_what_a_server_calls_an_error_is_an_error_for_the_model() -> None:
    async with _desk() as server:
        with pytest.raises(ToolError, match="no customer 1"):
            await _call(server, "look_up", '{"number": "1"}')
        with pytest.raises(ToolError, match="valid integer"):
            await _call(server, "add", '{"a": "x"}')


async def test_a_server_gets_its_own_environment_the_key_of_the_call_and_no_secret_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "sesame")
    async with _desk(env={"DESK_TOKEN": "t0k3n"}) as server:
        _, *rest = (await _call(server, "whoami")).split()
        assert rest == ["t0k3n", "key-1"]


async def test_a_server_that_hangs_costs_its_call_only() -> None:
    async with _desk(call_timeout_s=0.5) as server:
        hanging = asyncio.create_task(_call(server, "hang"))
        assert await _call(server, "add", '{"a": 2, "b": 2}') == "4"
        with pytest.raises(ToolError, match=r"did not answer hang within 0.5 s. It may or may not be done."):
            await hanging
        assert await _call(server, "add", '{"a": 2, "b": 3}') == "5"


async def test_a_server_killed_in_the_middle_of_a_call_is_missed_for_a_moment_and_comes_back() -> None:
    """Its death costs only these tools."""
    async with _desk() as server:
        before = (await _call(server, "whoami")).split()[0]
        hanging = asyncio.create_task(_call(server, "hang"))
        await asyncio.sleep(0)
        os.kill(int(before), signal.SIGKILL)
        with pytest.raises(ToolError, match="desk"):
            await hanging
        async with asyncio.timeout(5):
            while server.connected:  # noqa: ASYNC110 # another process
                await asyncio.sleep(0.01)
        with pytest.raises(ToolError, match="desk cannot be reached at the moment"):
            await _call(server, "add", '{"a": 1, "b": 1}')
        await _until_back(server)
        after = (await _call(server, "whoami")).split()[0]
        assert after != before
    await _until_gone(int(after))


async def test_a_stubborn_server_and_its_children_are_gone_when_it_is_closed() -> None:
    loop = asyncio.get_running_loop()
    async with _desk() as server:
        pids = [int(pid) for pid in (await _call(server, "stubborn")).split()]
        closing = loop.time()
    assert loop.time() - closing < 3.0, "a worker has five seconds to leave"
    assert not any(_runs(pid) for pid in pids)


async def test_a_server_does_not_outlive_a_killed_worker() -> None:
    """Nobody is left to close it: SIGKILL, or out of memory."""
    script = f"""
import asyncio, sys
from pipeline.agent.mcp import McpServer
from pipeline.agent.tools import RunContext
async def work():
    server = McpServer("desk", command=[sys.executable, {DESK!r}, "stdio"], connect_timeout_s=20.0)
    await server.acquire()
    tools = {{tool.spec.name: tool for tool in server.tools}}
    print(await tools["stubborn"].call(RunContext(None, ""), ""), flush=True)
    await asyncio.sleep(60)
asyncio.run(work())
"""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    assert worker.stdout is not None
    pids: list[int] = []
    async with asyncio.timeout(30):
        while not pids:
            line = (await worker.stdout.readline()).decode().split()
            pids = [int(word) for word in line] if line and all(word.isdigit() for word in line) else []
    assert all(_runs(pid) for pid in pids)
    worker.kill()
    await worker.wait()
    for pid in pids:
        await _until_gone(pid)


@pytest.mark.parametrize(
    "command",
    [
        ["/no/such/program"],
        ["false"],
        ["sleep", "60"],
        ["yes"],
        ["head", "-c", "3000000", "/dev/zero"],
    ],
)
async def test_what_is_no_server_has_no_tools_and_holds_nobody_up(command: list[str]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with _desk(command=command, connect_timeout_s=1.0) as server:
        assert loop.time() - began < 2.0
        assert list(server.tools) == []
    assert loop.time() - began < 5.0


# ---------------------------------------------------------------- over HTTP


@asynccontextmanager
async def _http_desk(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, DESK, "http", str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_server_over_http_is_used_lost_and_found_again() -> None:
    port = _free_port()
    async with _desk(url=f"http://127.0.0.1:{port}/mcp", connect_timeout_s=1.0, call_timeout_s=2.0) as server:
        assert list(server.tools) == [], "it does not run yet"
        async with _http_desk(port):
            await _until_back(server)
            assert await _call(server, "add", '{"a": 20, "b": 3}') == "23"
            with pytest.raises(ToolError, match="desk"):
                await _call(server, "crash")
            with pytest.raises(ToolError, match="desk"):
                await _call(server, "add", '{"a": 1, "b": 1}')
        async with _http_desk(port):
            async with asyncio.timeout(20):
                while True:
                    try:
                        assert await _call(server, "add", '{"a": 2, "b": 1}') == "3"
                        break
                    except ToolError:
                        await asyncio.sleep(0.1)


async def test_headers_of_the_plan_reach_the_server() -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if not seen.done():
            seen.set_result(head.lower())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = web.sockets[0].getsockname()[1]
    headers = {"Authorization": "Bearer t0k3n"}
    async with (
        web,
        _desk(url=f"http://127.0.0.1:{port}/mcp", headers=headers, connect_timeout_s=2.0) as server,
    ):
        assert "authorization: bearer t0k3n" in await seen
        assert list(server.tools) == []


# ---------------------------------------------------------------- by phone


async def test_the_example_with_an_mcp_server_can_be_phoned(tmp_path: Path) -> None:
    """The caller keys in a number, a tool of the server finds it; no process stays behind (running_server)."""
    plan = REPOSITORY / "examples" / "customers.yaml"
    async with running_server(tmp_path, dialplan=plan, workers=1) as server:
        result = await place_call(server.uri(), [Line("keys", keys="4711#")], timeout_s=30.0, linger=False)
        call = await server.last_call()
        await server.finished(call)
        assert result is not None
        (finished,) = call.of("ToolFinished")
        assert finished["name"] == "order_status", call.story()
        assert finished["ok"]
        assert "Hello Ann Miller. Your order is on its way." in call.of("AgentSpoke")[-1]["text"], (
            call.story()
        )
