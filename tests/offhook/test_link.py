"""What switch and workers say to each other: whole messages, in order, with their sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from offhook.link import (
    TO_SWITCH,
    TO_WORKER,
    Adopt,
    CallEvent,
    EndCall,
    MediaChanged,
    Message,
    StartCall,
    Stop,
)
from offhook.wire import Link, LinkError, Page


class _End:
    """One end of a link and what came out of it."""

    def __init__(self, sock: socket.socket, reads: Any) -> None:
        self.messages: asyncio.Queue[tuple[Any, list[int]]] = asyncio.Queue()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.link = Link(
            sock, reads, lambda m, fds: self.messages.put_nowait((m, fds)), self.closed.set_result
        )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def _pair() -> Iterator[tuple[_End, _End]]:
    ours, theirs = socket.socketpair()
    switch, worker = _End(ours, TO_SWITCH), _End(theirs, TO_WORKER)
    try:
        yield switch, worker
    finally:
        switch.link.close()
        worker.link.close()


def _start(call_id: str = "c1") -> StartCall:
    return StartCall(
        call_id=call_id,
        route={"agent": "a"},
        media=None,
        rate_hz=8000,
        stream={"ssrc": 1, "seq": 2, "timestamp": 3},
        caller="555",
        called="100",
        parties={"headers": [["X-Thing", "ümlaut"]]},
        recording=None,
    )


async def test_a_call_arrives_with_its_two_sockets_which_still_work() -> None:
    with _pair() as (switch, worker):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.bind(("127.0.0.1", 0))
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with rtp, rtcp:
            switch.link.send(_start(), [rtp.fileno(), rtcp.fileno()])
            message, fds = await worker.messages.get()
            assert message == _start().model_copy(update={"fds": 2})
            assert len(fds) == 2
            with socket.socket(fileno=fds[0]) as borrowed:
                assert borrowed.getsockname() == rtp.getsockname()
            os.close(fds[1])
            assert rtp.getsockname()[1], "the owner's socket stays open"


async def test_messages_keep_their_order_and_each_call_its_own_sockets() -> None:
    with _pair() as (switch, worker):
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        for number in range(10):
            fds = [sock.fileno() for sock in socks[2 * number : 2 * number + 2]]
            switch.link.send(_start(f"c{number}"), fds)
            switch.link.send(EndCall(call_id=f"c{number}", reason="x"))
        for number in range(10):
            message, fds = await worker.messages.get()
            assert message.call_id == f"c{number}"
            with socket.socket(fileno=fds[0]) as first, socket.socket(fileno=fds[1]):
                assert first.getsockname() == socks[2 * number].getsockname()
            message, fds = await worker.messages.get()
            assert isinstance(message, EndCall)
            assert fds == []
        for sock in socks:
            sock.close()


async def test_a_message_whose_sockets_are_closed_is_left_out_and_the_link_goes_on() -> None:
    """A call that ends in the moment in which it gets another worker."""
    with _pair() as (switch, worker):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.close()
        switch.link.send(_start("over"), [rtp.fileno()])
        switch.link.send(EndCall(call_id="other", reason="x"))
        message, _ = await worker.messages.get()
        assert message.call_id == "other"
        assert not switch.closed.done()


async def test_sockets_of_a_message_that_waits_may_be_closed_and_their_numbers_used_again() -> None:
    """A worker that stands still gets the sockets that were meant, not whoever has their numbers by then."""
    with _pair() as (switch, worker):
        filling = 0
        while not switch.link.busy:
            switch.link.send(EndCall(call_id="x" * 10_000, reason="x"))
            filling += 1
        rtp, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with rtp, other:
            rtp.bind(("127.0.0.1", 0))
            meant, number = rtp.getsockname(), rtp.fileno()
            switch.link.send(_start(), [number])
            rtp.close()
            os.dup2(other.fileno(), number)  # the next call has it now
            before = _descriptors()
            for _ in range(filling):
                await worker.messages.get()
            _, fds = await worker.messages.get()
            os.close(number)
        with socket.socket(fileno=fds[0]) as borrowed:
            assert borrowed.getsockname() == meant
            assert _descriptors() == before - 3 + 1, (
                "its copy is gone; other, its number, and what is borrowed"
            )


async def test_more_than_the_socket_takes_at_once_arrives_whole_and_in_order() -> None:
    """A worker that is busy for a moment loses nothing."""
    with _pair() as (switch, worker):
        for number in range(200):
            worker.link.send(CallEvent(call_id="c", event={"n": number, "pad": "x" * 10_000}))
        for number in range(200):
            message, _ = await switch.messages.get()
            assert message.event["n"] == number


async def test_the_other_end_going_away_is_reported_once() -> None:
    with _pair() as (switch, worker):
        worker.link.close()
        assert await switch.closed is None
        switch.link.send(Stop())


async def test_a_line_that_is_no_message_closes_the_link_with_a_reason() -> None:
    ours, theirs = socket.socketpair()
    end = _End(ours, TO_SWITCH)
    with theirs:
        theirs.sendall(b'{"kind": "Nonsense"}\n')
        error = await end.closed
    assert isinstance(error, LinkError)
    with pytest.raises(LinkError, match="not a link message"):
        raise error


async def test_keys_of_a_call_are_shown_by_no_repr_and_no_error() -> None:
    """Row 51: they cross the link, and a message that is wrong is named in the log."""
    media = {"codec": "PCMU", "srtp": {"send_key": "SECRET"}}
    message = MediaChanged(call_id="c" * 36, media=media)
    assert "SECRET" not in repr(message)
    assert "SECRET" not in repr(_start().model_copy(update={"media": media}))
    ours, theirs = socket.socketpair()
    end = _End(ours, TO_WORKER)
    with theirs:
        theirs.sendall(message.model_dump_json().replace('"media":{', '"nonsense":{').encode() + b"\n")
        error = await end.closed
    assert isinstance(error, LinkError) and "nonsense" in str(error)
    assert "SECRET" not in str(error)


class _Switch(_End):
    """The switch's end of a link that outlives it."""

    def __init__(self, sock: socket.socket, page: Page, *, resumed: bool = False) -> None:
        self.messages = asyncio.Queue()
        self.closed = asyncio.get_running_loop().create_future()
        self.link = Link(
            sock,
            TO_SWITCH,
            lambda m, fds: self.messages.put_nowait((m, fds)),
            self.closed.set_result,
            page=page,
            resumed=resumed,
        )

    async def numbers(self, count: int) -> list[int]:
        """What the next so many events are about."""
        return [(await self.messages.get())[0].event["n"] for _ in range(count)]


class _Worker:
    """The worker's end: it says everything again to a switch that adopts it."""

    def __init__(self, sock: socket.socket, page: Page) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.link = Link(sock, TO_WORKER, self._told, self.closed.set_result, page=page, numbers=True)

    def _told(self, message: Any, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        if isinstance(message, Adopt):
            self.link.say_again()
        self.told.put_nowait(message)

    def say(self, *numbers: int) -> None:
        for number in numbers:
            self.link.send(CallEvent(call_id="c", event={"n": number}))


@pytest.mark.parametrize("read", [0, 1, 30, 200])
async def test_what_a_worker_says_to_a_dead_switch_is_heard_once_by_the_next_one(read: int) -> None:
    """read: bytes that the dead one had taken out of the socket and not dealt with, in the middle of a line perhaps."""
    ours, theirs = socket.socketpair()
    keepers = ours.dup()
    page = Page.create()
    worker, first = _Worker(theirs, page), _Switch(ours, page)
    worker.say(1, 2)
    assert await first.numbers(2) == [1, 2]
    first.link.close()  # as a process that dies: the keeper has the socket still
    worker.say(3, 4, 5)
    keepers.setblocking(False)
    if read:
        keepers.recv(read)
    second = _Switch(keepers, page, resumed=True)
    second.link.begin_anew()
    second.link.send(Adopt())
    assert await second.numbers(3) == [3, 4, 5]
    worker.say(6)
    assert await second.numbers(1) == [6]
    assert second.messages.empty()
    worker.link.close()
    second.link.close()
    page.close()


@pytest.mark.parametrize("written", [1, 20, 150])
async def test_a_line_that_a_dead_switch_has_begun_is_dropped_with_its_sockets(written: int) -> None:
    ours, theirs = socket.socketpair()
    page = Page.create()
    worker = _Worker(theirs, page)
    line = _start().model_copy(update={"fds": 1}).model_dump_json().encode()
    before = len(os.listdir("/proc/self/fd"))
    socket.send_fds(ours, [line[:written]], [0])
    second = _Switch(ours, page, resumed=True)
    second.link.begin_anew()
    second.link.send(Adopt())
    second.link.send(EndCall(call_id="c", reason="x"))
    assert isinstance(await worker.told.get(), Adopt)
    assert isinstance(await worker.told.get(), EndCall)
    assert len(os.listdir("/proc/self/fd")) == before
    worker.link.close()
    second.link.close()
    page.close()


async def test_half_a_line_that_nobody_adopts_behind_is_an_error() -> None:
    """A switch that lives does not stop in the middle of a line."""
    ours, theirs = socket.socketpair()
    page = Page.create()
    worker = _Worker(theirs, page)
    with ours:
        ours.sendall(b'{"kind": "En\n' + EndCall(call_id="c", reason="x").model_dump_json().encode() + b"\n")
        assert isinstance(await worker.closed, LinkError)
    page.close()


def test_every_message_kind_says_its_own_name() -> None:
    kinds = list(Message.__subclasses__())
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.model_fields["kind"].default == kind.__name__
