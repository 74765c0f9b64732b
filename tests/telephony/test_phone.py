"""Two phones on loopback call each other over real UDP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from telephony.call.call import Call
from telephony.call.events import Answered, CallEvent, Confirmed, Ended, MediaChanged, Ringing
from telephony.call.state import Leg
from telephony.errors import CallFailed, OutOfOrder, SdpError
from telephony.media.ports import PortPool
from telephony.phone import Phone, Rejection
from telephony.sip.message import Request

HOST = "127.0.0.1"


@asynccontextmanager
async def a_phone(codecs: tuple[str, ...] = ("PCMU", "PCMA"), first: int = 21000) -> AsyncIterator[Phone]:
    async with Phone(host=HOST, port=0, ports=PortPool(HOST, first, first + 400), codecs=codecs) as phone:
        yield phone


def number(phone: Phone, user: str = "100") -> str:
    return f"sip:{user}@{HOST}:{phone.address[1]}"


class Heard:
    """Every event of a call, in order, and a future for each one that is waited for."""

    def __init__(self, call: Call | None = None) -> None:
        self.events: list[CallEvent] = []
        self._wanted: list[tuple[Callable[[CallEvent], bool], asyncio.Future[CallEvent]]] = []
        if call is not None:
            call.listen(self)

    def __call__(self, event: CallEvent) -> None:
        self.events.append(event)
        for wanted, found in self._wanted:
            if wanted(event) and not found.done():
                found.set_result(event)

    def next(self, kind: type[CallEvent]) -> asyncio.Future[CallEvent]:
        """The next event of that kind from now on."""
        found: asyncio.Future[CallEvent] = asyncio.get_running_loop().create_future()
        self._wanted.append((lambda event: isinstance(event, kind), found))
        return found

    @property
    def kinds(self) -> list[type[CallEvent]]:
        return [type(event) for event in self.events]


@asynccontextmanager
async def a_call() -> AsyncIterator[tuple[Call, Call]]:
    """The caller's and the callee's end of a standing call."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        dialing = asyncio.create_task(alice.dial(number(bob), caller=number(alice, "anna")))
        theirs = await anext(bob.calls())
        theirs.answer()
        ours = await dialing
        await theirs.settled()
        yield ours, theirs


async def test_a_call_is_rung_answered_and_hung_up_by_the_caller() -> None:
    """RFC 3261 §13, §15: INVITE, 180, 200, ACK, BYE; both ends see the same call and the same plan."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        heard = Heard()
        dialing = asyncio.create_task(alice.dial(number(bob, "4711"), caller=number(alice), listen=heard))
        theirs = await anext(bob.calls())
        at_bob = Heard(theirs)
        assert theirs.called.number == "4711"
        assert theirs.source == alice.address
        theirs.ring()
        plan = theirs.negotiate()
        theirs.answer()
        ours = await dialing
        await theirs.settled()

        assert heard.kinds == [Ringing, MediaChanged, Answered, Confirmed]
        assert ours.sip_call_id == theirs.sip_call_id
        assert plan is not None and ours.plan is not None and ours.rtp is not None and theirs.rtp is not None
        assert plan.remote == (HOST, ours.rtp.port)
        assert ours.plan.remote == (HOST, theirs.rtp.port)
        assert ours.leg is theirs.leg is Leg.TALKING

        ours.hang_up("had enough")
        assert await ours.ended() == Ended("us", 200, "had enough")
        assert await theirs.ended() == Ended("caller", 200, "had enough")
        assert at_bob.kinds == [Answered, Confirmed, Ended]
        assert bob.live == alice.live == ()


async def test_the_callee_hangs_up() -> None:
    """RFC 3261 §15: either side may send BYE."""
    async with a_call() as (ours, theirs):
        theirs.hang_up("closing time")
        assert await ours.ended() == Ended("callee", 200, "closing time")
        assert (await theirs.ended()).by == "us"


async def test_both_hang_up_at_once() -> None:
    """Row 10: BYE crossing BYE ends both legs, each once and each by its own wish."""
    async with a_call() as (ours, theirs):
        at_end = Heard(ours)
        ours.hang_up()
        theirs.hang_up()
        assert (await ours.ended()).by == (await theirs.ended()).by == "us"
        assert at_end.kinds == [Ended]


async def test_cancelling_a_ringing_call_ends_it_for_both() -> None:
    """RFC 3261 §9: cancelling `dial` sends CANCEL; the callee ends with 487, and may not answer any more."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        heard = Heard()
        rings = heard.next(Ringing)
        dialing = asyncio.create_task(alice.dial(number(bob), listen=heard))
        theirs = await anext(bob.calls())
        theirs.ring()
        await rings
        over = heard.next(Ended)
        dialing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialing
        ended = await theirs.ended()
        assert (ended.by, ended.code) == ("caller", 487)
        await over
        assert alice.live == ()
        with pytest.raises(OutOfOrder, match="Answered while the leg is OVER"):
            theirs.answer()


async def test_a_call_that_nobody_answers_is_given_up() -> None:
    """`timeout` passes: 408 for the caller, CANCEL for the callee."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        with pytest.raises(CallFailed, match="not answered within") as failed:
            await alice.dial(number(bob), timeout=0.05)
        assert failed.value.code == 408
        assert bob.live == () or (await bob.live[0].ended()).code == 487


async def test_an_unknown_number_is_refused_with_404() -> None:
    """The far side's code and words come back to whoever dialled; no port stays lent."""
    ports = PortPool(HOST, 22000, 22010)
    async with a_phone() as bob, Phone(host=HOST, port=0, ports=ports) as alice, asyncio.timeout(10):
        dialing = asyncio.create_task(alice.dial(number(bob)))
        (await anext(bob.calls())).reject(404, "No such number")
        with pytest.raises(CallFailed, match="404 No such number") as failed:
            await dialing
        assert failed.value.code == 404
        assert ports.lent == 0


async def test_media_that_cannot_be_met_is_488() -> None:
    """RFC 3264 §6: no common codec; `negotiate` raises the code to reject with and lends nothing."""
    ports = PortPool(HOST, 21000, 21010)
    async with (
        Phone(host=HOST, port=0, ports=ports, codecs=("PCMA",)) as bob,
        a_phone(codecs=("PCMU",), first=22000) as alice,
        asyncio.timeout(10),
    ):
        dialing = asyncio.create_task(alice.dial(number(bob)))
        theirs = await anext(bob.calls())
        with pytest.raises(SdpError) as refused:
            theirs.negotiate()
        theirs.reject(refused.value.code)
        with pytest.raises(CallFailed) as failed:
            await dialing
        assert failed.value.code == 488
        assert ports.lent == 0


async def test_the_gate_refuses_before_a_call_exists() -> None:
    """503 with Retry-After: `admit` decides on the INVITE and its source; the user never sees the call."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        asked: list[tuple[str, tuple[str, int]]] = []

        def full(request: Request, source: tuple[str, int], trunk: str) -> Rejection:
            asked.append((request.target.number, source))
            return Rejection(503, "Full", retry_after=7)

        bob.admit = full
        with pytest.raises(CallFailed, match="503 Full"):
            await alice.dial(number(bob, "42"))
        assert asked == [("42", alice.address)]
        assert bob.live == () and bob.counters.rejected == 1


async def test_a_gate_that_fails_costs_one_call_only() -> None:
    """An exception in `admit` is a 500 for that caller; the next one is served."""
    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):

        def broken(request: Request, source: tuple[str, int], trunk: str) -> None:
            raise LookupError("no such table")

        bob.admit = broken
        with pytest.raises(CallFailed) as failed:
            await alice.dial(number(bob))
        assert failed.value.code == 500
        bob.admit = None
        dialing = asyncio.create_task(alice.dial(number(bob)))
        (await anext(bob.calls())).answer()
        assert (await dialing).leg is Leg.TALKING


async def test_hold_and_resume_change_the_direction_on_both_sides() -> None:
    """RFC 3264 §8.4: a re-INVITE with sendonly is answered recvonly; the same dialog carries both."""
    async with a_call() as (ours, theirs):
        at_bob = Heard(theirs)
        await ours.hold()
        assert ours.plan is not None and theirs.plan is not None
        assert (ours.plan.direction, theirs.plan.direction) == ("sendonly", "recvonly")
        await ours.resume()
        assert (ours.plan.direction, theirs.plan.direction) == ("sendrecv", "sendrecv")
        assert at_bob.kinds == [MediaChanged, MediaChanged]
        assert ours.leg is theirs.leg is Leg.TALKING


async def test_a_declined_transfer_leaves_the_call_standing() -> None:
    """RFC 3515 §2.4.2: our own phone declines REFER with 603, and both keep talking."""
    async with a_call() as (ours, theirs):
        outcome = await theirs.transfer("sip:200@example.com")
        assert (outcome.ok, outcome.code) == (False, 603)
        assert ours.leg is theirs.leg is Leg.TALKING


async def test_leaving_hangs_up_what_is_left() -> None:
    """A talking call gets BYE, a waiting one 503 with Retry-After, and no port stays lent."""
    ports = PortPool(HOST, 21000, 21040)
    async with a_phone(first=22000) as alice, asyncio.timeout(10):
        async with Phone(host=HOST, port=0, ports=ports) as bob:
            calls = bob.calls()
            first = asyncio.create_task(alice.dial(number(bob)))
            theirs = await anext(calls)
            theirs.answer()
            ours = await first
            await theirs.settled()
            waiting = asyncio.create_task(alice.dial(number(bob)))
            await anext(calls)
        assert (await ours.ended()).by == "callee"
        with pytest.raises(CallFailed, match="503"):
            await waiting
        assert ports.lent == 0
        with pytest.raises(StopAsyncIteration):
            await anext(calls)


async def test_a_listener_that_fails_does_not_stop_the_call() -> None:
    """Errors in one place never touch another: the event still reaches everyone else, and the call stands."""

    def broken(event: CallEvent) -> None:
        raise RuntimeError("listener")

    async with a_phone() as bob, a_phone(first=22000) as alice, asyncio.timeout(10):
        dialing = asyncio.create_task(alice.dial(number(bob)))
        theirs = await anext(bob.calls())
        theirs.listen(broken)
        heard = Heard(theirs)
        theirs.answer()
        await dialing
        await theirs.settled()
        assert heard.kinds == [Answered, Confirmed]
