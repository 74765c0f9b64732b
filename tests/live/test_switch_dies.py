"""The switch is killed under its calls: they hear nothing of it, and another one goes on with them."""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from telephony.media.ports import PortPool
from telephony.phone import Phone
from tests.live.peers import PjsipPhone
from tests.live.server import (
    DIALPLAN,
    REPOSITORY,
    CallFolder,
    Server,
    ServerError,
    alive,
    running_server,
)
from tests.live.talker import LOUD, talkers
from tests.live.test_takeovers import KEY_OF, PLAN_SLOW, direction, poisoned, says, spoken
from tests.live.test_takeovers_signalling import carrier
from tests.live.test_warm_transfers import a_switchboard, asks_for_the_desk
from tests.live.wire import Wire

pytestmark = pytest.mark.timeout(180)

BENCH = REPOSITORY / "tests" / "bench" / "plan.yaml"
CALLS = 20
DESCRIPTORS = 2  # one more or less may be open while we look


@asynccontextmanager
async def _phone(**how: object) -> AsyncIterator[Phone]:
    ports = PortPool("127.0.0.1", 31000, 31998)
    async with Phone(host="127.0.0.1", port=0, ports=ports, **how) as phone:  # type: ignore[arg-type]
        yield phone


def _complete(folder: CallFolder, restarts: int = 1) -> None:
    """One record of one call, whoever wrote which part of it."""
    story = folder.story()
    assert len(folder.of("SwitchRestarted")) == restarts, story
    assert [event["type"] for event in folder.events].count("CallEnded") == 1, story
    assert folder.events[-1]["type"] == "CallEnded", story
    with wave.open(str(folder.audio)) as audio:
        lasted = audio.getnframes() / audio.getframerate()
    ended = folder.of("CallEnded")[0]["at"] - folder.of("CallAnswered")[0]["at"]
    assert abs(lasted - ended) < 0.5, story


async def test_a_call_outlives_its_switch(tmp_path: Path) -> None:
    """In the middle of a sentence: same SSRC, no sequence number missing, and the caller's BYE is answered."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await wire.until(30)
            folder = await server.last_call()
            assert folder.of("AgentSpoke") == [], "it speaks"
            await server.kill_switch()
            await wire.until(100)
            assert wire.faults() == []
        call.hang_up()
        facts = await server.finished(folder)
        assert (await server.metrics())["offhook_switch_restarts"] == 1
        assert (await server.metrics())["offhook_calls"] == 0
    assert facts["ended_by"] == "caller" and facts["media"]["sent"] > 100
    assert folder.of("AgentSpoke")[0]["interrupted"] is False
    _complete(folder)


@pytest.mark.parametrize(("srtp", "transport"), [("off", "udp"), ("optional", "udp"), ("off", "tcp")])
async def test_a_foreign_phone_does_all_it_could_do_before(
    tmp_path: Path, recordings: Path, srtp: str, transport: str
) -> None:
    """Hold, resume, a refresh, a key by INFO, words and BYE, with a dialog that another process began."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1) as server,
        PjsipPhone(srtp=srtp, transport=transport) as phone,
    ):
        await server.warm(2)
        await phone.call(server.uri(transport=transport))
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()
        folder = await server.last_call()
        await server.kill_switch()
        await phone.hold()
        await server.until(lambda: bool(folder.of("CallHeld")), "a hold", 15)
        await phone.resume()
        await server.until(lambda: bool(folder.of("CallResumed")), "the end of the hold", 15)
        await phone.refresh("INVITE")
        await phone.event("response", method="INVITE", code=200)
        await phone.dtmf("5", info=True)
        await server.until(lambda: bool(folder.of("KeyPressed")), "a key", 15)
        await phone.say(recordings / "opening_hours.wav")
        await server.until(lambda: bool(folder.of("UserTurnCommitted")), "a turn", 20)
        await phone.hang_up()
        await phone.event("disconnected")
        facts = await server.finished(folder)
    assert facts["ended_by"] == "caller" and bool(facts["media"]["srtp"]) == (srtp != "off")
    assert facts["media"]["unauthenticated"] == 0
    _complete(folder)


async def test_what_the_caller_says_while_there_is_no_switch_is_answered(
    tmp_path: Path, recordings: Path
) -> None:
    """The worker listens, asks and speaks on; model host and console do not notice either."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=DIALPLAN, workers=1) as server,
        PjsipPhone() as phone,
    ):
        await server.warm(2)
        await phone.call(server.uri())
        await phone.event("confirmed", timeout=20)
        await phone.event("media")
        await phone.listen()
        folder = await server.last_call()
        children, turns = server.children(), len(folder.of("UserTurnCommitted"))
        await phone.say(recordings / "opening_hours.wav", timeout=None)
        await server.kill_switch()
        await server.until(lambda: len(folder.of("UserTurnCommitted")) > turns, "the turn", 20)
        await phone.listen()
        assert server.children() == children
        await phone.hang_up()
        await server.finished(folder)
    assert "open" in folder.of("UserTurnCommitted")[turns]["text"], folder.story()
    _complete(folder)


async def test_an_agent_hangs_up_a_call_of_another_switch(tmp_path: Path) -> None:
    """By its worker: the caller has been silent for too long. And a caller who rings later is answered."""
    settings = "media_timeout_s: 3\n"
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1, settings=settings) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            await wire.until(20)
            folder = await server.last_call()
            await server.kill_switch()
        ended = await call.ended()  # nobody sends any more
        assert ended.by == "callee"
        facts = await server.finished(folder)
        later = await phone.dial(server.uri())
        later.hang_up()
        await later.ended()
        await server.idle()
    assert facts["cause"] == "media_timeout"
    _complete(folder)


@pytest.mark.parametrize("when", ["before the REFER", "before the NOTIFY"])
async def test_a_transfer_is_done_by_another_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async with carrier(tmp_path, monkeypatch) as (server, far):
        far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
        await far.response(200)
        far.send("ACK", 1)
        folder = await server.last_call()
        await spoken(folder, server, "Hello")
        if when == "before the REFER":
            await server.kill_switch()
        press = f"Signal={KEY_OF['elsewhere']}\r\nDuration=160\r\n"
        far.send("INFO", 2, "Content-Type: application/dtmf-relay", body=press)
        refer = await far.request("REFER")
        far.answer(refer, "202 Accepted")
        if when == "before the NOTIFY":
            await server.kill_switch()
        ended = ("Event: refer", "Subscription-State: terminated;reason=noresource")
        far.send("NOTIFY", 3, *ended, "Content-Type: message/sipfrag", body="SIP/2.0 200 OK\r\n")
        bye = await far.request("BYE")
        far.answer(bye, "200 OK")
        facts = await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == ["elsewhere"]
    assert facts["cause"] == "transferred", folder.story()
    _complete(folder)


async def test_a_hold_that_was_under_way_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the far side heard the first re-INVITE is known to nobody; a second one does no harm."""
    async with carrier(tmp_path, monkeypatch) as (server, far):
        far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
        await far.response(200)
        far.send("ACK", 1)
        folder = await server.last_call()
        await spoken(folder, server, "Hello")
        press = f"Signal={KEY_OF['wait']}\r\nDuration=160\r\n"
        far.send("INFO", 2, "Content-Type: application/dtmf-relay", body=press)
        first = await far.request("INVITE")
        await server.kill_switch()
        again = await far.request("INVITE")
        while _cseq(again) == _cseq(first):  # repeated before its sender died
            again = await far.request("INVITE")
        assert "a=sendonly" in again
        far.answer(again, "200 OK", body=far.offer)
        await server.until(lambda: bool(folder.of("CallHeld")), "a hold", 15)
        far.send("BYE", 3)
        await server.finished(folder)
    _complete(folder)


def _cseq(request: str) -> str:
    return next(line for line in request.splitlines() if line.startswith("CSeq"))


async def test_a_switch_that_dies_between_200_and_ack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one goes on sending the 200; the ACK begins the conversation."""
    async with carrier(tmp_path, monkeypatch) as (server, far):
        far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
        await far.response(200)
        folder = await server.last_call()
        await server.kill_switch()
        await far.response(200)
        assert folder.of("AgentSpoke") == []
        far.send("ACK", 1)
        await spoken(folder, server, "Hello, what can I do for you today?")
        far.send("BYE", 2)
        await server.finished(folder)
    _complete(folder)


@pytest.mark.parametrize("before", ["ringing", "ringback"])
async def test_a_call_that_rings_is_answered_by_another_switch(tmp_path: Path, before: str) -> None:
    """Its worker is still opening a recogniser; with early media or without."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN_SLOW.format(before=before))
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=plan, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        dialling = asyncio.create_task(phone.dial(server.uri()))
        folder = await server.last_call()
        await server.until(lambda: server.has_call(folder), "a worker that prepares the call", 10)
        await server.kill_switch()
        call = await dialling
        async with Wire.tap(call) as wire:
            await spoken(folder, server, "Hello, here I am.")
            assert wire.faults() == []
        call.hang_up()
        await server.finished(folder)
    _complete(folder)


async def test_a_caller_gives_up_while_there_is_no_switch(tmp_path: Path) -> None:
    """The CANCEL waits in the socket, and is answered."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN_SLOW.format(before="ringing"))
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=plan, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        dialling = asyncio.create_task(phone.dial(server.uri()))
        folder = await server.last_call()
        await server.until(lambda: server.has_call(folder), "a worker that prepares the call", 10)
        (ours,) = phone.live
        old = server.switch
        os.kill(old, signal.SIGKILL)
        dialling.cancel()
        await server.another_switch(old)
        ended = await ours.ended()
        facts = await server.finished(folder)
    assert (ended.by, ended.code) == ("us", 487) and facts["ended_by"] == "caller", folder.story()


async def test_a_call_on_hold_knows_its_way_back_after_switch_and_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the far side was asked to wait outlives the switch, so the worker after the next one fetches it back."""
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, "0")
            await says(call, folder, server, KEY_OF["wait"])
            await server.until(lambda: bool(folder.of("CallHeld")), "a hold", 15)
            await server.kill_switch()
            assert direction(call) == "recvonly"
            os.kill(server.worker_of(folder), signal.SIGKILL)
            await server.until(lambda: bool(folder.of("CallResumed")), "the end of the hold", 15)
            await spoken(folder, server, "thing 2")
            assert direction(call) == "sendrecv"
            assert wire.faults() == []
        call.hang_up()
        await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == ["wait"]
    _complete(folder)


async def test_a_worker_that_dies_while_there_is_no_switch_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next switch hears of it from the keeper, and the conversation goes on from what the dead one had noted."""
    async with poisoned(tmp_path, monkeypatch) as (server, phone):
        call = await phone.dial(server.uri())
        async with Wire.tap(call) as wire:
            folder = await server.last_call()
            await spoken(folder, server, "Hello")
            await says(call, folder, server, "0")
            await spoken(folder, server, "thing 1")
            worker, old = server.worker_of(folder), server.switch
            os.kill(server.pid, signal.SIGSTOP)
            os.kill(old, signal.SIGKILL)
            os.kill(worker, signal.SIGKILL)
            os.kill(server.pid, signal.SIGCONT)
            await server.another_switch(old)
            await server.until(lambda: bool(folder.of("ConversationResumed")), "the conversation", 20)
            await says(call, folder, server, "0")
            await spoken(folder, server, "You told me my name is Ada. That was thing 2.")
            assert wire.faults() == []
        call.hang_up()
        facts = await server.finished(folder)
    assert facts["takeovers"] == 1
    _complete(folder)


async def test_many_calls_outlive_three_switches(tmp_path: Path) -> None:
    """No packet and no call is lost, every record is whole, and no process keeps a descriptor."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=2) as server,
        _phone() as phone,
        AsyncExitStack() as stack,
    ):
        await server.warm(3)
        before = server.descriptors()
        calls = [await phone.dial(server.uri("200")) for _ in range(CALLS)]
        wires = [await stack.enter_async_context(Wire.tap(call)) for call in calls]
        await wires[-1].until(20)
        for _ in range(3):
            await server.kill_switch()
            await asyncio.gather(*[wire.until(50) for wire in wires])
        assert [fault for wire in wires for fault in wire.faults()] == []
        for call in calls:
            call.hang_up()
        folders = server.calls()
        assert len(folders) == CALLS
        for folder in folders:
            await server.finished(folder)
            _complete(folder, restarts=3)
        await server.idle()
        assert _grown(before, server) <= DESCRIPTORS


def _grown(before: dict[int, int], server: Server) -> int:
    """Descriptors that a process has now and had not before; the switch is another process by now."""
    after = server.descriptors()
    return max(after.get(pid, after[server.switch]) - count for pid, count in before.items())


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]])
async def test_a_restarted_server_drains_and_a_second_signal_ends_it(
    tmp_path: Path, signals: Sequence[signal.Signals]
) -> None:
    """The keeper passes signals on to whichever switch is there."""
    settings = "drain_s: 4\n"
    async with _phone() as phone:
        async with running_server(
            tmp_path, spare_switch=True, dialplan=BENCH, workers=1, settings=settings
        ) as server:
            call = await phone.dial(server.uri("200"))
            async with Wire.tap(call) as wire:
                await wire.until(10)
                await server.kill_switch()
                for number in signals:
                    os.kill(server.pid, number)
                begins = asyncio.get_running_loop().time()
                await call.ended()
                lasted = asyncio.get_running_loop().time() - begins
            async with asyncio.timeout(20):
                assert await server.process.wait() == 0
        assert (lasted > 3) == (len(signals) == 1)
    folder = server.calls()[0]
    assert folder.facts["cause"] == "server_stopped"
    _complete(folder)


async def test_a_phone_that_refreshes_its_session_finds_its_timer(tmp_path: Path) -> None:
    """RFC 4028: the deadline is the machine's, whoever watches it; here the far side refreshes by UPDATE."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1) as server,
        PjsipPhone(timer_s=90) as phone,
    ):
        await server.warm(2)
        await phone.call(server.uri("200"))
        await phone.event("confirmed", timeout=20)
        folder = await server.last_call()
        await server.kill_switch()
        await phone.refresh("UPDATE")
        await phone.event("response", method="UPDATE", code=200)
        await phone.hang_up()
        await server.finished(folder)
    assert len(folder.of("SwitchRestarted")) == 1


async def test_caller_and_colleague_stay_joined_when_the_switch_dies(tmp_path: Path) -> None:
    """Both legs go on in the next switch: neither hears a gap, and when one hangs up the other's call ends."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        await server.warm(2)
        answering = asyncio.create_task(desk.answer())
        await asks_for_the_desk(caller, server)
        await answering
        assert desk.call is not None and desk.stream is not None and caller.call is not None
        await desk.until_quiet()
        desk.stream.send_digits("1")
        desk.talking = caller.talking = True
        folder = await server.last_call()
        async with asyncio.timeout(10):
            await asyncio.gather(caller.until_loud(), desk.until_loud())
        await server.until(lambda: bool(folder.of("ConsultJoined")), "a join", 10)
        begins = len(caller.heard), len(desk.heard)
        await server.kill_switch()
        await asyncio.gather(*[one.until_ticks(len(one.heard) + 100) for one in (caller, desk)])
        for one, since in zip((caller, desk), begins, strict=True):
            assert sum(rms > LOUD for _, rms in one.heard[since:]) > 0.8 * len(one.heard[since:])
        desk.call.hang_up()
        await caller.call.ended()
        facts = await server.finished(folder)
    assert facts["cause"] == "transferred"
    assert folder.of("ConsultEnded")[0]["by"] == "callee"
    assert len(folder.of("SwitchRestarted")) == 1


async def test_a_colleague_who_was_only_rung_is_given_up_with_the_switch(tmp_path: Path) -> None:
    """The agent learns that nobody comes, and talks on."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        await server.warm(2)
        await asks_for_the_desk(caller, server)
        folder = await server.last_call()
        await server.until(lambda: bool(folder.of("ConsultStarted")), "a consultation", 20)
        await server.kill_switch()
        await server.until(lambda: bool(folder.of("TransferFinished")), "the end of it", 20)
        assert caller.call is not None
        caller.call.hang_up()
        await server.finished(folder)
    assert [event["ok"] for event in folder.of("TransferFinished")] == [False], folder.story()
    assert [event["code"] for event in folder.of("ConsultEnded")] == [503], folder.story()


async def test_a_switch_without_its_keeper_says_goodbye_and_leaves(tmp_path: Path) -> None:
    """Nobody would start another one, and whoever starts the server again needs the ports."""
    async with _phone() as phone:
        with pytest.raises(ServerError, match="code -9"):
            async with running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1) as server:
                call = await phone.dial(server.uri("200"))
                folder = await server.last_call()
                family = [server.switch, *server.children()]
                os.kill(server.pid, signal.SIGKILL)
                assert (await call.ended()).by == "callee"
                facts = await server.finished(folder)
                await server.until(lambda: not any(map(alive, family)), "the end of all processes", 20)
    assert facts["cause"] == "server_stopped"


async def test_a_switch_that_breaks_down_by_itself_is_replaced(tmp_path: Path) -> None:
    """A segfault, too, as a C library would have it."""
    async with (
        running_server(tmp_path, spare_switch=True, dialplan=BENCH, workers=1) as server,
        _phone() as phone,
    ):
        await server.warm(2)
        call = await phone.dial(server.uri("200"))
        old = server.switch
        os.kill(old, signal.SIGSEGV)
        await server.another_switch(old)
        folder = await server.last_call()
        call.hang_up()
        await server.finished(folder)
    assert folder.of("SwitchRestarted")[0]["after"] == -signal.SIGSEGV
    _complete(folder)
