"""Targets of a dial plan on the wire: a menu by keys, somebody who is phoned, voicemail, an agent that crashes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.live.server import CallFolder, Server, running_server
from tests.live.talker import Talker, talkers

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

PLAN = """
version: 1
name: Targets
agents:
  broken: {{python: "tests.live.crashing:Crashing"}}
targets:
  menu: {{menu: {{say: Press one., keys: {{"1": desk, "2": box}}}}}}
  desk: {{ring: {{target: "{target}", ring: 3s, then: box}}}}
  box: {{voicemail: {{say: Please speak., max: 5s, thanks: Thank you.}}}}
numbers:
  - {{number: "100", target: menu, recording: "off"}}
  - {{number: "200", agent: broken, on_failure: {{agent_crash: box}}}}
"""


async def dial(caller: Talker, server: Server, number: str) -> None:
    uri = server.uri().replace("sip:100@", f"sip:{number}@")
    caller.talk_on(await caller.phone.dial(uri))


async def record_of(server: Server) -> CallFolder:
    call = await server.last_call()
    await server.finished(call)
    return call


def plan(folder: Path, target: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(PLAN.format(target=target))
    return path


async def test_a_key_in_a_menu_rings_a_desk_and_joins_the_two_calls(tmp_path: Path) -> None:
    async with (
        talkers() as (caller, desk),
        running_server(tmp_path, spares=0, dialplan=plan(tmp_path, desk.uri), workers=1) as server,
    ):
        answering = asyncio.create_task(desk.answer())
        await dial(caller, server, "100")
        await caller.until_quiet()
        assert caller.stream is not None
        caller.stream.send_digits("1")
        await answering
        assert desk.call is not None and caller.call is not None
        caller.talking = True
        async with asyncio.timeout(10):
            await desk.until_loud()
        desk.call.hang_up()
        await caller.call.ended()
        call = await record_of(server)
    story = call.story()
    assert call.facts["cause"] == "transferred", story
    assert [event["agent"] for event in call.of("AgentEntered")] == ["menu", "desk"], story


async def test_a_desk_that_does_not_answer_leads_to_voicemail(tmp_path: Path) -> None:
    async with (
        talkers() as (caller, desk),
        running_server(tmp_path, spares=0, dialplan=plan(tmp_path, desk.uri), workers=1) as server,
    ):
        await dial(caller, server, "100")
        await caller.until_quiet()
        assert caller.stream is not None and caller.call is not None
        caller.stream.send_digits("1")
        await caller.call.ended()
        call = await record_of(server)
    story = call.story()
    assert [event["agent"] for event in call.of("AgentEntered")] == ["menu", "desk", "box"], story
    assert [message["file"] for message in call.facts["messages"]] == ["message-1.wav"], story
    assert (call.path / "message-1.wav").is_file()
    assert call.of("AgentSpoke")[-1]["text"] == "Thank you.", story


async def test_an_agent_whose_code_breaks_in_mid_call_is_replaced_by_whom_the_plan_names(
    tmp_path: Path,
) -> None:
    async with (
        talkers() as (caller, desk),
        running_server(tmp_path, spares=0, dialplan=plan(tmp_path, desk.uri), workers=1) as server,
    ):
        await dial(caller, server, "200")
        assert caller.call is not None
        await caller.call.ended()
        call = await record_of(server)
    story = call.story()
    assert [event["agent"] for event in call.of("AgentEntered")] == ["broken", "box"], story
    assert call.of("AgentSpoke")[0]["text"] == "Please speak.", story
    assert call.facts["ended_by"] == "us" and call.facts["cause"] == "agent_hung_up", story
