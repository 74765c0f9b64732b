"""Signalling over real TCP on loopback: framing, connections that come and go, calls that stay."""

from __future__ import annotations

import asyncio
import socket

import pytest

from telephony.call.call import Call
from telephony.call.events import CallEvent, Ended
from telephony.call.state import Leg
from telephony.errors import CallFailed
from telephony.phone import Phone, Rejection
from telephony.sip.message import Request
from telephony.sip.transaction import Flow, Send
from telephony.trunk.stream import IDLE_S, KEEPALIVE_S, STRANGER_S, StreamLink
from telephony.trunk.transport import Transport
from tests.telephony.trunk.wire import HOST, OFFER, FarSide, a_far_side, a_phone

LONG = (("X-Ticket", "7" * 1400),)


async def a_standing_call(phone: Phone, far: FarSide) -> Call:
    """far calls the phone over TCP and is answered."""
    await far.open(phone)
    far.out(far.request("INVITE", 1, body=OFFER))
    call = await anext(phone.calls())
    call.answer()
    await far.response(200)
    far.out(far.request("ACK", 1))
    await call.settled()
    return call


def two_ways(call: Call) -> tuple[str, str]:
    """What the INVITE says of how it came and how to come back."""
    contact = call.request.contact
    assert contact is not None
    return call.request.via.transport, contact.uri.transport


async def test_two_phones_talk_over_tcp() -> None:
    """`;transport=tcp` in the target: Via and Contact name TCP, and the whole call stays on it."""
    async with asyncio.timeout(10), a_phone() as bob, a_phone() as alice:
        dialing = asyncio.create_task(alice.dial(f"sip:100@{HOST}:{bob.address[1]};transport=tcp"))
        theirs = await anext(bob.calls())
        assert two_ways(theirs) == ("TCP", "tcp")
        theirs.answer()
        ours = await dialing
        theirs.hang_up()
        assert (await ours.ended()).by == "callee"


async def test_two_requests_in_one_segment_are_both_answered() -> None:
    """Row 36: Content-Length cuts the stream."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.out(far.request("OPTIONS", 1, call="one") + far.request("OPTIONS", 1, call="two"))
        assert {(await far.response(200)).call_id, (await far.response(200)).call_id} == {"one", "two"}


async def test_a_request_in_a_hundred_segments_is_answered() -> None:
    """Row 36: a segment may end anywhere."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = far.request("OPTIONS", 1, "X-Long: " + "a" * 300)
        step = -(-len(data) // 100)
        for at in range(0, len(data), step):
            far.out(data[at : at + step])
            await asyncio.sleep(0)
        assert (await far.response(200)).cseq.method == "OPTIONS"


async def test_a_ping_gets_a_pong_and_line_ends_before_a_message_are_skipped() -> None:
    """Row 37, RFC 5626 §4.4.1: CRLFCRLF is answered with CRLF, alone or before a request."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.out(b"\r\n\r\n" + b"\r\n" + far.request("OPTIONS", 1))
        await far.response(200)
        assert far.raw.startswith(b"\r\nSIP/2.0 200")


async def test_a_stream_that_lost_its_beat_is_told_and_closed() -> None:
    """Nobody knows where the next message begins. The good message before it is still served."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        bad = far.request("OPTIONS", 2).replace(b"Content-Length: 0", b"Content-Length: zero")
        far.out(far.request("OPTIONS", 1) + bad)
        assert (await far.response(200)).cseq.number == 1
        assert (await far.response(400)).cseq.number == 2
        await far.lost.wait()
        assert phone.counters.malformed == 1


async def test_our_bye_takes_the_connection_that_the_caller_opened() -> None:
    """Row 37: the Contact is not called while the connection stands (RFC 5923)."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await a_standing_call(phone, far)
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)
        assert not far.came.is_set()


async def test_a_closed_connection_is_no_hang_up_and_our_bye_opens_another() -> None:
    """Row 37: idle close ≠ call drop; the next request goes to the Contact."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await a_standing_call(phone, far)
        await far.hang_up()
        await far.lost.wait()
        await far.open(phone)  # a round trip later the phone has noticed
        far.out(far.request("OPTIONS", 1, call="look"))
        await far.response(200)
        assert call.leg is Leg.TALKING
        await far.hang_up()
        call.hang_up()
        await far.came.wait()
        bye = await far.asked("BYE")
        assert (bye.via.transport, bye.call_id) == ("TCP", "by-hand")
        far.reply(bye, 200)


async def test_a_caller_who_opens_a_new_connection_is_reached_there() -> None:
    """A phone behind a NAT cannot be called back: its latest connection is the way to it."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        call = await a_standing_call(phone, far)
        await far.hang_up()
        await far.lost.wait()
        await far.open(phone)
        far.out(far.request("INFO", 2))
        await far.response(200)
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)
        assert not far.came.is_set()


async def test_a_200_whose_connection_closed_goes_to_the_via() -> None:
    """RFC 3261 §18.2.2: another connection, to `received` and the port of the Via."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        await far.open(phone)
        far.out(far.request("INVITE", 1, body=OFFER))
        call = await anext(phone.calls())
        await far.response(100)
        await far.hang_up()
        await far.lost.wait()
        call.answer()
        await far.came.wait()
        assert (await far.response(200)).cseq.method == "INVITE"
        far.out(far.request("ACK", 1))
        await call.settled()
        call.hang_up()
        far.reply(await far.asked("BYE"), 200)


async def test_an_invite_too_large_for_udp_goes_by_tcp() -> None:
    """Row 38, RFC 3261 §18.1.1: above 1300 bytes a datagram may be cut on the way."""
    async with asyncio.timeout(10), a_phone() as bob, a_phone() as alice:
        dialing = asyncio.create_task(alice.dial(f"sip:100@{HOST}:{bob.address[1]}", headers=LONG))
        theirs = await anext(bob.calls())
        assert theirs.request.via.transport == "TCP"
        theirs.answer()
        (await dialing).hang_up()


async def test_a_large_invite_falls_back_to_udp_where_tcp_is_refused() -> None:
    """Row 38: §18.1.1 wants it sent in fragments rather than not at all."""
    async with asyncio.timeout(10), a_phone(tcp=False) as bob, a_phone() as alice:
        dialing = asyncio.create_task(alice.dial(f"sip:100@{HOST}:{bob.address[1]}", headers=LONG))
        theirs = await anext(bob.calls())
        assert theirs.request.via.transport == "UDP"
        theirs.answer()
        (await dialing).hang_up()


async def test_without_tcp_a_large_invite_fails_loudly() -> None:
    """Row 38: an operator who turned TCP off reads why, and what to do."""
    async with asyncio.timeout(10), a_phone() as bob, a_phone(tcp=False) as alice:
        with pytest.raises(CallFailed, match=r"503 TCP is not spoken here\. Turn sip\.tcp on") as failed:
            await alice.dial(f"sip:100@{HOST}:{bob.address[1]}", headers=LONG)
        assert failed.value.code == 503


async def test_the_next_target_is_tried_when_one_is_dead_or_overloaded() -> None:
    """Row 34: a connection refused, then a 503, then an answer; the failed tries are no end of the call."""
    heard: list[CallEvent] = []
    async with asyncio.timeout(10), a_phone() as busy, a_phone() as bob, a_phone() as alice:
        busy.admit = lambda *_: Rejection(503)
        with socket.socket() as nobody:
            nobody.bind((HOST, 0))
            ports = [nobody.getsockname()[1], busy.address[1], bob.address[1]]
            targets = [f"sip:100@{HOST}:{port};transport=tcp" for port in ports]
            dialing = asyncio.create_task(alice.dial(targets, listen=heard.append))
            (await anext(bob.calls())).answer()
            call = await dialing
        assert not any(isinstance(event, Ended) for event in heard)
        assert call.called.port == bob.address[1]
        call.hang_up()


@pytest.mark.parametrize("code", [404, 486, 603])
async def test_a_target_that_refuses_is_the_last_one(code: int) -> None:
    """Row 34: 4xx and 6xx are the callee's word."""
    async with asyncio.timeout(10), a_phone() as busy, a_phone() as bob, a_phone() as alice:
        busy.admit = lambda *_: Rejection(code)
        with pytest.raises(CallFailed) as failed:
            await alice.dial([f"sip:100@{HOST}:{phone.address[1]}" for phone in (busy, bob)])
        assert (failed.value.code, bob.counters.received) == (code, 0)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_phones_talk_over_ipv6(transport: str) -> None:
    """Row 39: `[::1]` in Via, Contact and Request-URI, IP6 in the SDP."""
    async with asyncio.timeout(10), a_phone("::1") as bob, a_phone("::1") as alice:
        target = f"sip:100@[::1]:{bob.address[1]};transport={transport}"
        dialing = asyncio.create_task(alice.dial(target))
        theirs = await anext(bob.calls())
        assert (theirs.request.via.host, theirs.called.host) == ("::1", "::1")
        assert b"c=IN IP6 ::1" in theirs.request.body
        assert f"@[::1]:{alice.address[1]}" in (theirs.request.get("Contact") or "")
        theirs.answer()
        ours = await dialing
        assert ours.plan is not None and ours.plan.remote is not None and ours.plan.remote[0] == "::1"
        theirs.hang_up()
        await ours.ended()


class Nobody:
    """A stack that wants nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *facts: None if name == "next_deadline" else []


def a_link() -> StreamLink:
    return StreamLink(Transport(Nobody(), print), "tcp")  # type: ignore[arg-type]  # no SIP is needed here


async def test_idle_connections_and_silent_strangers_are_closed() -> None:
    """A port scanner must not hold a descriptor for long; a peer that spoke may be quiet for half an hour."""
    async with asyncio.timeout(10), a_far_side() as far:
        link = a_link()
        with socket.socket() as sock:
            sock.bind((HOST, 0))
            port = sock.getsockname()[1]
            await link.listen(sock.dup())
        loop = asyncio.get_running_loop()
        reader, far.writer = await asyncio.open_connection(HOST, port)
        far.out(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        assert link.connections == 1
        link.sweep(loop.time() + STRANGER_S - 1)
        assert link.connections == 1
        link.sweep(loop.time() + STRANGER_S + 1)
        assert await reader.read() == b""
        assert link.connections == 0
        await far.hang_up()

        reader, far.writer = await asyncio.open_connection(HOST, port)
        far.out(far.request("OPTIONS", 1) + b"\r\n\r\n")
        await reader.readexactly(2)
        link.sweep(loop.time() + IDLE_S - 1)
        assert link.connections == 1
        link.sweep(loop.time() + IDLE_S + 1)
        assert await reader.read() == b""
        await link.close()


async def test_connections_that_we_opened_are_kept_alive() -> None:
    """RFC 5626 §4.4.1: CRLFCRLF, so that a NAT on the way keeps the binding."""
    async with asyncio.timeout(10), a_far_side() as far:
        link = a_link()
        options = Request("OPTIONS", f"sip:{HOST}", [("CSeq", "1 OPTIONS")])
        link.send(Send(options, Flow("tcp", (HOST, far.port))))
        await far.asked("OPTIONS")
        link.sweep(asyncio.get_running_loop().time() + KEEPALIVE_S + 1)
        await far.pinged.wait()
        await link.close()


async def test_an_unanswered_request_on_a_lost_connection_goes_out_once_more() -> None:
    """A peer may close an idle connection in the very moment that we use it; twice is no accident: 503."""
    async with asyncio.timeout(10), a_phone() as phone, a_far_side() as far:
        dialing = asyncio.create_task(phone.dial(f"sip:far@{HOST}:{far.port};transport=tcp"))
        first = await far.asked("INVITE")
        await far.hang_up()
        again = await far.asked("INVITE")
        assert again.via == first.via
        await far.hang_up()
        with pytest.raises(CallFailed, match="connection lost") as failed:
            await dialing
        assert failed.value.code == 503
