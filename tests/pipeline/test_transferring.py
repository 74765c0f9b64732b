"""Attended transfer on a virtual clock: the colleague is told who calls, agrees or not, and the caller comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pipeline.agent.agent import Agent
from pipeline.agent.briefing import said_plainly
from pipeline.errors import ProviderError
from pipeline.events import (
    AgentSpoke,
    CallHeld,
    CallResumed,
    FillerSaid,
    ToolFinished,
    TransferFinished,
    TransferStarted,
    UserTurnCommitted,
)
from pipeline.ports import Destination, TransferResult
from pipeline.providers.fake import FakeLlm, FakeStt
from pipeline.testing.virtual_clock import run
from tests.pipeline.colleague import Colleague
from tests.pipeline.rig import Rig

DESK = Destination("sip:desk@pbx.example", attended=True)
ASK: dict[str, Any] = {
    "tools": [{"name": "transfer", "arguments": {"target": "desk"}}],
    "text": "One moment.",
}


def play(rig: Coroutine[Any, Any, Rig]) -> Rig:
    return run(lambda: rig)


async def transferred(
    colleague: Colleague | None,
    *,
    script: list[str | dict[str, Any]] | None = None,
    texts: tuple[str, ...] = ("yes please",),
    to: Destination = DESK,
    seconds: float = 40.0,
    refused: TransferResult | None = None,
) -> Rig:
    """The caller speaks once at 1 s; the model asks for a transfer to the desk."""
    agent = Agent(name="reception", greeting="Hello.", transfers={"desk": to}, silence={"after_s": 0.0})
    default: list[str | dict[str, Any]] = [
        ASK,
        "Ms Weber wants a refund. May I connect her?",
        "Nobody is there.",
    ]
    rig = Rig(agent, speech=[(1.5, 2.5)], stt=FakeStt(texts), llm=FakeLlm(script=script or default))
    rig.colleague = colleague
    if refused is not None:
        rig.transfer_result = refused
    return await rig.run(seconds)


def outcome(rig: Rig) -> TransferFinished:
    (finished,) = rig.of(TransferFinished)
    return finished


@pytest.mark.parametrize("speech", [True, False])
def test_a_colleague_who_agrees_gets_the_caller(speech: bool) -> None:
    """By a plain yes, or by the key 1: the caller is on hold until then; no model is asked whether yes is yes."""

    async def call() -> tuple[Rig, Colleague]:
        colleague = Colleague(speech=[(4.0, 5.0)] if speech else [], keys=[] if speech else [(4.0, "1")])
        return await transferred(colleague), colleague

    rig, colleague = run(call)
    (started,) = rig.of(TransferStarted)
    assert started.attended and started.target == DESK.target
    assert outcome(rig).ok
    assert colleague.log == ["connect"]
    assert rig.control == ["hold", "consult sip:desk@pbx.example"], "resuming is part of connecting"
    briefed = [event.text for event in colleague.events if isinstance(event, AgentSpoke)]
    assert briefed[0].startswith("Ms Weber wants a refund."), "the model tells them who calls"
    said = [event for event in colleague.events if isinstance(event, UserTurnCommitted)]
    assert [event.by for event in said] == ["voice" if speech else "keys"]
    assert colleague.connected_at - said[0].at < 0.3
    if speech:
        assert colleague.connected_at - said[0].spoke_until < 0.8
    assert not rig.of(CallResumed), "nobody but the colleague talks to the caller now"
    assert not rig.of(FillerSaid), "no fillers over the music"


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ({"keys": [(4.0, "2")]}, 603, "declined"),
        ({"leaves_at": 2.0}, 200, "they hung up"),
        ({"machine_at": 2.0}, 480, "an answering machine picked up"),
        ({}, 480, "caller_silent"),
        ({"keys": [(4.0, "1")], "takes": False}, 480, "still on hold"),
    ],
)
def test_the_caller_comes_back_when_the_colleague_does_not_take_the_call(
    how: dict[str, Any], code: int, reason: str
) -> None:
    """Declined, hung up, a machine, no word, or a phone that stays on hold: the agent is told why and goes on."""

    async def call() -> tuple[Rig, Colleague]:
        colleague = Colleague(**how)
        return await transferred(colleague, seconds=60.0), colleague

    rig, colleague = run(call)
    assert (outcome(rig).ok, outcome(rig).code, outcome(rig).reason) == (False, code, reason)
    assert any(line.startswith("hang up") for line in colleague.log)
    assert rig.control[-1] == "resume"
    (held,), (resumed,) = rig.of(CallHeld), rig.of(CallResumed)
    assert held.at < resumed.at
    (told,) = rig.of(ToolFinished)
    assert not told.ok and reason in told.result
    assert rig.of(AgentSpoke)[-1].text.endswith("Nobody is there.")
    assert rig.of(AgentSpoke)[-1].at > resumed.at


def test_a_reason_in_words_reaches_the_caller_s_agent() -> None:
    """decline_transfer is the model's, when it is not a plain no."""
    declines = {"tools": [{"name": "decline_transfer", "arguments": {"reason": "in a meeting until four"}}]}

    async def call() -> Rig:
        script: list[str | dict[str, Any]] = [ASK, "A caller for you.", declines, "She is in a meeting."]
        return await transferred(
            Colleague(speech=[(4.0, 5.0)]), script=script, texts=("tell her that I am in a meeting",)
        )

    rig = run(call)
    assert outcome(rig).reason == "declined: in a meeting until four"


def test_nobody_answers_and_the_caller_hears_so() -> None:
    """Busy, no answer, failed: the SIP code is in the result."""
    rig = play(transferred(None, script=[ASK, "The desk is busy."]))
    assert (outcome(rig).code, outcome(rig).reason) == (486, "Busy Here")
    assert rig.control == ["hold", "consult sip:desk@pbx.example", "resume"]
    assert rig.of(AgentSpoke)[-1].text.endswith("The desk is busy.")


def test_an_attended_transfer_that_nobody_answers_is_tried_blind_if_the_plan_says_so() -> None:
    to = Destination(DESK.target, attended=True, fallback="blind")
    rig = play(transferred(None, script=[ASK], to=to))
    assert rig.transfers == [DESK.target] and outcome(rig).ok


def test_a_refused_blind_transfer_is_bridged_if_the_plan_says_so() -> None:
    """Carriers that answer REFER with 603 (or 405) are many; whoever answers is connected without a word."""

    async def call() -> tuple[Rig, Colleague]:
        colleague, to = Colleague(), Destination(DESK.target, fallback="bridge")
        return await transferred(colleague, to=to, refused=TransferResult(False, 603, "Decline")), colleague

    rig, colleague = run(call)
    assert rig.transfers == [DESK.target]
    assert colleague.log == ["connect"] and not colleague.events
    assert outcome(rig).ok


def test_a_released_transfer_asks_the_far_sides_to_do_it() -> None:
    async def call() -> Colleague:
        colleague, to = Colleague(keys=[(1.0, "1")]), Destination(DESK.target, attended=True, release=True)
        await transferred(colleague, to=to)
        return colleague

    assert run(call).log == ["connect, released"]


def test_a_model_that_fails_or_is_silent_does_not_leave_a_colleague_in_silence() -> None:
    """Whoever picks up and hears nothing hangs up: canned lines stand in."""

    class Mute(FakeLlm):
        async def chat(self, messages: Any, tools: Any = (), **how: Any) -> Any:
            if any(tool.name == "connect_caller" for tool in tools):
                raise ProviderError("fake", "connectivity", "down")
            async for delta in super().chat(messages, tools, **how):
                yield delta

    async def call() -> Colleague:
        agent = Agent(greeting="Hello.", transfers={"desk": DESK})
        rig = Rig(agent, speech=[(1.5, 2.5)], llm=Mute(script=[ASK]))
        rig.colleague = colleague = Colleague(keys=[(12.0, "1")])
        await rig.run(30.0)
        return colleague

    colleague = run(call)
    briefed = [event.text for event in colleague.events if isinstance(event, AgentSpoke)]
    assert briefed[0].startswith("I have a caller on the line for you.")
    assert colleague.log == ["connect"]


def test_words_for_the_colleague_may_come_from_the_agent() -> None:
    """session.transfer(target, attended=True, briefing=...)."""

    class Desk(Agent):
        async def on_enter(self) -> None:
            await self.session.transfer("sip:a@b", attended=True, briefing="A refund of forty dollars.")

    async def call() -> Colleague:
        rig = Rig(Desk())
        rig.colleague = colleague = Colleague(keys=[(8.0, "1")])
        await rig.run(20.0)
        return colleague

    colleague = run(call)
    briefed = [event.text for event in colleague.events if isinstance(event, AgentSpoke)]
    assert briefed[0].startswith("A refund of forty dollars. May I connect you?")


def test_a_caller_who_hangs_up_on_hold_ends_the_briefing() -> None:
    """The session is closed while the colleague is being asked: nothing is left running."""

    async def call() -> tuple[Rig, Colleague]:
        colleague = Colleague(leaves_at=4.0)
        rig = await transferred(colleague, seconds=6.0)
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert "briefing" not in left
        return rig, colleague

    rig, colleague = run(call)
    assert any(line.startswith("hang up") for line in colleague.log)
    assert rig.control[-1] in ("resume", "consult sip:desk@pbx.example")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        ("yes please", "yes"),
        ("no thank you", "no"),
        ("no she should call back", ""),
        ("", ""),
    ],
)
def test_only_a_plain_answer_is_understood_without_the_model(text: str, answer: str) -> None:
    assert said_plainly(text) == answer
