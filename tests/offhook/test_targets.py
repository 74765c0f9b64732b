"""Targets of a plan that talk to callers: voicemail, menu, queue, ringing, consent. On a virtual clock."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
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
defaults: {{recording: {recording}, consent: {consent}, if_refused: {refused}}}
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
    path: Path = Path("plan.yaml"),
    consent: str = "May we record you?",
    gone: bool = False,
) -> Rig:
    """A whole call to a target called `it`. path: where the plan lies, with its sounds; gone: they no longer do."""
    text = PLAN.format(
        targets=f"  it: {target}\n{BOX}", recording=recording, refused=refused, consent=consent
    )
    route = match(parse_plan(text.encode(), str(path)), number)
    if gone:
        for file in path.parent.glob("*.wav"):
            file.unlink()

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
    text = PLAN.format(
        targets="  it: {ring: sip:desk@pbx.example}", recording="on", refused="continue", consent="May we?"
    )
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
        ("", "continue", False, "desk"),
        ("", "hang_up", False, "(consent)"),
    ],
)
def test_nobody_is_recorded_who_has_not_agreed(answer: str, refused: str, recorded: bool, then: str) -> None:
    """Silence is no consent."""
    lines = [answer, "keys 9"] if answer else []
    rig = phoned("{play: x}", *lines, number="200", recording="ask", refused=refused)
    assert said(rig)[0] == "May we record you?"
    assert bool(rig.of(RecordingResumed)) is recorded
    assert entered(rig)[-1] == then
    assert answer or said(rig)[1] == "May we record you?"
    if answer or refused == "hang_up":
        assert rig.hung_up == "agent_hung_up"


# ---------------------------------------------------------------- out of files


def recorded(folder: Path, name: str, *, rate_hz: int = 8000, seconds: float = 2.0, hz: int = 500) -> Path:
    """A tone for a voice. Returns the path of a plan beside it."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.sin(2 * np.pi * hz * at) * 8000).astype("<i2").tobytes())
    return folder / "plan.yaml"


def tone_s(rig: Rig, hz: int = 500) -> float:
    """How long that tone was heard, in s."""
    heard = np.array([frame if frame is not None else np.zeros(160, np.int16) for frame in rig.frames])
    spectrum = np.abs(np.fft.rfft(heard, axis=1))
    return float((spectrum.argmax(axis=1) == round(hz * 160 / 8000)).sum() * 0.02)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_an_announcement_may_come_out_of_a_file_of_any_rate(tmp_path: Path, rate_hz: int) -> None:
    path = recorded(tmp_path, "closed.wav", rate_hz=rate_hz)
    rig = phoned("{play: {say: {sound: closed.wav, text: We are closed.}}}", path=path)
    assert said(rig) == ["We are closed."]
    assert tone_s(rig) == pytest.approx(2.0, abs=0.06)
    assert rig.hung_up == "agent_hung_up"


def test_a_file_without_words_stands_in_the_transcript_by_its_name(tmp_path: Path) -> None:
    path = recorded(tmp_path, "closed.wav", seconds=7.0)
    rig = phoned("{play: {say: {sound: closed.wav}, then: box}}", path=path)
    assert said(rig) == ["[closed.wav]", "Leave a message.", "Thank you, goodbye."]
    assert tone_s(rig) == pytest.approx(7.0, abs=0.06), "longer than what is queued at once"


def test_a_file_that_went_away_is_said_by_the_voice_if_its_words_are_known(tmp_path: Path) -> None:
    path = recorded(tmp_path, "closed.wav")
    rig = phoned("{play: {say: {sound: closed.wav, text: We are closed.}}}", path=path, gone=True)
    assert (said(rig), tone_s(rig)) == (["We are closed."], 0.0)
    recorded(tmp_path, "closed.wav")
    rig = phoned("{play: {say: {sound: closed.wav}}}", path=path, gone=True)
    assert (said(rig), rig.hung_up) == ([], "agent_hung_up")


def test_a_menu_a_queue_and_a_voicemail_box_speak_out_of_files_too(tmp_path: Path) -> None:
    path = recorded(tmp_path, "press.wav")
    menu = '{menu: {say: {sound: press.wav, text: Press 1.}, keys: {"1": desk}, tries: 2, wait: 3s}}'
    rig = phoned(menu, path=path)
    assert said(rig)[:2] == ["Press 1.", "Press 1."] and tone_s(rig) == pytest.approx(4.0, abs=0.1)
    queue = "{queue: {say: {sound: press.wav, text: Wait.}, agent: desk, places: 1, every: 10s}}"
    rig = phoned(queue, places=Places(5.0), path=path)
    assert said(rig) == ["Wait.", "This is the desk."] and tone_s(rig) == pytest.approx(2.0, abs=0.1)
    box = "{voicemail: {say: {sound: press.wav, text: Speak.}, thanks: {sound: press.wav, text: Bye.}}}"
    rig = phoned(box, path=path)
    assert said(rig) == ["Speak.", "Bye."] and tone_s(rig) == pytest.approx(4.0, abs=0.1)


def test_a_caller_cuts_a_recorded_menu_short_with_a_key(tmp_path: Path) -> None:
    path = recorded(tmp_path, "press.wav", seconds=20.0)
    menu = '{menu: {say: {sound: press.wav, text: For the desk please press one}, keys: {"1": desk}}}'
    text = PLAN.format(targets=f"  it: {menu}\n{BOX}", recording="on", refused="continue", consent="May we?")
    route = match(parse_plan(text.encode(), str(path)), "100")

    async def phone() -> Rig:
        agent = Casting(FAKES, None).cast(route.agents).agent(route.agent)
        return await Rig(agent, keys=[(5.0, "1")]).run(30.0)

    rig = run(phone)
    assert entered(rig) == ["it", "desk"]
    menu_said, desk_said = rig.of(AgentSpoke)
    assert tone_s(rig) == pytest.approx(5.0, abs=0.1), "it stops, and with it what was queued"
    assert menu_said.interrupted and menu_said.text in ("For", "For the", "For the desk")
    assert desk_said.text == "This is the desk."


def test_the_question_for_consent_may_be_recorded_and_is_asked_again_so(tmp_path: Path) -> None:
    path = recorded(tmp_path, "ask.wav")
    consent = "{sound: ask.wav, text: May we?}"
    rig = phoned(
        "{play: x}", "what", "yes", "keys 9", number="200", recording="ask", consent=consent, path=path
    )
    assert said(rig)[:3] == ["May we?", "May we?", "This is the desk."]
    assert tone_s(rig) == pytest.approx(4.0, abs=0.1)
    assert len(rig.of(RecordingResumed)) == 1


def test_a_wrong_key_has_the_menu_said_again_at_once() -> None:
    menu = '{menu: {say: Press 1., keys: {"1": desk}, tries: 3, wait: 60s}}'
    rig = phoned(menu, "keys 7", "keys 8", "keys 1", seconds=50.0)
    assert entered(rig) == ["it", "desk"]


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("{play: We are closed.}", False),
        ("{play: {say: We are closed., then: box}}", False),
        ('{menu: {say: Press 1., keys: {"1": desk}}}', True),
    ],
)
def test_nobody_is_asked_for_consent_who_will_talk_to_no_agent(target: str, asked: bool) -> None:
    """An announcement and a box: the question would be the only thing that anybody answers."""
    rig = phoned(target, "no", recording="ask", seconds=15.0)
    assert ("May we record you?" in said(rig)) is asked
    assert not rig.of(RecordingResumed)
