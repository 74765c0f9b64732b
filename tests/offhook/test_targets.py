"""Targets of a plan that talk to callers: voicemail, menu, queue, ringing, consent. On a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from offhook.settings import Providers
from offhook.worker.casting import Casting
from offhook.worker.on_call import OnCall
from pipeline.events import AgentEntered, AgentSpoke, MessageTaken, RecordingResumed, TransferFinished
from pipeline.ports import TransferResult
from pipeline.testing.virtual_clock import run
from telephony.dialplan.load import parse_plan
from telephony.dialplan.match import match
from tests.pipeline.agent.tasks.caller import call
from tests.pipeline.rig import Rig

FAKES = Providers.model_validate({"stt": "fake", "llm": "scripted", "tts": "fake", "vad": "fake"})
PLAN = """\
version: 1
agents:
  desk:
    greeting: This is the desk.
    keys: {{"9": goodbye}}
    script: {{intents: [{{name: bye, phrases: goodbye, say: Goodbye., hang_up: yes}}]}}
    tools: [hang_up]
defaults: {{recording: {recording}, consent: May we record you?, if_refused: {refused}}}
targets:
{targets}
numbers:
  - {{number: "100", target: it}}
  - {{number: "200", agent: desk}}
"""
BOX = '  box: {voicemail: {say: Leave a message., thanks: "Thank you, goodbye."}}\n'


class Places:
    """The switch's part of a queue: the test says when somebody has gone."""

    def __init__(self, free_after_s: float | None) -> None:
        self._free_after_s = free_after_s
        self.left: list[str] = []

    def queue_up(self, name: str, places: int) -> asyncio.Future[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._free_after_s is not None:
            asyncio.get_running_loop().call_later(self._free_after_s, turn.set_result, None)
        return turn

    def leave_queue(self, name: str) -> None:
        self.left.append(name)


def phoned(
    target: str,
    *lines: str,
    number: str = "100",
    recording: str = "on",
    refused: str = "continue",
    places: Places | None = None,
    seconds: float = 60.0,
) -> Rig:
    """A whole call to a target called `it`."""
    text = PLAN.format(targets=f"  it: {target}\n{BOX}", recording=recording, refused=refused)
    route = match(parse_plan(text.encode()), number)

    async def phone() -> Rig:
        agent = Casting(FAKES, None).cast(route.agents, OnCall(places=places)).agent(route.agent)
        return await call(agent, list(lines), seconds=seconds)

    return run(phone)


def said(rig: Rig) -> list[str]:
    return [event.text for event in rig.of(AgentSpoke)]


def entered(rig: Rig) -> list[str]:
    return [event.agent for event in rig.of(AgentEntered)]


def test_an_announcement_is_said_and_the_line_is_closed() -> None:
    rig = phoned("{play: We are closed.}")
    assert said(rig) == ["We are closed."]
    assert rig.hung_up == "agent_hung_up"


def test_an_announcement_may_go_on_to_voicemail_which_takes_a_message() -> None:
    rig = phoned("{play: {say: We are closed., then: box}}")
    assert entered(rig) == ["it", "box"]
    assert said(rig) == ["We are closed.", "Leave a message.", "Thank you, goodbye."]
    assert [message.file for message in rig.of(MessageTaken)] == ["message-1.wav"]
    assert rig.hung_up == "agent_hung_up"


def test_a_key_of_a_menu_leads_where_the_plan_says_and_ends_the_announcement() -> None:
    menu = '{menu: {say: "Press 1 for the desk, 2 for a message.", keys: {"1": desk, "2": box}}}'
    rig = phoned(menu, "keys 1", "keys 9")
    assert entered(rig) == ["it", "desk"]
    assert said(rig)[-2:] == ["This is the desk.", "Goodbye."]
    assert entered(phoned(menu, "keys 2")) == ["it", "box"]


def test_a_menu_that_nobody_answers_is_said_again_and_ends_where_the_plan_says() -> None:
    menu = '{menu: {say: Press 1., keys: {"1": desk}, tries: 2, wait: 3s, then: box}}'
    rig = phoned(menu)
    assert said(rig) == ["Press 1.", "Press 1.", "Leave a message.", "Thank you, goodbye."]
    assert entered(phoned(menu.replace(", then: box", ""))) == ["it"]


def test_what_is_said_to_a_menu_counts_as_its_key() -> None:
    """Callers who hold the phone to their ear have no keys in front of them."""
    rig = phoned('{menu: {say: "Desk, or box?", keys: {"1": desk, "2": box}}}', "box")
    assert entered(rig) == ["it", "box"]


def test_a_key_that_the_menu_does_not_have_is_no_choice() -> None:
    rig = phoned('{menu: {say: Press 1., keys: {"1": desk}, tries: 2, wait: 4s}}', "keys 7#", "keys 1")
    assert entered(rig) == ["it", "desk"]


def test_a_target_that_nobody_answers_leads_on_and_without_a_then_the_caller_is_told() -> None:
    rig = phoned("{ring: {target: sip:desk@pbx.example, ring: 20s, then: box}}")
    assert rig.call.phone.control[:3] == ["hold", "consult sip:desk@pbx.example", "resume"]
    assert [(event.ok, event.code) for event in rig.of(TransferFinished)] == [(False, 486)]
    assert entered(rig) == ["it", "box"]
    assert said(phoned("{ring: sip:desk@pbx.example}")) == ["I am sorry, nobody is there. Goodbye."]


class Colleague:
    """Somebody who picks up."""

    def __init__(self) -> None:
        self.connected: list[bool] = []

    async def connect(self, release: bool) -> TransferResult:
        self.connected.append(release)
        return TransferResult(True, 200)

    async def ended(self) -> TransferResult:
        return TransferResult(False, 0, "hung up")

    def hang_up(self, reason: str) -> None: ...


def test_a_target_that_picks_up_is_joined_with_the_caller_without_a_word() -> None:
    text = PLAN.format(targets="  it: {ring: sip:desk@pbx.example}", recording="on", refused="continue")
    route = match(parse_plan(text.encode()), "100")
    colleague = Colleague()

    async def phone() -> Rig:
        rig = Rig(Casting(FAKES, None).cast(route.agents).agent(route.agent))
        rig.colleague = colleague  # type: ignore[assignment]
        return await rig.run(10.0)

    rig = run(phone)
    assert colleague.connected == [False]
    assert said(rig) == []
    assert rig.control == ["hold", "consult sip:desk@pbx.example"]


QUEUE = "{queue: {say: Please hold the line., agent: desk, places: 1, every: 20s, longest: 50s, then: box}}"


def test_who_need_not_wait_hears_nothing_of_a_queue() -> None:
    rig = phoned(QUEUE, places=Places(0.1), seconds=8.0)
    assert said(rig) == ["This is the desk."]


def test_a_caller_waits_with_music_until_a_place_is_free() -> None:
    rig = phoned(QUEUE, places=Places(30.0), seconds=40.0)
    assert said(rig) == ["Please hold the line.", "Please hold the line.", "This is the desk."]
    assert rig.call.phone.control == ["hold", "resume", "hold", "resume"]


def test_a_caller_who_has_waited_for_too_long_goes_where_the_plan_says() -> None:
    places = Places(None)
    rig = phoned(QUEUE, places=places, seconds=120.0)
    assert entered(rig) == ["it", "box"]
    assert places.left == ["it"]


@pytest.mark.parametrize(
    ("answer", "refused", "recorded", "then"),
    [
        ("yes", "continue", True, "desk"),
        ("no", "continue", False, "desk"),
        ("no", "hang_up", False, "(consent)"),
    ],
)
def test_nobody_is_recorded_who_has_not_agreed(answer: str, refused: str, recorded: bool, then: str) -> None:
    rig = phoned("{play: x}", answer, "keys 9", number="200", recording="ask", refused=refused)
    assert said(rig)[0] == "May we record you?"
    assert bool(rig.of(RecordingResumed)) is recorded
    assert entered(rig)[-1] == then
    assert rig.hung_up == "agent_hung_up"
