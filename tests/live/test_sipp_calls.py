"""sipp, the carriers' test tool, phones the server: many calls at once, and callers who behave oddly."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.server import REPOSITORY, Server, running_server
from tests.live.sipp import SippResult, SippRun
from tests.live.sound import SILENCE, frames_of

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        shutil.which("sipp") is None and "CI" not in os.environ,
        reason="sipp is not installed (package sip-tester)",
    ),
]

CALLS = 200
HOLD_MS = 6000
BENCH_PLAN = REPOSITORY / "tests" / "bench" / "plan.yaml"


def _speech(recordings: Path, seconds: float) -> list[bytes]:
    """A question, then silence until the caller hangs up."""
    frames = frames_of(recordings / "opening_hours.wav")
    return (frames + [SILENCE] * int(seconds * 50))[: int(seconds * 50)]


def _assert_all_went_well(result: SippResult, calls: int) -> None:
    assert (result.succeeded, result.failed, result.exit_code) == (calls, 0, 0), result.explain()


@pytest.fixture
async def plain_server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server whose speech and language providers cost nothing: 120 recognisers at once need a larger machine."""
    async with running_server(tmp_path, dialplan=BENCH_PLAN) as running:
        yield running


@pytest.mark.alone
async def test_two_hundred_calls_at_twenty_a_second_leave_nothing_behind(
    plain_server: Server, recordings: Path, tmp_path: Path
) -> None:
    """RFC 3261 §13, RFC 3550: no call fails, each hears one steady stream, and everything is given back."""
    server = plain_server
    speech = _speech(recordings, HOLD_MS / 1000)
    warm_up = SippRun("uac_talk", server.sip_port, calls=8, hold_ms=HOLD_MS, speech=speech)
    _assert_all_went_well(await warm_up.result(tmp_path / "warm_up"), 8)  # opens what stays open for good
    await server.idle()
    descriptors, threads, tasks = server.descriptors(), server.threads(), await _tasks(server)
    run = SippRun("uac_talk", server.sip_port, "100", CALLS, 20, HOLD_MS, speech, timeout_s=120)
    result = await run.result(tmp_path / "sipp")
    _assert_all_went_well(result, CALLS)
    expected = HOLD_MS / 20
    for heard in result.heard:
        assert heard.packets > 0.6 * expected, f"{heard}: too few packets came back"
        assert heard.voiced > 0, f"{heard}: the agent was not audible"
        assert (len(heard.ssrcs), len(heard.sources)) == (1, 1), str(heard)
    missing, came = sum(heard.gaps for heard in result.heard), sum(heard.packets for heard in result.heard)
    assert missing <= came / 10_000, f"{missing} of {came} packets are missing"  # the kernel's, at most
    await server.idle()
    await server.until(
        lambda: all(count <= descriptors.get(pid, 0) for pid, count in server.descriptors().items()),
        f"return to {descriptors} descriptors (now {server.descriptors()})",
        60,
    )
    assert sorted(server.threads()) == sorted(threads), "a process was added or replaced"
    records = [call.facts for call in server.calls()]
    assert len(records) == 8 + CALLS
    assert {facts["ended_by"] for facts in records} == {"caller"}
    metrics = await server.metrics()
    assert metrics.get("offhook_worker_restarts", 0) == 0
    await server.until_metric(
        lambda: _tasks(server), lambda now: now <= tasks, f"return to {tasks} tasks", 60
    )


async def _tasks(server: Server) -> float:
    """asyncio tasks in the switch and in every worker."""
    metrics = await server.metrics()
    counts = [value for name, value in metrics.items() if name.startswith("offhook_tasks")]
    assert len(counts) == 4, "the switch, two workers and their spare count their tasks"
    return sum(counts)


async def test_every_call_of_a_burst_was_heard_by_its_agent(
    server: Server, recordings: Path, tmp_path: Path
) -> None:
    """RFC 3550: the callers' RTP reaches the conversation, not only the agent's the caller."""
    speech = [SILENCE] * 400 + _speech(recordings, 8)  # after the greeting
    run = SippRun("uac_talk", server.sip_port, calls=10, hold_ms=16_000, speech=speech)
    _assert_all_went_well(await run.result(tmp_path / "sipp"), 10)
    await server.idle()
    for call in server.calls():
        assert call.of("UserTurnCommitted"), call.story()


async def test_an_invite_that_arrives_twice_is_one_call(
    server: Server, recordings: Path, tmp_path: Path
) -> None:
    """RFC 3261 §13.3.1.4, RFC 6026 §7.1: the 200 comes again until the late ACK; one call, one stream."""
    run = SippRun("uac_retransmit", server.sip_port, speech=_speech(recordings, 2), resends=False)
    result = await run.result(tmp_path / "sipp")
    _assert_all_went_well(result, 1)
    await server.idle()
    assert len(server.calls()) == 1
    assert len(result.heard[0].ssrcs) == 1


async def test_a_late_offer_is_answered_in_the_ack(server: Server, recordings: Path, tmp_path: Path) -> None:
    """RFC 3264 §4: without SDP in the INVITE the server offers, and talks where the ACK's answer says."""
    run = SippRun("uac_late_offer", server.sip_port, speech=_speech(recordings, 2))
    result = await run.result(tmp_path / "sipp")
    _assert_all_went_well(result, 1)
    assert result.heard[0].packets > 50
    assert result.heard[0].voiced > 0


async def test_cancel_while_ringing(server: Server, tmp_path: Path) -> None:
    """RFC 3261 §9.2: 200 for the CANCEL, 487 for the INVITE."""
    with server.children_stopped():
        result = await SippRun("uac_cancel", server.sip_port).result(tmp_path / "sipp")
    _assert_all_went_well(result, 1)
    await server.idle()


@pytest.mark.parametrize(
    ("scenario", "number"),
    [("uac_bad_media", "100"), ("uac_unknown_number", "98765"), ("uac_unknown_method", "100")],
)
async def test_what_cannot_be_served_is_refused_with_the_right_code(
    server: Server, tmp_path: Path, scenario: str, number: str
) -> None:
    """RFC 3261 §21.4: 488 for codecs nobody has, 404 for unknown numbers, 405 for unknown methods."""
    result = await SippRun(scenario, server.sip_port, number).result(tmp_path / "sipp")
    _assert_all_went_well(result, 1)
    assert (await server.metrics()).get("offhook_calls", 0) == 0
