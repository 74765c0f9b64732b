"""A saved dial plan takes effect under load: no call is lost, none is misrouted, and a broken file changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.live.server import Server, running_server
from tests.live.sipp import SippRun

LONG, SHORT = "100", "200"
AGENTS = ("anna", "berta", "clara")
HELD_S = 25
RATE = 20  # calls a second
TOKEN = "a-token-of-an-editor-0"  # noqa: S105


def plan(agent: str) -> str:
    """Short calls go to this agent, who is only in this version; so do long ones."""
    return (
        f"version: 1\nagents: {{{agent}: {{instructions: Answer., greeting: This is {agent}.}}}}\n"
        f"numbers:\n  - {{number: '{LONG}', agent: {agent}}}\n  - {{number: '{SHORT}', agent: {agent}}}\n"
        f"tests: [{{call: '{SHORT}', expect: {agent}}}]\n"
    )


def save(path: Path, text: str) -> None:
    """As editors do: another file in its place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


async def changes(server: Server, result: str) -> float:
    return (await server.metrics()).get(f'offhook_plan_changes_total{{result="{result}"}}', 0.0)


async def taken(server: Server, count: int, result: str = "in_use") -> None:
    await server.until_metric(
        lambda: changes(server, result), lambda value: value >= count, f"{result} number {count}", 30
    )


def logged(server: Server, words: str) -> bool:
    return words in " ".join(server.log)


def history(server: Server) -> list[dict[str, Any]]:
    text = (server.folder / "plans" / "plan" / "history.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.alone
@pytest.mark.timeout(180)
async def test_50_calls_and_20_a_second_go_through_six_changes_and_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(plan(AGENTS[0]))
    settings = "plan_watch_s: 0.2\naccess: {per_second: 0, per_second_source: 0}\n"
    async with running_server(tmp_path, dialplan=path, settings=settings) as server:
        await server.until(lambda: (tmp_path / "plans/plan/history.jsonl").exists(), "first version", 10)
        held = SippRun(
            "uac_talk", server.sip_port, number=LONG, calls=50, calls_a_second=50, hold_ms=HELD_S * 1000
        )
        holding = asyncio.create_task(held.result(tmp_path / "held"))
        await server.until_metric(
            lambda: _calls(server), lambda calls: calls >= 50, "fifty calls on the line", 20
        )
        stream = SippRun(
            "uac_talk", server.sip_port, number=SHORT, calls=14 * RATE, calls_a_second=RATE, hold_ms=500
        )
        streaming = asyncio.create_task(stream.result(tmp_path / "stream"))
        for turn in range(6):
            save(path, plan(AGENTS[(turn + 1) % 3]))
            await taken(server, turn + 1)
        before = (await server.metrics()), path.read_text()
        save(path, before[1].replace("agent: anna", "agent: bertha"))
        await taken(server, 1, "refused")
        assert (await server.metrics())["offhook_plan_refused"] == 1.0
        streamed = await streaming
        held_well = await holding
        await server.idle()
        assert (streamed.succeeded, streamed.failed) == (14 * RATE, 0), server.tell(streamed.explain())
        assert (held_well.succeeded, held_well.failed) == (50, 0), server.tell(held_well.explain())
        _right(server)
        stall_s = (await server.metrics())["offhook_plan_stall_seconds"]
        print(f"longest wait of the switch during a change: {stall_s * 1000:.1f} ms")


async def _calls(server: Server) -> float:
    return (await server.metrics()).get("offhook_calls", 0.0)


def _right(server: Server) -> None:
    """Every call was taken by the agent of the version that was in use when it came, and heard nobody else."""
    used = [fact for fact in history(server) if fact["what"] == "in_use"]
    agent_of = {fact["version"]: AGENTS[at % 3] for at, fact in enumerate(used)}
    seen: dict[str, int] = {}
    for call in server.calls():
        facts = call.facts
        version = facts["plan"]["version"]
        assert facts["agent"] == agent_of[version], facts
        entered = [event["agent"] for event in call.of("AgentEntered")]
        assert entered == [facts["agent"]], call.story()
        assert facts["cause"] == "caller_hung_up", facts
        if facts["called"] == LONG:
            assert version == used[0]["version"], "a call that was on the line has changed its plan"
        seen[version] = seen.get(version, 0) + 1
    assert sum(seen.values()) == 50 + 14 * RATE
    assert len(seen) == 3, f"all three versions should have taken calls: {seen}"
    (refused,) = [fact for fact in history(server) if fact["what"] == "refused"]
    assert "no agent 'bertha'" in refused["problems"][0]


async def test_whatever_is_wrong_with_a_saved_plan_the_one_before_goes_on(tmp_path: Path) -> None:
    """Not YAML, an unknown name, a failing test of its own, a tool that workers cannot import, a file that is gone."""
    path = tmp_path / "plan.yaml"
    path.write_text(plan("anna"))
    broken = {
        "{": "not YAML",
        plan("anna").replace("agent: anna", "agent: anne"): "Did you mean 'anna'?",
        plan("anna").replace("expect: anna", "expect: '404'"): "200 goes to anna, not 404",
        plan("anna").replace("Answer.,", "Answer., llm: groqq,"): "no llm provider 'groqq'",
    }
    async with running_server(tmp_path, dialplan=path, settings="plan_watch_s: 0.1\n", workers=1) as server:
        for count, (text, words) in enumerate(broken.items(), 1):
            save(path, text)
            await taken(server, count, "refused")
            await server.until(partial(logged, server, words), f"a line with {words!r}", 10)
            assert words in " ".join(history(server)[-1]["problems"])
        path.unlink()
        await taken(server, len(broken) + 1, "refused")
        called = await SippRun("uac_talk", server.sip_port, number=SHORT, hold_ms=300).result(
            tmp_path / "call"
        )
        assert called.succeeded == 1, server.tell(called.explain())
        call = await server.last_call()
        assert (await server.finished(call))["agent"] == "anna"
        save(path, plan("berta"))
        await taken(server, 1)
        assert (await server.metrics())["offhook_plan_refused"] == 0.0
        os.kill(server.pid, 1)  # SIGHUP: read it again, changed or not
        await taken(server, 2)


async def test_a_plan_that_comes_over_the_api_is_in_use_when_the_answer_comes(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(plan("anna"))
    settings, port = "plan_watch_s: 0.1\n", free_port()
    os.environ["TEST_PLAN_TOKEN"] = TOKEN
    try:
        async with running_server(
            tmp_path,
            dialplan=path,
            settings=settings,
            workers=1,
            console=f"{{port: {port}, tokens: [{{name: anna, role: editor, token_env: TEST_PLAN_TOKEN}}]}}",
        ) as server:
            url = f"http://127.0.0.1:{port}"
            await server.until(lambda: listens(port), "console", 30)
            assert all(TOKEN.encode() not in _environ(pid) for pid in _consoles(server)), (
                "only a digest is handed on"
            )
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
                async with session.get(f"{url}/api/plan") as got:
                    etag = got.headers["ETag"]
                headers = {"If-Match": etag, "X-Reason": "berta is back"}
                async with session.put(f"{url}/api/plan", data=plan("berta"), headers=headers) as put:
                    assert put.status == 200, await put.text()
                    version = (await put.json())["version"]
                called = await SippRun("uac_talk", server.sip_port, number=SHORT, hold_ms=300).result(
                    tmp_path / "1"
                )
                assert called.succeeded == 1
                facts = (await server.last_call()).facts
                assert (facts["agent"], facts["plan"]["version"]) == ("berta", version)
                async with session.post(f"{url}/api/plan/rollback", json={"reason": "no"}) as back:
                    assert back.status == 200, await back.text()
            assert path.read_text() == plan("anna")
            used = [(fact["author"], fact["reason"]) for fact in history(server) if fact["what"] == "in_use"]
            assert used[1:] == [("anna", "berta is back"), ("anna", "no")]
    finally:
        del os.environ["TEST_PLAN_TOKEN"]


async def test_editors_who_race_by_file_and_by_api_lose_nothing_and_everything_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two who saw the same plan one is refused; so is who did not see an edit by hand. Roles hold, refusals are
    in the audit log, and a rollback is in use when its answer comes."""
    path, port = tmp_path / "plan.yaml", free_port()
    path.write_text(plan("anna"))
    tokens = {role: f"a-token-of-the-{role}-0" for role in ("viewer", "editor", "admin")}
    for role, token in tokens.items():
        monkeypatch.setenv(f"TEST_PLAN_{role.upper()}", token)
    listed = ", ".join(
        f"{{name: {role}, role: {role}, token_env: TEST_PLAN_{role.upper()}}}" for role in tokens
    )
    settings = "plan_watch_s: 0.1\n"
    async with (
        running_server(
            tmp_path,
            dialplan=path,
            settings=settings,
            workers=1,
            console=f"{{port: {port}, tokens: [{listed}]}}",
        ) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        await server.until(lambda: listens(port), "console", 30)

        async def ask(method: str, what: str, role: str, text: str = "", etag: str = "") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {tokens[role]}"} | ({"If-Match": etag} if etag else {})
            async with session.request(method, f"/api/plan{what}", data=text, headers=headers) as got:
                return got.status, (await got.json() if "json" in got.content_type else got.headers["ETag"])

        (_, seen), roles = await ask("GET", "", "viewer"), {}
        for role in tokens:
            roles[role] = (await ask("PUT", "", role, "{", seen))[0], (await ask("GET", "/audit", role))[0]
        assert roles == {"viewer": (403, 403), "editor": (422, 403), "admin": (422, 200)}
        raced = await asyncio.gather(*[ask("PUT", "", "editor", plan(name), seen) for name in AGENTS[1:]])
        assert sorted(status for status, _ in raced) == [200, 412]
        (_, seen), won = await ask("GET", "", "viewer"), path.read_text()
        save(path, plan("dora"))
        assert (await ask("PUT", "", "editor", plan("anna"), seen))[0] == 412, (
            "it was edited by hand meanwhile"
        )
        assert path.read_text() == plan("dora")
        await taken(server, 2)
        began = asyncio.get_running_loop().time()
        status, back = await ask("POST", "/rollback", "editor", '{"reason": "dora is ill"}')
        took_s = asyncio.get_running_loop().time() - began
        assert status == 200 and back["in_use"] and path.read_text() == won
        print(f"rolled back in {took_s:.2f} s")
        _, log = await ask("GET", "/audit", "admin")
    deeds = [(deed["who"], deed["method"], deed["path"], deed["status"]) for deed in log["audit"]]
    assert deeds.count(("viewer", "PUT", "/api/plan", 403)) == 1
    assert deeds.count(("editor", "PUT", "/api/plan", 412)) == 2
    assert deeds.count(("editor", "PUT", "/api/plan", 200)) == 1
    assert ("editor", "POST", "/api/plan/rollback", 200) in deeds
    used = [(fact["version"], fact["author"]) for fact in history(server) if fact["what"] == "in_use"]
    assert len(used) == 4 and used[1] == used[3] and used[1][1] == "editor", used


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _consoles(server: Server) -> list[int]:
    return [
        pid for pid in server.children() if b"offhook.console" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _environ(pid: int) -> bytes:
    """What the console was told, without what it inherited from us."""
    inherited = f"TEST_PLAN_TOKEN={TOKEN}".encode()
    return Path(f"/proc/{pid}/environ").read_bytes().replace(inherited, b"")
