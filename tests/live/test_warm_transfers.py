"""Attended transfer on the wire: the caller waits, a colleague is phoned and briefed, and the two calls are joined."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.live.peers import PjsipPhone
from tests.live.server import CallFolder, Server, running_server
from tests.live.sound import loudest_second
from tests.live.talker import LOUD, Talker, talkers

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

AUDIBLE = 300  # loudness of the loudest second; silence is below 10
GAP_S = 0.3  # a caller who hears nothing for much longer says hello

PLAN = """
version: 1
name: Switchboard
agents:
  switchboard:
    voice: en-us+f3
    greeting: Hello. Press one for the desk.
    keys: {{"1": the desk please, "2": leave a message}}
    tools: [transfer, take_message, hang_up]
    transfer_to:
      desk: {{target: "{target}", {how}}}
    script:
      intents:
        - name: desk
          phrases: [the desk please]
          say: One moment, please.
          transfer: desk
          then_say: I am sorry, nobody is there.
        - name: message
          phrases: [leave a message]
          say: Please speak after the beep.
          tool: take_message
        - name: hours
          phrases: [what are your opening hours]
          say: We are open all day.
numbers:
  - {{number: "100", agent: switchboard}}
"""


@asynccontextmanager
async def a_switchboard(
    folder: Path, target: str, how: str = "attended: yes", *, workers_die: bool = False
) -> AsyncIterator[Server]:
    plan = folder / "plan.yaml"
    plan.write_text(PLAN.format(target=target, how=how))
    async with running_server(
        folder, spare_switch=True, workers_die=workers_die, dialplan=plan, workers=1
    ) as server:
        yield server


async def asks_for_the_desk(caller: Talker, server: Server) -> None:
    caller.talk_on(await caller.phone.dial(server.uri()))
    await caller.until_quiet()
    assert caller.stream is not None
    caller.stream.send_digits("1")


async def record_of(server: Server) -> CallFolder:
    call = await server.last_call()
    await server.finished(call)
    return call


async def test_a_briefed_colleague_gets_the_caller_without_a_gap(tmp_path: Path) -> None:
    """Less than 300 ms between the last of the music and the first of the colleague, both ways, measured in what the
    phones hear; no phone is without packets for so long. When the colleague hangs up the caller's call ends."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        answering = asyncio.create_task(desk.answer())
        await asks_for_the_desk(caller, server)
        await answering
        assert desk.call is not None and desk.stream is not None and caller.call is not None
        await desk.until_quiet()
        assert max(rms for _, rms in caller.heard[-50:]) > 100, "the caller hears music"
        desk.stream.send_digits("1")
        pressed = asyncio.get_running_loop().time()
        desk.talking = caller.talking = True
        async with asyncio.timeout(5):
            to_caller, to_desk = await asyncio.gather(caller.until_loud(), desk.until_loud())
        music = max(at for at, rms in caller.heard if rms > 20 and at < to_caller)
        assert to_caller - music < GAP_S
        assert to_caller - pressed < 1.0 and to_desk - pressed < 1.0
        for talker in (caller, desk):
            assert max(gap for at, gap in talker.gaps if at > pressed - 1) < GAP_S
        begins = len(caller.heard)
        await asyncio.sleep(2)
        assert sum(rms > LOUD for _, rms in caller.heard[begins:]) > 90, "without holes"
        desk.call.hang_up()
        await caller.call.ended()
        call = await record_of(server)
    story = call.story()
    assert call.facts["cause"] == "transferred" and call.facts["transferred_to"] == desk.uri, story
    kinds = [event["type"] for event in call.events if event["type"].startswith("Consult")]
    assert kinds == ["ConsultStarted", "ConsultAnswered", "ConsultJoined", "ConsultEnded"], story
    assert [event["by"] for event in call.of("ConsultEnded")] == ["callee"], story
    assert [event["ok"] for event in call.of("TransferFinished")] == [True], story
    briefed = [event for event in call.of("AgentSpoke") if event.get("line") == "consultation"]
    assert briefed and "May I connect you?" in briefed[0]["text"], story
    assert (call.path / "consultation-1.wav").stat().st_size > 100_000


async def test_a_caller_who_hangs_up_ends_the_colleague_s_call_too(tmp_path: Path) -> None:
    """On hold, while the colleague is being asked, and again once they are joined."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        for joined in (False, True):
            answering = asyncio.create_task(desk.answer())
            await asks_for_the_desk(caller, server)
            await answering
            assert desk.call is not None and desk.stream is not None and caller.call is not None
            if joined:
                await desk.until_quiet()
                desk.stream.send_digits("1")
                caller.talking = True
                await desk.until_loud()
            caller.call.hang_up()
            async with asyncio.timeout(5):
                ended = await desk.call.ended()
            assert ended.by == "caller"
            call = await record_of(server)
            assert call.facts["cause"] == ("transferred" if joined else "caller_hung_up"), call.story()
            assert call.facts["ended_by"] == "caller"
            caller.talking = False


@pytest.mark.parametrize("how", ["declines", "rings on", "is busy", "hangs up"])
async def test_the_caller_is_taken_from_hold_when_nobody_takes_the_call(tmp_path: Path, how: str) -> None:
    """Declined, no answer within `ring`, busy, hung up while being asked: the agent says so and goes on."""
    codes = {"declines": 603, "rings on": 408, "is busy": 486, "hangs up": 200}

    async def desk_does(desk: Talker) -> None:
        if how == "is busy":
            async for call in desk.phone.calls():
                call.reject(486)
                return
        await desk.answer(after_s=10.0 if how == "rings on" else 0.0)
        assert desk.stream is not None and desk.call is not None
        await desk.until_quiet()
        if how == "declines":
            desk.stream.send_digits("2")
        else:
            desk.call.hang_up()

    async with (
        talkers() as (caller, desk),
        a_switchboard(tmp_path, desk.uri, "attended: yes, ring: 2s") as server,
    ):
        acting = asyncio.create_task(desk_does(desk))
        await asks_for_the_desk(caller, server)
        call = await server.last_call()
        await server.until(lambda: bool(call.of("CallResumed")), "CallResumed", 20)
        await server.until(lambda: len(call.of("AgentSpoke")) >= 2, "an apology", 20)
        assert caller.stream is not None and caller.call is not None
        await caller.until_quiet()
        caller.stream.send_digits("#")  # it listens again: any turn will do
        await server.until(lambda: len(call.of("UserTurnCommitted")) >= 2, "another turn", 20)
        acting.cancel()
        caller.call.hang_up()
        await record_of(server)
    story = call.story()
    assert [event["code"] for event in call.of("TransferFinished")] == [codes[how]], story
    assert call.facts["cause"] == "caller_hung_up" and "transferred_to" not in call.facts
    spoken = [event["text"] for event in call.of("AgentSpoke") if "line" not in event]
    assert any("nobody is there" in text for text in spoken), story


async def says_yes(desk: PjsipPhone, call: CallFolder, server: Server, recordings: Path) -> None:
    """As people do: once more if the agent asks once more, for it may not have understood."""
    while not call.of("ConsultJoined"):
        asked = len(call.of("AgentSpoke"))
        assert asked < 8, call.story()
        await desk.say(recordings / "yes.wav")
        await server.until(
            lambda asked=asked: bool(call.of("ConsultJoined")) or len(call.of("AgentSpoke")) > asked,  # type: ignore[misc]
            "ConsultJoined",
            30,
        )


async def test_pjsip_is_briefed_says_yes_and_hears_the_caller(tmp_path: Path, recordings: Path) -> None:
    """A stack that is not ours at both ends: levels of what each heard of the other."""
    heard = {name: tmp_path / f"{name}.wav" for name in ("desk", "caller")}
    async with (
        PjsipPhone(answer_with=200) as desk,
        PjsipPhone() as caller,
        a_switchboard(tmp_path, f"sip:desk@127.0.0.1:{desk.port}") as server,
    ):
        await caller.call(server.uri())
        await caller.event("confirmed", timeout=20)
        await caller.event("media")
        await caller.listen()
        await caller.dtmf("1")
        await desk.event("confirmed", timeout=20)
        await desk.event("media")
        await desk.listen()
        call = await server.last_call()
        await says_yes(desk, call, server, recordings)
        await desk.record(heard["desk"])
        await caller.record(heard["caller"])
        await desk.say(recordings / "opening_hours.wav")
        await caller.say(recordings / "bill.wav")
        await desk.hang_up()
        await caller.event("disconnected", timeout=10)
        await server.finished(call)
    assert call.facts["cause"] == "transferred", call.story()
    for name, path in heard.items():
        assert loudest_second(path) > AUDIBLE, name


async def test_a_phone_that_refuses_refer_is_connected_by_us(tmp_path: Path) -> None:
    """RFC 3515 §2.4.2: 603 to our REFER. With `fallback: bridge` we phone the desk ourselves, without a briefing."""
    async with (
        talkers() as (caller, desk),
        a_switchboard(tmp_path, desk.uri, "fallback: bridge") as server,
    ):
        answering = asyncio.create_task(desk.answer())
        await asks_for_the_desk(caller, server)
        await answering
        caller.talking = desk.talking = True
        async with asyncio.timeout(10):
            await asyncio.gather(caller.until_loud(), desk.until_loud())
        assert caller.call is not None and desk.call is not None
        caller.call.hang_up()
        await desk.call.ended()
        call = await record_of(server)
    assert call.facts["cause"] == "transferred", call.story()
    assert [event["ok"] for event in call.of("TransferFinished")] == [True]
    assert not [event for event in call.of("AgentSpoke") if event.get("line")], "nobody was briefed"


async def test_a_released_transfer_leaves_the_phones_to_themselves(tmp_path: Path, recordings: Path) -> None:
    """RFC 5589 §7: once the desk agrees, the caller's phone is sent to it with Replaces, and we are out of it."""
    async with (
        PjsipPhone(answer_with=200) as desk,
        PjsipPhone() as caller,
        a_switchboard(tmp_path, f"sip:desk@127.0.0.1:{desk.port}", "attended: yes, release: yes") as server,
    ):
        await caller.call(server.uri())
        await caller.event("confirmed", timeout=20)
        await caller.event("media")
        await caller.listen()
        await caller.dtmf("1")
        await desk.event("confirmed", timeout=20)
        await desk.event("media")
        await desk.listen()
        await desk.dtmf("1")
        moved = await caller.event("transfer", timeout=20)
        await caller.event("confirmed", call=moved["followed_by"])
        await desk.event("replaced")
        call = await server.last_call()
        await server.finished(call)
        await caller.say(recordings / "opening_hours.wav", timeout=None)
        await desk.event("voice", timeout=20, seconds=0)
    assert call.facts["cause"] == "transferred", call.story()
    assert call.facts["transferred_to"].endswith(str(desk.port))


async def test_a_message_after_the_beep_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The beep is heard, the caller's sound is kept, `#` ends it, and call.json says where it is."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        caller.talk_on(await caller.phone.dial(server.uri()))
        await caller.until_quiet()
        assert caller.stream is not None and caller.call is not None
        caller.stream.send_digits("2")
        await caller.until_quiet(0.3)  # "after the beep", and the beep
        caller.talking = True
        call = await server.last_call()
        begun = len(caller.heard)
        await caller.until_ticks(begun + 150)
        caller.talking = False
        caller.stream.send_digits("#")
        await server.until(lambda: bool(call.of("MessageTaken")), "MessageTaken", 10)
        caller.call.hang_up()
        facts = await server.finished(call)
    (message,) = facts["messages"]
    assert message["file"] == "message-1.wav" and message["seconds"] > 3, call.story()
    with wave.open(str(call.path / "message-1.wav")) as file:
        sides = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    loud = np.sqrt(np.mean(sides[:, 0].astype(float)[8000:16000] ** 2))
    assert loud > LOUD and not sides[:, 1].any(), "the caller alone"
