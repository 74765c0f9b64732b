"""A phone dies in the middle of its calls; another one on its sockets goes on with them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telephony.call.call import Call
from telephony.call.events import MediaChanged
from telephony.call.state import Leg
from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.telephony.test_phone import HOST, Heard, number


class Shelf:
    """Sockets that outlive a phone."""

    def __init__(self) -> None:
        self._kept: dict[str, socket.socket] = {}

    def take(self, name: str) -> socket.socket | None:
        return self._kept.pop(name, None)

    def keep(self, name: str, sock: socket.socket) -> None:
        self._kept[name] = sock.dup()

    def close(self) -> None:
        for sock in self._kept.values():
            sock.close()


async def dies(phone: Phone) -> None:
    """As a process does: its sockets are closed, and nobody says a word."""
    await phone._transport.close()
    phone.goodbye_s = 0.01


@asynccontextmanager
async def a_phone(shelf: Shelf | None = None) -> AsyncIterator[Phone]:
    ports = PortPool(HOST, 23000, 23400)
    async with Phone(host=HOST, port=0, ports=ports, shelf=shelf) as phone:
        yield phone


@asynccontextmanager
async def another(shelf: Shelf, saved: dict[str, Any], socks: list[socket.socket]) -> AsyncIterator[Call]:
    """The call as the next phone has it. saved: went through JSON on its way."""
    found: list[Call] = []
    phone = Phone(host=HOST, port=0, ports=PortPool(HOST, 23000, 23400), shelf=shelf)

    async def adopt() -> None:
        found.append(phone.adopt(json.loads(json.dumps(saved)), socks))

    phone.before_hearing = adopt
    async with phone:
        yield found[0]


def direction(call: Call) -> str:
    return call.plan.direction if call.plan is not None else ""


async def taken_from(phone: Phone) -> Call:
    async for call in phone.calls():
        return call
    raise AssertionError("no call came")


@asynccontextmanager
async def a_call_that_changed_hands() -> AsyncIterator[tuple[Call, Call]]:
    """The caller's end, and the called end in the phone after the one that answered."""
    shelf = Shelf()
    async with a_phone() as caller, a_phone(shelf) as first:
        ours = await _answered(caller, first)
        theirs = first.live[0]
        assert theirs.rtp is not None
        socks = [theirs.rtp.rtp.dup(), theirs.rtp.rtcp.dup()]
        saved = theirs.snapshot()
        await dies(first)
        async with another(shelf, saved, socks) as adopted:
            yield ours, adopted
    shelf.close()


async def _answered(caller: Phone, called: Phone) -> Call:
    dialling = asyncio.create_task(caller.dial(number(called)))
    (await taken_from(called)).answer()
    call = await dialling
    await called.live[0].settled()
    return call


async def test_it_is_the_same_call_with_the_same_sockets() -> None:
    async with a_call_that_changed_hands() as (ours, adopted):
        assert adopted.leg is Leg.TALKING and adopted.direction == "inbound"
        assert adopted.sip_call_id == ours.sip_call_id
        assert ours.plan is not None and adopted.plan is not None and adopted.rtp is not None
        assert ours.plan.remote[1] == adopted.rtp.port
        assert ours.rtp is not None and adopted.plan.remote[1] == ours.rtp.port


async def test_its_far_side_holds_and_hangs_up() -> None:
    """Requests within the dialog reach it; the version of our description goes on counting."""
    async with a_call_that_changed_hands() as (ours, adopted):
        changed = Heard(adopted).next(MediaChanged)
        await ours.hold()
        await changed
        assert direction(adopted) == "recvonly"
        ours.hang_up("enough")
        assert (await adopted.ended()).by == "caller"


@pytest.mark.parametrize("what", ["hold", "hang up"])
async def test_what_we_ask_within_it_is_answered(what: str) -> None:
    """With a sequence number that no request of the dead phone's had."""
    async with a_call_that_changed_hands() as (ours, adopted):
        if what == "hold":
            await adopted.hold()
            assert direction(ours) == "recvonly"
            await adopted.resume()
            assert direction(ours) == "sendrecv"
        adopted.hang_up("goodbye")
        assert (await ours.ended()).reason == "goodbye"


async def test_one_that_was_over_stays_over() -> None:
    """Only its record was not complete."""
    shelf = Shelf()
    async with a_phone() as caller, a_phone(shelf) as first:
        ours = await _answered(caller, first)
        theirs = first.live[0]
        ours.hang_up("done")
        ended = await theirs.ended()
        await dies(first)
        async with another(shelf, theirs.snapshot(), []) as adopted:
            assert adopted.leg is Leg.OVER
            assert await adopted.ended() == ended
    shelf.close()


async def test_an_invite_that_had_only_its_100_is_heard_once_more() -> None:
    """Its caller does not repeat it; the tag of the next phone is the first one that it hears."""
    shelf = Shelf()
    async with a_phone() as caller, a_phone(shelf) as first:
        dialling = asyncio.create_task(caller.dial(number(first)))
        offered = (await taken_from(first)).snapshot()["invite"]
        await dies(first)
        phone = Phone(host=HOST, port=0, ports=PortPool(HOST, 23000, 23400), shelf=shelf)

        async def hear() -> None:
            phone.hear_again(*(json.loads(json.dumps(offered))[name] for name in ("request", "flow")))

        phone.before_hearing = hear
        async with phone:
            (await taken_from(phone)).answer()
            call = await dialling
            assert call.leg is Leg.TALKING
            call.hang_up()
            await call.ended()
    shelf.close()
