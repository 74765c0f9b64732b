"""One phone on IPv4 and IPv6 at once, over real UDP, TCP and a REGISTER on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from telephony.errors import TransportError
from telephony.media.ports import PortPool
from telephony.phone import Phone
from telephony.sip.message import Request
from telephony.sip.uri import join_host_port
from telephony.trunk.registrar_client import RegistrarClient
from telephony.trunk.registration import Account

V4, V6 = "127.0.0.1", "::1"


@asynccontextmanager
async def a_phone(*hosts: str, first: int = 25000, public: tuple[str, ...] = ()) -> AsyncIterator[Phone]:
    pools = [PortPool(host, first, first + 100) for host in hosts]
    async with asyncio.timeout(10), Phone(host=hosts, port=0, ports=pools, public_host=public) as phone:
        phone.goodbye_s = 0.2
        yield phone


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("order", [(V4, V6), (V6, V4)])
async def test_contact_and_media_follow_the_family_of_the_caller(
    order: tuple[str, str], transport: str
) -> None:
    """Rows 16 and 39: what we say of ourselves can be reached by whoever hears it, in both directions."""
    async with a_phone(*order) as phone:
        for host in (V4, V6):
            async with a_phone(host, first=25200) as peer:
                place = join_host_port(host, phone.address[1])
                dialing = asyncio.create_task(peer.dial(f"sip:100@{place};transport={transport}"))
                call = await anext(phone.calls())
                call.answer()
                ours = await dialing
                assert ours.plan is not None and call.plan is not None
                assert ours.plan.remote[0] == call.plan.remote[0] == host
                assert (
                    ours.dialog is not None and join_host_port(host, phone.address[1]) in ours.dialog.target
                )
                call.hang_up("works over our Contact and theirs")
                assert (await ours.ended()).by == "callee"

                place = join_host_port(host, peer.address[1])
                dialing = asyncio.create_task(phone.dial(f"sip:1@{place};transport={transport}"))
                theirs = await anext(peer.calls())
                theirs.answer()
                placed = await dialing
                assert theirs.request.via.host.strip("[]") == host
                assert placed.plan is not None and placed.plan.remote[0] == host
                theirs.hang_up()
                assert (await placed.ended()).by == "callee"


async def test_each_family_is_told_its_own_public_address() -> None:
    """Behind NAT: one public address of each family, or a name for both."""
    heard: list[str] = []

    def note(request: Request, source: tuple[str, int], trunk: str) -> None:
        heard.append(request.get("Contact") or "")

    async with (
        a_phone(V4, V6, public=("203.0.113.9", "2001:db8::9")) as phone,
        a_phone(V4, first=25200) as four,
        a_phone(V6, first=25400) as six,
    ):
        for peer, shown in ((four, "203.0.113.9"), (six, "[2001:db8::9]")):
            peer.admit = note
            place = join_host_port(*peer.address)
            dialing = asyncio.create_task(phone.dial(f"sip:1@{place}"))
            call = await anext(peer.calls())
            assert heard[-1] == f"<sip:offhook@{shown}:{phone.address[1]}>"
            assert shown.strip("[]").encode() in call.request.body
            call.reject(486)
            await asyncio.gather(dialing, return_exceptions=True)


async def test_a_registrar_is_told_where_it_can_reach_us() -> None:
    """Row 16: the Contact of a REGISTER is of the family and transport that it goes by."""
    async with a_phone(V4, V6) as phone:
        port = phone.address[1]
        assert await phone.contact_for("bot", "sip:[::1]:5070") == f"<sip:bot@[::1]:{port}>"
        assert await phone.contact_for("bot", "sip:127.0.0.1") == f"<sip:bot@127.0.0.1:{port}>"
        over_tcp = await phone.contact_for("bot", "sip:127.0.0.1;transport=tcp")
        assert over_tcp == f"<sip:bot@127.0.0.1:{port};transport=tcp>"
        client = RegistrarClient(phone, "carrier", Account.at("bot", "no-such-host.invalid"), None)
        await client.leave()


def test_two_addresses_of_one_family_are_refused() -> None:
    """Which one a call out would leave by, nobody could say."""

    async def enter() -> None:
        async with a_phone(V4, "127.0.0.2"):
            pass

    with pytest.raises(TransportError, match="one of each"):
        asyncio.run(enter())
