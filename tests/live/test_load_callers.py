"""The load generator's judgement: what it calls a response, a barge-in, a call. Virtual time, no sockets."""

from __future__ import annotations

import pytest

from tests.live.caller_sip import T1_S, Invitation, Received
from tests.live.caller_talk import Clip, Plan, Talker, is_voiced
from tests.live.sound import FRAME_S, SILENCE

VOICE = bytes([0x90, 0x10] * 80)  # loud mu-law
QUESTION = Clip([VOICE] * 50)
TARGET = "sip:100@127.0.0.1:5060"
INVITED = 100.0


def _talk(talker: Talker, start: float, end: float, agent: list[tuple[float, float]]) -> list[float]:
    """Run the caller from start to end while the agent speaks in these spans; when the caller was heard."""
    spoken = []
    for tick in range(round((end - start) / FRAME_S)):
        now = start + tick * FRAME_S
        if any(since <= now < until for since, until in agent):
            talker.voice(now)
        if is_voiced(talker.next_frame(now)):
            spoken.append(now)
    return spoken


def test_comfort_noise_is_no_voice() -> None:
    """RFC 3389 §1: background noise is no speech; neither form of mu-law zero is."""
    assert not is_voiced(SILENCE)
    assert not is_voiced(b"\x7f" * 160)
    assert not is_voiced(bytes([0xF0, 0x70] * 80))
    assert is_voiced(VOICE)


def test_a_polite_caller_speaks_after_the_greeting_and_measures_the_answer() -> None:
    """The response delay runs from the last speech packet sent to the first audible one received."""
    talker = Talker(Plan(TARGET, pause_s=0.8), [QUESTION])
    spoken = _talk(talker, 10.0, 16.0, agent=[(10.5, 12.0), (14.5, 15.5)])
    assert spoken[0] == pytest.approx(12.8, abs=0.05)
    assert talker.response_s == [pytest.approx(14.5 - spoken[-1], abs=FRAME_S)]
    assert talker.barge_in_s == []


def test_an_agent_that_never_answers_is_counted() -> None:
    """Silence for the response limit is an unanswered question, not an endless delay."""
    talker = Talker(Plan(TARGET, pause_s=30.0), [QUESTION])
    _talk(talker, 10.0, 11.0, agent=[(10.0, 10.5)])
    _talk(talker, 41.0, 50.0, agent=[])
    assert (talker.unanswered, talker.response_s) == (1, [])


def test_an_interrupting_caller_measures_when_the_agent_falls_silent() -> None:
    """Barge-in runs from the caller's first speech packet to the agent's last audible one."""
    talker = Talker(Plan(TARGET, manner="interrupting", barge_after_s=0.7, pause_s=5.0), [QUESTION])
    spoken = _talk(talker, 10.0, 13.0, agent=[(10.0, 11.0)])
    assert spoken[0] == pytest.approx(10.72, abs=0.05)
    assert talker.barge_in_s == [pytest.approx(11.0 - spoken[0], abs=2 * FRAME_S)]


def test_an_agent_that_talks_on_was_not_interrupted() -> None:
    """No number is invented for an agent that ignores the caller."""
    talker = Talker(Plan(TARGET, manner="interrupting", pause_s=0.0), [QUESTION])
    _talk(talker, 10.0, 17.5, agent=[(10.0, 30.0)])
    assert (talker.barge_in_s, talker.not_interrupted) == ([], 1)


def _invitation() -> Invitation:
    return Invitation("c1", TARGET, ("127.0.0.1", 4000), 5000)


def _answer(status: str, *more: str, body: str = "", cseq: str = "1 INVITE") -> Received:
    lines = [
        f"SIP/2.0 {status}",
        "Via: v",
        "From: f",
        "To: <sip:100@h>;tag=x",
        "Call-ID: c1",
        f"CSeq: {cseq}",
    ]
    return Received.parse(("\r\n".join([*lines, *more]) + "\r\n\r\n" + body).encode())


def test_an_invite_is_repeated_until_something_comes_back() -> None:
    """RFC 3261 §17.1.1.2, timer A: again after T1, then after twice that; not after a 100."""
    call = _invitation()
    first = call.invite(INVITED)
    assert call.resend(INVITED + T1_S - 0.01) == b""
    assert call.resend(INVITED + T1_S) == first
    assert call.resend(INVITED + 2 * T1_S) == b""
    assert call.resend(INVITED + 3 * T1_S) == first
    call.take(_answer("100 Trying"), INVITED + 2)
    assert call.resend(INVITED + 30) == b""


def test_a_server_that_is_not_there_ends_the_call_after_timer_b() -> None:
    """RFC 3261 §17.1.1.2: 64*T1 without any response."""
    call = _invitation()
    call.invite(INVITED)
    call.resend(INVITED + 33)
    assert (call.over_at, call.failure) == (INVITED + 33, "INVITE unanswered")


def test_every_200_is_acknowledged_along_the_route() -> None:
    """RFC 3261 §12.1.2, §13.2.2.4: ACK to the Contact, Record-Route reversed, again for a repeated 200."""
    call = _invitation()
    call.invite(INVITED)
    accepted = _answer(
        "200 OK",
        "Contact: <sip:bot@10.0.0.9:5080>",
        "Record-Route: <sip:near;lr>",
        "Record-Route: <sip:far;lr>",
        body="v=0\r\nc=IN IP4 10.0.0.9\r\nm=audio 7000 RTP/AVP 0\r\n",
    )
    ack = call.take(accepted, INVITED + 1)
    assert ack.startswith(b"ACK sip:bot@10.0.0.9:5080 SIP/2.0\r\n")
    assert ack.index(b"Route: <sip:far;lr>") < ack.index(b"Route: <sip:near;lr>")
    assert call.take(accepted, INVITED + 2) == ack
    assert (call.answered_at, call.remote_media) == (INVITED + 1, ("10.0.0.9", 7000))


def test_a_refusal_is_acknowledged_and_named() -> None:
    """RFC 3261 §17.1.1.3: the ACK to a non-2xx repeats the INVITE's branch and request URI."""
    call = _invitation()
    invite = call.invite(INVITED)
    ack = call.take(_answer("503 Service Unavailable", "Retry-After: 5"), INVITED + 1)
    assert ack.split(b"\r\n")[0] == b"ACK sip:100@127.0.0.1:5060 SIP/2.0"
    assert ack.split(b"\r\n")[1] == invite.split(b"\r\n")[1]
    assert (call.failure, call.over_at) == ("503", INVITED + 1)


def test_a_bye_from_the_server_is_answered_and_remembered() -> None:
    """RFC 3261 §15.1.2: 200 to the BYE; the report counts who hung up."""
    call = _invitation()
    call.invite(INVITED)
    bye = Received.parse(
        b"BYE sip:c@h SIP/2.0\r\nVia: v\r\nFrom: f\r\nTo: t\r\nCall-ID: c1\r\nCSeq: 9 BYE\r\n\r\n"
    )
    assert call.take(bye, INVITED + 3).startswith(b"SIP/2.0 200 OK\r\nVia: v\r\n")
    assert (call.hung_up_by_server, call.failure) == (True, "")


def test_what_is_no_sip_message_is_refused() -> None:
    """RFC 3261 §7: noise on the port never ends a measurement."""
    for noise in (b"", b"\r\n\r\n", b"\x80\x00\x01", b"SIP/2.0 200\r\n\r\n"):
        with pytest.raises(ValueError, match="no SIP message"):
            Received.parse(noise)
