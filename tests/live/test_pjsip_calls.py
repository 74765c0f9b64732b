"""PJSIP, a mature SIP stack that is not ours, phones the server."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path

import pytest

from tests.live.peers import PjsipPhone
from tests.live.server import Server, running_server
from tests.live.sound import loudest_second

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

AUDIBLE = 300  # loudness of the loudest second; silence is below 10

TRANSFERRING = """
version: 1
name: Switchboard
agents:
  switchboard:
    voice: en-us+f3
    greeting: Hello, whom would you like to speak to?
    instructions: Transfer every caller to the desk.
    tools: [transfer]
    transfer_to:
      desk: {desk}
    script:
      intents:
        - name: anything
          phrases: [what are your opening hours]
          say: One moment, please.
          transfer: desk
          then_say: I am sorry, nobody is there.
      not_understood:
        - Please ask for our opening hours.
numbers:
  - number: "100"
    agent: switchboard
"""


async def _connected(phone: PjsipPhone, server: Server, number: str = "100") -> None:
    await phone.call(server.uri(number))
    await phone.event("confirmed", timeout=20)
    await phone.event("media")


async def test_a_whole_conversation_with_interruption_handoff_and_goodbye(
    server: Server, recordings: Path, tmp_path: Path
) -> None:
    """RFC 3261 §13, §15: caller and agents talk, one agent hands over, the last one hangs up."""
    heard = tmp_path / "heard.wav"
    async with PjsipPhone(record=heard) as phone:
        await _connected(phone, server)
        await phone.listen()  # the greeting
        await phone.say(recordings / "opening_hours.wav")
        await phone.event("voice", timeout=15, seconds=2)  # a long answer: the caller does not want all of it
        await phone.say(recordings / "bill.wav")
        await phone.event("silence", timeout=30)  # the agent gave way
        await phone.listen()  # "I will put you through", and billing's greeting
        await phone.say(recordings / "invoice_number.wav")
        await phone.listen()
        await phone.say(recordings / "no_thank_you.wav")
        await phone.listen()
        await phone.say(recordings / "goodbye.wav")
        ended = await phone.event("disconnected", timeout=30)
        assert ended["code"] == 200
        call = await server.last_call()
        facts = await server.finished(call)
    story = call.story()
    assert facts["called"] == "100", story
    assert call.of("CallerInterrupted"), story
    assert [event["agent"] for event in call.of("AgentEntered")] == ["reception", "billing"], story
    turns = call.of("UserTurnCommitted")
    assert len(turns) == 5, story
    assert all(turn["understood"] for turn in turns), story
    tools = [(tool["name"], tool["ok"]) for tool in call.of("ToolFinished")]
    assert tools == [("hand_over", True), ("look_up_invoice", True), ("hang_up", True)], story
    assert call.of("SessionClosed")[-1]["reason"] == "agent_hung_up", story
    assert loudest_second(heard) > AUDIBLE
    with wave.open(str(call.audio)) as audio:
        assert audio.getnchannels() == 2
        assert audio.getnframes() / audio.getframerate() == pytest.approx(facts["duration_s"], abs=2)


async def test_digits_pressed_on_the_phone_reach_the_conversation(server: Server, recordings: Path) -> None:
    """RFC 4733 §2.5: each digit once and in order, a repeated digit twice."""
    async with PjsipPhone() as phone:
        await _connected(phone, server)
        await phone.event("voice", seconds=0, timeout=20)
        await phone.dtmf("1227#*")
        call = await server.last_call()
        await server.until(lambda: len(call.of("KeyPressed")) >= 6, "six keys in the journal", 20)
        await phone.hang_up()
        await phone.event("disconnected")
        await server.finished(call)
    assert "".join(event["digit"] for event in call.of("KeyPressed")) == "1227#*", call.story()


async def test_the_agent_understands_an_invoice_number_that_was_keyed_in(
    server: Server, recordings: Path
) -> None:
    """RFC 4733: digits from the keypad answer a question as well as spoken ones."""
    async with PjsipPhone() as phone:
        await _connected(phone, server)
        await phone.listen()
        await phone.say(recordings / "bill.wav")
        await phone.listen()
        await phone.dtmf("4271#")
        await phone.listen(timeout=30)
        call = await server.last_call()
        await phone.hang_up()
        await phone.event("disconnected")
        await server.finished(call)
    looked_up = [tool["arguments"] for tool in call.of("ToolCalled") if tool["name"] == "look_up_invoice"]
    assert [json.loads(arguments) for arguments in looked_up] == [{"number": "4271"}], call.story()


async def test_the_caller_hangs_up_while_the_agent_speaks(server: Server) -> None:
    """RFC 3261 §15.1.2: BYE ends the call at once and the record is complete."""
    async with PjsipPhone() as phone:
        await _connected(phone, server)
        await phone.event("voice", seconds=1, timeout=20)
        counted = await phone.statistics()
        await phone.hang_up()
        assert (await phone.event("disconnected"))["code"] == 200
        call = await server.last_call()
        facts = await server.finished(call)
    assert facts["ended_by"] == "caller", call.story()
    assert counted["lost"] == 0
    assert counted["received"] > 40  # a second of speech is 50 packets
    await server.idle()


async def test_the_agent_hangs_up_after_goodbye(server: Server, recordings: Path) -> None:
    """RFC 3261 §15: the server sends BYE, and only after its last words were played."""
    async with PjsipPhone() as phone:
        await _connected(phone, server)
        await phone.listen()
        await phone.say(recordings / "goodbye.wav")
        await phone.event("voice", seconds=1, timeout=15)
        ended = await phone.event("disconnected", timeout=30)
        call = await server.last_call()
        facts = await server.finished(call)
    assert ended["code"] == 200
    assert facts["ended_by"] != "caller", call.story()
    last = call.of("AgentSpoke")[-1]
    assert not last["interrupted"], call.story()
    assert "goodbye" in last["text"].lower(), call.story()


async def test_giving_up_while_it_rings_ends_in_487(server: Server) -> None:
    """RFC 3261 §9.2: CANCEL before the final response draws 487, and no call is left."""
    async with PjsipPhone() as phone:
        with server.children_stopped():  # no agent gets ready, so it keeps ringing
            await phone.call(server.uri())
            await phone.event("early", code=180)
            await phone.cancel()
            ended = await phone.event("disconnected", timeout=20)
        assert ended["code"] == 487
        await server.idle()
        await _connected(phone, server)  # the line is free again
        await phone.hang_up()
        await phone.event("disconnected")


async def test_a_number_nobody_has_is_refused(server: Server) -> None:
    """RFC 3261 §21.4.5: 404 for a number outside the dial plan."""
    async with PjsipPhone() as phone:
        await phone.call(server.uri("98765"))
        assert (await phone.event("disconnected", timeout=20))["code"] == 404


async def test_a_caller_is_transferred_to_the_desk(recordings: Path, tmp_path: Path) -> None:
    """RFC 3515: the server refers the caller to the desk, which rings, answers and is talked to."""
    async with PjsipPhone(answer_with=200) as desk, PjsipPhone() as phone:
        plan = tmp_path / "plan.yaml"
        await asyncio.to_thread(plan.write_text, TRANSFERRING.format(desk=desk.uri))
        async with running_server(tmp_path, spares=0, dialplan=plan) as server:
            await _connected(phone, server)
            await phone.listen()
            await phone.say(recordings / "opening_hours.wav")
            transfer = await phone.event("transfer", timeout=30)
            await phone.event("confirmed", timeout=20, call=transfer["followed_by"])
            await desk.event("confirmed", timeout=20)
            ended = await phone.event("disconnected", timeout=20, call=1)
            call = await server.last_call()
            await server.finished(call)
            await phone.hang_up()
            await desk.event("disconnected")
    assert ended["code"] == 200
    assert [event["ok"] for event in call.of("TransferFinished")] == [True], call.story()
