"""Which worker gets a call whose own one is gone, when the switch sends packets itself, and when it is enough.

The phone call is real, the workers' part is played by the test; real processes die for them."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from offhook.link import (
    Adopted,
    CallLeft,
    CallRefused,
    Checkpoint,
    Consult,
    ConsultAnswered,
    HandIn,
    LetGo,
    Load,
    Notice,
    StartCall,
)
from offhook.switch.active import ActiveCall
from offhook.switch.pool import Pool
from offhook.switch.recovery import LEAVE_S, LONGEST_WAIT_S, MUTE_S, Recovery
from offhook.switch.worker import Worker
from offhook.wire import Link
from telephony.call.call import Call
from telephony.call.events import CallEvent, Ended
from telephony.errors import CallFailed
from telephony.media.crypto import Guard, Place
from telephony.media.packet import parse
from telephony.media.sending_state import StreamState
from telephony.media.vitals import Vitals
from telephony.phone import Phone
from tests.offhook.reception_rig import Rig, a_peer, a_reception
from tests.offhook.test_reception import ring

TRUNKS = "trunks: [{name: carrier, allow_from: 127.0.0.2}]\n"
SILENCE = b"\xff" * 160
WEDGED_S = 1.0  # the default
CLAIMS = """
import sys
from telephony.media.vitals import Vitals
vitals = Vitals(int(sys.argv[1]))
assert vitals.claim()
print("claimed", flush=True)
sys.stdin.read()
"""


class Scene:
    """One call between a phone and a worker of which the switch believes that it ticks."""

    def __init__(self, rig: Rig, caller: Call, links: list[Link], carrier: Phone) -> None:
        self.carrier = carrier
        self.rig, self.caller, self._links = rig, caller, links
        (self.active,) = rig.reception.calls.values()
        self.loop = asyncio.get_running_loop()
        assert caller.rtp is not None
        self.ear = caller.rtp.rtp.dup()
        self.ear.setblocking(False)
        srtp = caller.plan.srtp if caller.plan is not None else None
        self.guard = Guard(srtp) if srtp is not None else None
        self.tick()

    @property
    def recovery(self) -> Recovery:
        return self.rig.reception.recovery

    @property
    def pool(self) -> Pool:
        assert self.rig.reception.pool is not None
        return self.rig.reception.pool

    def tick(self, ago_s: float = 0.0, *, sequence: int = 100) -> None:
        """The worker has sent a packet."""
        driven(self.active.vitals, self.ear, self.loop.time() - ago_s, sequence)

    def spare(self) -> None:
        """A second worker is there."""
        self._links += self.rig.hire_another()

    async def dies(self, how: signal.Signals, *, acting: bool) -> None:
        """The call's worker is gone, of that signal; at its own doing or not."""
        worker = self.active.worker
        worker.process = await asyncio.create_subprocess_exec("sleep", "600")
        worker.process.send_signal(how)
        await worker.process.wait()
        self.active.vitals.act(acting)
        self.gone(worker)

    def gone(self, worker: Worker) -> None:
        worker.ready = False
        self.recovery.lost(worker)

    def back(self, worker: Worker) -> None:
        """It was started again."""
        worker.ready, worker.lost, worker.started = True, False, self.loop.time()

    def packets(self) -> list[tuple[int, int, int, bytes]]:
        """Sequence number, timestamp, SSRC and payload of what has come to the phone."""
        got: list[tuple[int, int, int, bytes]] = []
        while True:
            try:
                data = self.ear.recv(2048)
            except BlockingIOError:
                return got
            if self.guard is not None:
                clear = self.guard.unprotect(data)
                assert clear is not None, "the phone does not take it"
                data = clear
            header = parse(data, len(data))
            got.append((header.sequence, header.timestamp, header.ssrc, data[header.start : header.end]))


@asynccontextmanager
async def scene(
    folder: Path,
    settings: str = "",
    number: str = "+4930123",
    *,
    trunks: str = TRUNKS,
    srtp: Literal["off", "required"] = "off",
) -> AsyncIterator[tuple[Scene, Phone]]:
    links: list[Link] = []
    try:
        async with (
            a_reception(folder, trunks + settings) as rig,
            a_peer("127.0.0.2", srtp=srtp) as carrier,
        ):
            play = Scene(rig, await ring(rig, carrier, number), links, carrier)
            try:
                yield play, carrier
            finally:
                play.caller.hang_up()
                await play.caller.ended()
                play.ear.close()
    finally:
        for link in links:
            link.close()


def driven(vitals: Vitals, ear: socket.socket, at: float, sequence: int = 100, wraps: int = 0) -> None:
    """As a worker leaves them that has sent a packet to that socket."""
    vitals.comfort(0, 160, SILENCE)
    vitals.peer(None, ear.getsockname()[:2])
    vitals.sending(StreamState(7, sequence, 16000, wraps), at, 100, 16000)
    vitals.ticked(at, 100, None, None, 0)


def calls_of(worker: Worker) -> int:
    return len(worker.calls)


async def test_a_spare_gets_the_call_with_its_checkpoint(tmp_path: Path) -> None:
    """The state as it was saved last, the history put together from what was sent of it."""
    async with scene(tmp_path) as (play, _):
        active, one = play.active, play.active.worker
        told = [Checkpoint(call_id=active.id, state="{}", kept=0, added=["1", "2"])]
        told.append(Checkpoint(call_id=active.id, state='{"agent": "desk"}', kept=1, added=["3"]))
        for checkpoint in told:
            play.rig.reception.heard_from(one, checkpoint)
        play.spare()
        play.gone(one)
        start = await play.rig.told(StartCall)
    assert (start.state, start.history) == ('{"agent": "desk"}', ["1", "3"])
    assert (start.resumes, start.takeovers, start.joined, start.holding) == (True, 1, False, False)


async def test_a_call_that_ends_as_its_worker_dies_goes_to_nobody(tmp_path: Path) -> None:
    """Its sockets are closed: who was given them would lose its link, and with it its own calls."""
    async with scene(tmp_path) as (play, _):
        one, spare = play.pool.workers
        play.spare()
        active = play.active

        def dies(event: CallEvent) -> None:  # before anybody who waits for the end has had a turn
            if isinstance(event, Ended):
                play.gone(one)

        active.call.listen(dies)
        play.caller.hang_up()
        async with asyncio.timeout(5):
            assert await active.finished == {}
        assert active.worker is one and not spare.calls and active.takeovers == []


async def test_a_worker_is_not_killed_for_the_silence_of_the_one_before(tmp_path: Path) -> None:
    """It gets a second of its own to begin; a call's last tick may be older than that when it is moved."""
    async with scene(tmp_path) as (play, _):
        one, spare = play.pool.workers
        play.spare()
        play.tick(ago_s=5.0)
        play.gone(one)
        now = play.loop.time()
        for look in range(3):
            play.recovery.look(now + 0.02 * look)
        assert play.active.worker is spare and not spare.lost
        play.recovery.look(now + WEDGED_S + 0.1)
        assert spare.lost and spare.killed
        play.back(one)  # somebody has to conclude the call
        play.recovery.look(now + WEDGED_S + 0.12)


async def test_the_switch_sends_silence_in_the_place_of_a_worker_that_stands_still(tmp_path: Path) -> None:
    """From the fourth missing packet on, under the stream's own numbers, timestamps with the time that passed."""
    async with scene(tmp_path) as (play, _):
        play.tick(sequence=65535)
        play.packets()
        now = play.loop.time()
        play.recovery.look(now + 0.05)
        assert play.packets() == []
        for at in (0.08, 0.10, 0.12):
            play.recovery.look(now + at)
        got = play.packets()
    assert [sequence for sequence, *_ in got] == [65535, 0, 1]
    assert {ssrc for _, _, ssrc, _ in got} == {7} and {payload for *_, payload in got} == {SILENCE}
    assert [(stamp - 16000) % 160 for _, stamp, *_ in got] == [0, 0, 0]
    assert 160 * 2 <= got[0][1] - 16000 <= 160 * 4 and got[1][1] - got[0][1] == 160


async def test_the_switch_sends_nothing_while_the_worker_does(tmp_path: Path) -> None:
    """It was given no time in the middle of sending: the number is its own. Once it has sent, or is dead, we may."""
    async with scene(tmp_path) as (play, _):
        play.packets()
        now = play.loop.time()
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", CLAIMS, str(play.active.vitals.fd)),
            pass_fds=[play.active.vitals.fd],
            stdout=asyncio.subprocess.PIPE,
        )
        assert worker.stdout is not None and await worker.stdout.readline() == b"claimed\n"
        worker.send_signal(signal.SIGSTOP)
        for at in (0.08, 0.10):
            play.recovery.look(now + at)
        assert play.packets() == []
        worker.kill()
        await worker.wait()
        play.recovery.look(now + 0.12)
        assert len(play.packets()) == 1


@pytest.mark.parametrize("wraps", [0, 3])
async def test_the_switch_goes_on_with_an_encrypted_stream(tmp_path: Path, wraps: int) -> None:
    """Under its key and the index that follows (RFC 3711 §3.3.1); the worker that comes back is understood as well."""
    trunks = "trunks: [{name: carrier, allow_from: 127.0.0.2, srtp: required}]\n"
    async with scene(tmp_path, trunks=trunks, srtp="required") as (play, _):
        assert play.guard is not None and play.active.call.plan is not None
        now, srtp = play.loop.time(), play.active.call.plan.srtp
        assert srtp is not None
        driven(play.active.vitals, play.ear, now, 65534, wraps)
        play.guard.go_on(Place((8, 0), (7, wraps << 16 | 65533), 0))
        for at in (0.08, 0.10, 0.12, 0.14):
            play.recovery.look(now + at)
        got = play.packets()
        assert [sequence for sequence, *_ in got] == [65534, 65535, 0, 1]
        assert {payload for *_, payload in got} == {SILENCE}
        state, _, packets, _ = play.active.vitals.last_sent()
        assert (state.seq, state.wraps, packets) == (2, wraps + 1, 104)
        worker = Guard(srtp)
        worker.go_on(Place((7, wraps << 16 | 65534), None, 0))  # as it was before it stood still
        play.active.call.rtp.rtp.sendto(  # type: ignore[union-attr]
            worker.protect(struct.pack("!BBHII", 0x80, 0, state.seq, state.timestamp, 7) + SILENCE),
            play.ear.getsockname(),
        )
        assert [sequence for sequence, *_ in play.packets()] == [2]
        assert (play.guard.unauthenticated, play.guard.replayed) == (0, 0)


async def test_a_colleague_hears_silence_too_while_the_worker_stands_still(tmp_path: Path) -> None:
    """Both legs hang on it; each has its own stream."""
    trunks = 'trunks: [{name: carrier, allow_from: 127.0.0.2, host: "127.0.0.2:%d", allowed: ["+49*"]}]\n'
    async with (
        a_peer("127.0.0.2", 24900) as desk,
        scene(tmp_path, trunks=trunks % desk.address[1]) as (play, _),
    ):
        reception, call_id = play.rig.reception, play.active.id
        wanted = Consult(call_id=call_id, consult=1, target="+4989555", ring_s=5.0)
        reception.heard_from(play.active.worker, wanted)
        theirs = await anext(desk.calls())
        theirs.answer()
        await play.rig.told(ConsultAnswered)
        line = play.recovery.line_of(call_id)
        assert line is not None and theirs.rtp is not None
        ear = theirs.rtp.rtp.dup()
        ear.setblocking(False)
        play.tick()
        now = play.loop.time()
        play.recovery.look(now + 0.08)
        assert len(play.packets()) == 1, "nobody has driven the other leg yet"
        driven(line[1], ear, now, sequence=500)
        play.tick()
        play.recovery.look(now + 0.05)
        with pytest.raises(BlockingIOError):
            ear.recv(2048)
        for at in (0.08, 0.10):
            play.recovery.look(now + at)
        assert len(play.packets()) == 2
        heard = [parse(data, len(data)).sequence for data in (ear.recv(2048), ear.recv(2048))]
        assert heard == [500, 501]
        ear.close()


async def test_a_call_without_any_worker_waits_for_one(tmp_path: Path) -> None:
    """Its packets are silence meanwhile; after LONGEST_WAIT_S it is given up."""
    async with scene(tmp_path) as (play, _):
        (one, _), now = play.pool.workers, play.loop.time()
        play.gone(one)
        play.packets()
        play.recovery.look(now + 1.0)
        assert len(play.packets()) == 1 and play.active.worker is one
        play.back(one)
        play.recovery.look(now + 1.02)
        assert (await play.rig.told(StartCall)).takeovers == 1
        play.gone(one)
        play.recovery.look(play.loop.time() + LONGEST_WAIT_S + 0.1)
        ended = await play.caller.ended()
        assert ended.by == "callee"
        assert play.active.end_reason == "worker_lost"


@pytest.mark.parametrize(
    ("how", "acting", "given_up"),
    [
        (signal.SIGSEGV, True, True),  # in its own code
        (signal.SIGSEGV, False, True),  # alone on it, whatever it was
        (signal.SIGKILL, True, False),  # somebody killed it from outside
    ],
)
async def test_only_a_call_that_takes_workers_down_itself_is_given_up(
    tmp_path: Path, how: signal.Signals, acting: bool, given_up: bool
) -> None:
    """Two of them within a minute."""
    async with scene(tmp_path) as (play, _):
        play.spare()
        workers = play.pool.workers
        for round_ in range(4):
            if play.active.alone:
                break
            dead = play.active.worker
            await play.dies(how, acting=acting)
            play.recovery.look(play.loop.time())
            assert not given_up or play.active.alone == (round_ == 1)
            play.back(dead)
        assert play.active.alone is given_up
        assert len(play.active.takeovers) == (2 if given_up else 4)
        assert all(not calls_of(worker) for worker in workers if worker is not play.active.worker)


@pytest.mark.parametrize(("stopped", "to_blame"), [(False, True), (True, False)])
async def test_who_blocks_a_worker_is_to_blame_and_who_is_not_given_time_is_not(
    tmp_path: Path, stopped: bool, to_blame: bool
) -> None:
    """A process that sleeps in the middle of a call's code, and one that somebody has stopped."""
    async with scene(tmp_path) as (play, _):
        play.spare()
        worker = play.active.worker
        worker.process = await asyncio.create_subprocess_exec("sleep", "600")
        state = "T" if stopped else "S"
        if stopped:
            worker.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            while worker.activity()[0] != state:  # noqa: ASYNC110 # the kernel does not tell
                await asyncio.sleep(0)
        play.active.vitals.act(True)
        now = play.loop.time()
        play.recovery.look(now + 0.1)
        play.recovery.look(now + WEDGED_S + 0.1)
        assert worker.lost and worker.killed
        await worker.process.wait()
        assert bool(play.active.blamed) is to_blame


async def test_a_call_whose_next_worker_has_no_agent_for_it_goes_to_the_fallback(tmp_path: Path) -> None:
    """It would have sound, and nobody to talk to."""
    async with scene(tmp_path) as (play, _):
        play.spare()
        play.gone(play.active.worker)
        start = await play.rig.told(StartCall)
        refused = CallRefused(call_id=start.call_id, code=503, reason="no model")
        play.rig.reception.heard_from(play.active.worker, refused)
        await play.caller.ended()
        assert play.active.end_reason == "agent_not_available"


async def test_who_stands_by_when_a_worker_dies_is_not_to_blame(tmp_path: Path) -> None:
    """Two calls on a worker: the one whose code ran is."""
    async with scene(tmp_path) as (play, carrier):
        play.spare()
        two = asyncio.create_task(carrier.dial(f"sip:+4930123@127.0.0.1:{play.rig.phone.address[1]}"))
        start = await play.rig.told(StartCall)
        by_stander = play.rig.reception.calls[start.call_id]
        by_stander.worker = play.active.worker
        for _ in range(2):
            dead = play.active.worker
            await play.dies(signal.SIGSEGV, acting=True)
            play.back(dead)
            by_stander.worker = play.active.worker
        assert play.active.alone and not by_stander.alone
        assert by_stander.blamed == []
        two.cancel()


@pytest.mark.parametrize(
    ("number", "to"),
    [
        ("+4930124", "sip:human@pbx.example"),  # provider_outage is all there is
        ("+4930125", "sip:boss@pbx.example"),  # agent_crash, the address that its target rings
        ("+4930126", "sip:rescue@pbx.example"),
        ("+4930127", "sip:human@pbx.example"),  # agent_crash is an agent: that needs a worker
    ],
)
async def test_a_call_that_is_given_up_hears_why_and_goes_to_the_fallback(
    tmp_path: Path, number: str, to: str
) -> None:
    """The switch plays what a worker has encoded when it started, then refers the caller to `on_failure`."""
    async with scene(tmp_path, number=number) as (play, _):
        notice = base64.b64encode(b"\x01" * 480).decode()
        said = Notice(language="en", codec="PCMU", payload=notice)
        play.rig.reception.heard_from(play.active.worker, said)
        play.spare()
        play.packets()
        for _ in range(2):
            dead = play.active.worker
            await play.dies(signal.SIGSEGV, acting=True)
            play.back(dead)
        await play.caller.ended()
        heard = [payload for *_, payload in play.packets()]
        assert heard.count(b"\x01" * 160) == 3
        (given_up,) = journal(play.active, "CallGivenUp")
    assert given_up == {"type": "CallGivenUp", "workers": 2, "fallback": to}
    facts = json.loads((play.active.bundle.path / "call.json").read_text())
    assert (facts["media"]["codec"], facts["media"]["sent"]) == ("PCMU", 103), "though no worker told its end"


async def test_the_next_switch_says_the_goodbye_that_one_died_over(tmp_path: Path) -> None:
    """Nor does a worker that has the number of the one that died get the call."""
    async with scene(tmp_path, number="+4930126") as (play, _):
        play.active.alone, moved = True, play.active.moved
        play.rig.reception.legacy.settle(play.active.worker, Adopted(pid=1, calls=[], ready=True))
        assert play.active.moved == moved
        play.recovery.part(play.active)
        await play.caller.ended()
        assert journal(play.active, "CallGivenUp") == [], "the one before has written it"


@pytest.mark.parametrize(("number", "code"), [("+4930126", 302), ("+4930123", 503)])
async def test_a_call_that_rings_and_gets_no_worker_is_sent_elsewhere(
    tmp_path: Path, number: str, code: int
) -> None:
    """302 to `agent_crash` while that is still possible; else it is refused, and may be tried again."""
    async with a_reception(tmp_path, TRUNKS) as rig, a_peer("127.0.0.2") as carrier:
        dialing = asyncio.create_task(carrier.dial(address(rig, number)))
        await rig.told(StartCall)
        reception, loop = rig.reception, asyncio.get_running_loop()
        assert reception.pool is not None
        (worker, _) = reception.pool.workers
        worker.ready = False
        reception.recovery.lost(worker)
        reception.recovery.look(loop.time() + LONGEST_WAIT_S + 0.1)
        with pytest.raises(CallFailed) as failed:
            await dialing
        assert failed.value.code == code


async def test_a_call_that_was_let_go_waits_for_a_worker_like_one_that_lost_its_own(tmp_path: Path) -> None:
    """The new ones have died in the middle of a reload. The old one is not killed for it, and there is silence."""
    async with scene(tmp_path) as (play, _):
        old, spare = play.pool.workers
        await let_go(play)
        now = play.loop.time()
        play.packets()
        for at in (0.1, 1.0, WEDGED_S + 0.2):
            play.recovery.look(now + at)
        assert len(play.packets()) == 3 and not (old.killed or old.lost)
        play.spare()
        play.recovery.look(now + 2.0)
        assert play.active.worker is spare
        assert (await play.rig.told(StartCall)).takeovers == 0
        assert journal(play.active, "CallHandedOver") == [{"type": "CallHandedOver", "worker": 0, "by": 1}]


async def test_a_call_that_was_let_go_for_nobody_goes_to_the_fallback(tmp_path: Path) -> None:
    async with scene(tmp_path, number="+4930126") as (play, _):
        await let_go(play)
        play.recovery.look(play.loop.time() + LONGEST_WAIT_S + 0.1)
        await play.caller.ended()
        (given_up,) = journal(play.active, "CallGivenUp")
        assert given_up == {"type": "CallGivenUp", "workers": 0, "fallback": "sip:rescue@pbx.example"}
        assert play.active.end_reason == "worker_lost"


async def let_go(play: Scene) -> None:
    """Its worker was asked to leave it to another one, and does; but there is no other one."""
    worker, reception = play.active.worker, play.rig.reception
    worker.retiring = True
    moving = asyncio.create_task(reception.upgrade._move_all([worker]))
    await play.rig.told(LetGo)
    reception.heard_from(worker, CallLeft(call_id=play.active.id))
    moving.cancel()


def address(rig: Rig, user: str) -> str:
    return f"sip:{user}@127.0.0.1:{rig.phone.address[1]}"


async def test_the_calls_of_a_worker_that_is_too_big_are_saved_and_moved(tmp_path: Path) -> None:
    """It is told to hand them in; if it does not leave in LEAVE_S, it is killed. Not without another worker."""
    async with scene(tmp_path, "worker_memory_mb: 100\n") as (play, _):
        one, spare = play.pool.workers
        one.load = load(99)
        play.recovery.look(play.loop.time())
        one.load = load(101)
        play.recovery.look(play.loop.time())
        assert one.ready, "there is nobody else"
        play.spare()
        now = play.loop.time()
        play.recovery.look(now)
        await play.rig.told(HandIn)
        assert not one.ready and play.active.worker is one
        play.tick()
        play.recovery.look(now + LEAVE_S + 0.1)
        assert one.lost
        assert play.active.worker is spare


async def test_a_worker_that_no_longer_says_its_load_is_replaced(tmp_path: Path) -> None:
    """A spare has no calls that would miss their ticks, and must be there when it is needed."""
    async with scene(tmp_path) as (play, _):
        play.spare()
        spare = play.pool.workers[1]
        now = play.loop.time()
        spare.heard = now - MUTE_S + 0.1
        play.recovery.look(now)
        assert not spare.lost
        play.recovery.look(now + 0.2)
        assert spare.lost and not play.pool.workers[0].lost


async def test_a_switch_that_stood_still_does_not_take_its_workers_for_mute(tmp_path: Path) -> None:
    """What they said meanwhile waits on their links."""
    async with scene(tmp_path) as (play, _):
        play.spare()
        spare = play.pool.workers[1]
        spare.heard = play.loop.time()
        play.tick(ago_s=-30)
        play.recovery.look(spare.heard + 30)
        assert not spare.lost


def load(memory_mb: int) -> Load:
    return Load(
        calls=1, cpu=0.1, late_p50_ms=0, late_p99_ms=0, late_max_ms=0, skipped_ticks=0,
        memory_bytes=memory_mb * 1024 * 1024, tasks=1,
    )  # fmt: skip


def journal(active: ActiveCall, kind: str) -> list[dict[str, object]]:

    lines = (active.bundle.path / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in event.items() if name not in ("at", "wall")}
        for event in events
        if event["type"] == kind
    ]
