"""Keys and session timers between PJSIP and us: every way in which a phone may press a key, both ways round."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.peers import PjsipPhone
from tests.live.server import Server, running_server
from tests.live.sound import RATE_HZ, write_wav

pytestmark = pytest.mark.timeout(120)

HOST = "127.0.0.1"
KEYS = "1227#*"
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYPAD = "123A456B789C*0#D"

DIALLING = """
version: 1
agents:
  dialler:
    greeting: Shall I open the door?
    instructions: Press the keys of the door.
    tools: [send_digits]
    script:
      intents:
        - name: door
          phrases: ["yes", yes please, no thank you]
          tool: send_digits
          arguments: {digits: ww12#}
          then_say: I have pressed the keys.
      not_understood: Please say yes.
numbers:
  - number: any
    agent: dialler
"""


def _as_sound(keys: str, into: Path) -> Path:
    """A clip of the keys as tones, 80 ms each with 80 ms between (ITU-T Q.23, Q.24)."""
    sound = array("h", bytes(RATE_HZ // 5 * 2))
    for key in keys:
        low, high = ROWS[KEYPAD.index(key) // 4], COLUMNS[KEYPAD.index(key) % 4]
        for at in (2 * math.pi * sample / RATE_HZ for sample in range(RATE_HZ * 80 // 1000)):
            sound.append(round(5000 * (math.sin(low * at) + math.sin(high * at))))
        sound.extend(array("h", bytes(RATE_HZ * 80 // 1000 * 2)))
    write_wav(into, sound)
    return into


async def _talking(phone: PjsipPhone, uri: str) -> None:
    await phone.call(uri)
    await phone.event("confirmed", timeout=20)
    await phone.event("media")


@pytest.mark.parametrize("way", ["rtp", "info", "inband"])
async def test_each_press_counts_once_whichever_way_it_comes(
    way: str, server: Server, tmp_path: Path
) -> None:
    """RFC 4733 §2.5, RFC 6086 (application/dtmf-relay), ITU-T Q.24: keys in order, a repeated one twice, and
    no recogniser takes the tones for words."""
    async with PjsipPhone() as phone:
        await _talking(phone, server.uri())
        await phone.listen()  # else the keys only interrupt the greeting
        if way == "inband":
            await phone.say(_as_sound(KEYS, tmp_path / "keys.wav"))
        else:
            await phone.dtmf(KEYS, info=way == "info")
        await phone.listen(timeout=20)  # the agent has no such option and says so
        call = await server.last_call()
        await phone.hang_up()
        await phone.event("disconnected")
        facts = await server.finished(call)
    assert "".join(event["digit"] for event in call.of("KeyPressed")) == KEYS, call.story()
    assert facts["media"]["digits"] == len(KEYS)
    turns = call.of("UserTurnCommitted")
    assert turns, call.story()
    assert {turn["by"] for turn in turns} == {"keys"}, call.story()
    assert not call.of("CallerStartedSpeaking") + call.of("CallerPartlyHeard"), call.story()


async def test_our_keys_are_heard_after_their_pause(recordings: Path, tmp_path: Path) -> None:
    """RFC 4733 §2.5.1: `ww12#` of an agent waits a second, then PJSIP hears each digit once and in order."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(DIALLING, encoding="utf-8")
    async with running_server(tmp_path, spares=0, dialplan=plan, workers=1) as server, PjsipPhone() as phone:
        await _talking(phone, server.uri())
        await phone.listen()
        await phone.say(recordings / "no_thank_you.wav")
        for digit in "12#":
            assert (await phone.event("dtmf", timeout=20))["digit"] == digit
        await phone.listen()
        await phone.hang_up()
        await phone.event("disconnected")
        call = await server.last_call()
        await server.finished(call)
        heard = [(event["digit"], event["method"]) for event in phone.events if event["event"] == "dtmf"]
    assert heard == [("1", "rtp"), ("2", "rtp"), ("#", "rtp")], call.story()
    assert not call.of("KeyPressed"), call.story()  # its own keys are not its caller's


async def test_pjsip_requires_a_session_timer_of_us_and_refreshes_it(server: Server) -> None:
    """RFC 4028 §9: we take their 90 s and say who refreshes; UPDATE and re-INVITE are answered with the timer."""
    async with PjsipPhone(timer_s=90) as phone:
        await _talking(phone, server.uri())
        invited = await phone.event("response", method="INVITE", code=200)
        assert invited["headers"]["Session-Expires"] == "90;refresher=uac"
        assert "timer" in invited["headers"]["Require"]
        for method in ("UPDATE", "INVITE"):
            await phone.refresh(method)
            refreshed = await phone.event("response", method=method, code=200)
            assert refreshed["headers"]["Session-Expires"].startswith("90;refresher="), refreshed
        await phone.hang_up()
        assert (await phone.event("disconnected"))["code"] == 200
        facts = await server.finished(await server.last_call())
    assert facts["ended_by"] == "caller"


async def test_a_callee_takes_our_session_timer_and_we_go_on_refreshing_it() -> None:
    """RFC 4028 §7.2, §7.4: PJSIP agrees to the interval that we propose, and our next re-INVITEs name it and us."""
    async with (
        Phone(host=HOST, port=0, ports=PortPool(HOST, 25400, 25600)) as ours,
        PjsipPhone(answer_with=200, timer_s=90) as callee,
    ):
        call = await ours.dial(callee.uri)
        await callee.event("confirmed")
        for change in (call.hold, call.resume):
            await change()
            asked = await callee.event("request", method="INVITE", code=0)
            assert asked["headers"]["Session-Expires"] == "1800;refresher=uac"
        call.hang_up()
        await callee.event("disconnected")
