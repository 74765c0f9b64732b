"""A worker that dies while signalling is on its way: before the ACK, between REFER and NOTIFY, in a joined call."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.live.server import CallFolder, Server
from tests.live.talker import LOUD, talkers
from tests.live.test_hold_calls import CarrierSide
from tests.live.test_takeovers import KEY_OF, direction, poisoned, spoken
from tests.live.test_warm_transfers import a_switchboard, asks_for_the_desk

pytestmark = pytest.mark.timeout(180)
DESK = "sip:desk@127.0.0.1:5099"


@asynccontextmanager
async def carrier(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, CarrierSide]]:
    """A server with poison, and a caller who sends each message when the test says so."""
    monkeypatch.setenv("POISON_DESK", DESK)
    more = f', transfer_to: {{desk: "{DESK}"}}, tools: [transfer]'
    async with poisoned(folder, monkeypatch, more=more) as (server, _), asyncio.timeout(60):
        far = CarrierSide(server.sip_port)
        try:
            yield server, far
        finally:
            far.close()


async def replaced(server: Server, folder: CallFolder) -> None:
    """Kill the call's worker, and wait for the next one."""
    os.kill(server.worker_of(folder), signal.SIGKILL)
    await server.taken_over(folder)


async def test_a_worker_that_dies_between_200_and_ack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch goes on sending the 200; the ACK begins the conversation with the worker that is there then."""
    async with carrier(tmp_path, monkeypatch) as (server, far):
        far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
        await far.response(200)
        folder = await server.last_call()
        await replaced(server, folder)
        await far.response(200)
        assert folder.of("AgentSpoke") == []
        far.send("ACK", 1)
        await spoken(folder, server, "Hello, what can I do for you today?")
        far.send("BYE", 2)
        await server.finished(folder)
    assert len(folder.of("AgentEntered")) == 1


@pytest.mark.parametrize(
    ("status", "cause"), [("200 OK", "transferred"), ("486 Busy Here", "caller_hung_up")]
)
async def test_a_blind_transfer_goes_on_without_the_worker_that_wanted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, cause: str
) -> None:
    """REFER is the switch's business: its end is the call's, or the caller goes on talking to the agent."""
    async with carrier(tmp_path, monkeypatch) as (server, far):
        far.send("INVITE", 1, "Content-Type: application/sdp", body=far.offer)
        await far.response(200)
        far.send("ACK", 1)
        folder = await server.last_call()
        await spoken(folder, server, "Hello")
        press = f"Signal={KEY_OF['elsewhere']}\r\nDuration=160\r\n"
        far.send("INFO", 2, "Content-Type: application/dtmf-relay", body=press)
        refer = await far.request("REFER")
        far.answer(refer, "202 Accepted")
        await replaced(server, folder)
        ended = ("Event: refer", "Subscription-State: terminated;reason=noresource")
        far.send("NOTIFY", 3, *ended, "Content-Type: message/sipfrag", body=f"SIP/2.0 {status}\r\n")
        if cause == "transferred":
            bye = await far.request("BYE")
            far.answer(bye, "200 OK")
        else:
            await spoken(folder, server, "You told me elsewhere")
            far.send("BYE", 4)
        facts = await server.finished(folder)
        assert (tmp_path / "ran").read_text().split() == ["elsewhere"]
    assert facts["cause"] == cause, folder.story()


async def test_caller_and_colleague_stay_joined_when_their_worker_dies(tmp_path: Path) -> None:
    """Both legs go on in the next worker, and no agent comes between them; both recordings go on."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri, workers_die=True) as server:
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
        await replaced(server, folder)
        begins = len(caller.heard), len(desk.heard)
        await asyncio.gather(*[one.until_ticks(len(one.heard) + 150) for one in (caller, desk)])
        for one, since in zip((caller, desk), begins, strict=True):
            assert sum(rms > LOUD for _, rms in one.heard[since:]) > 120
            assert max(gap for _, gap in one.gaps[since:]) < 0.5
        spoke = len(folder.of("AgentSpoke"))
        desk.call.hang_up()
        await caller.call.ended()
        facts = await server.finished(folder)
    assert facts["cause"] == "transferred" and facts["takeovers"] == 1
    assert len(folder.of("AgentSpoke")) == spoke and folder.of("ConversationResumed") == []
    assert folder.of("ConsultEnded")[0]["by"] == "callee"


async def test_a_caller_whose_colleague_is_lost_with_the_worker_is_talked_to_again(tmp_path: Path) -> None:
    """A consultation that was still a conversation of the agent's ends; the caller is fetched from hold."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri, workers_die=True) as server:
        await server.warm(2)
        answering = asyncio.create_task(desk.answer())
        await asks_for_the_desk(caller, server)
        await answering
        assert desk.call is not None and caller.call is not None
        folder = await server.last_call()
        await desk.until_loud(60)
        assert direction(caller.call) == "recvonly"
        await replaced(server, folder)
        await desk.call.ended()
        await server.until(lambda: bool(folder.of("CallResumed")), "the end of the hold", 20)
        spoke = len(folder.of("AgentSpoke"))
        await server.until(lambda: len(folder.of("AgentSpoke")) > spoke, "a word from the agent", 20)
        assert direction(caller.call) == "sendrecv"
        heard = (folder.path / "consultation-1.wav").stat().st_size
        asking = asyncio.create_task(desk.answer())
        assert caller.stream is not None
        caller.stream.send_digits("1")
        await server.until(lambda: len(folder.of("ConsultAnswered")) == 2, "a second try", 20)
        assert [event["consult"] for event in folder.of("ConsultStarted")] == [1, 2]
        assert (folder.path / "consultation-1.wav").stat().st_size == heard
        await asking
        caller.call.hang_up()
        await server.finished(folder)


async def test_a_reload_breaks_off_no_consultation(tmp_path: Path) -> None:
    """On hold, while the colleague is asked, and joined: the call stays with its old worker, which leaves after it."""
    async with talkers() as (caller, desk), a_switchboard(tmp_path, desk.uri) as server:
        await server.warm(2)
        answering = asyncio.create_task(desk.answer())
        await asks_for_the_desk(caller, server)
        await answering
        assert desk.call is not None and desk.stream is not None and caller.call is not None
        folder = await server.last_call()
        old = server.worker_of(folder)
        await desk.until_loud(60)
        assert direction(caller.call) == "recvonly"
        os.kill(server.pid, signal.SIGHUP)
        await server.until_metric(lambda: _reloads(server), lambda count: count >= 1, "reload", 60)
        await desk.until_quiet()
        desk.stream.send_digits("1")
        desk.talking = caller.talking = True
        async with asyncio.timeout(20):
            await asyncio.gather(caller.until_loud(), desk.until_loud())
        await asyncio.gather(*[one.until_ticks(len(one.heard) + 50) for one in (caller, desk)])
        assert (await server.metrics())["offhook_retiring_calls"] == 1
        assert server.writes(old, folder) and folder.of("CallHandedOver") == []
        desk.call.hang_up()
        await caller.call.ended()
        facts = await server.finished(folder)
        await server.until(lambda: old not in server.children(), "the end of the old worker", 20)
    assert facts["cause"] == "transferred" and facts["transferred_to"] == desk.uri


async def _reloads(server: Server) -> float:
    return (await server.metrics())["offhook_reloads_total"]
