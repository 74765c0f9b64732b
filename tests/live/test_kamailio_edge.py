"""Kamailio in front of the server, as operators with more than one machine have it: PJSIP talks through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.kamailio import HOST, running_edge
from tests.live.peers import PjsipPhone
from tests.live.server import running_server

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_conversation_through_a_proxy_with_two_record_routes(
    tmp_path: Path, recordings: Path, transport: str
) -> None:
    """Rows 6, 12, 13, 37: ACK, hold, resume and our BYE follow both routes; the proxy changes the transport."""
    async with (
        running_server(tmp_path, spares=0, workers=1) as server,
        running_edge(tmp_path, server.sip_port, transport) as edge,
        PjsipPhone() as phone,
    ):
        await phone.call(f"sip:100@{HOST}:{edge.port}")
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        call = await server.last_call()
        await phone.listen()  # the greeting
        await phone.hold()
        await phone.event("media_off", timeout=10)
        await phone.resume()
        await phone.event("media", timeout=10)
        await phone.say(recordings / "goodbye.wav")
        ended = await phone.event("disconnected", timeout=30)  # our BYE, along both routes
        assert ended["code"] == 200
        facts = await server.finished(call)
    if transport == "udp":  # a TCP connection has a port of its own
        assert facts["source"] == [HOST, edge.inner], "requests come from the proxy's inner socket"
    assert facts["ended_by"] == "us", call.story()
    changes = [event["direction"] for event in call.of("MediaChanged")]
    assert changes[-1] == "sendrecv" and len(changes) >= 2, call.story()


async def test_a_caller_behind_the_proxy_who_gives_up_is_gone(tmp_path: Path) -> None:
    """Row 8 through a proxy: CANCEL finds the INVITE by the proxy's branch, and nothing is left ringing."""
    async with (
        running_server(tmp_path, spares=0, workers=1) as server,
        running_edge(tmp_path, server.sip_port) as edge,
        PjsipPhone() as phone,
    ):
        with server.children_stopped():
            await phone.call(f"sip:100@{HOST}:{edge.port}", cancel_at=180)
            ended = await phone.event("disconnected", timeout=20)
        assert ended["code"] == 487
        await server.idle()
