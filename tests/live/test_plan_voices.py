"""Targets of a dial plan as a caller hears them, over a foreign SIP phone: queue, consent, voicemail, menu,
announcement, and who goes on when the providers fail."""

from __future__ import annotations

import asyncio
import os
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.live.peers import PjsipPhone
from tests.live.server import CallFolder, Server, running_server

pytestmark = pytest.mark.timeout(240)  # speech takes the time it takes

VOICE_RMS = 300.0  # of 20 ms with speech or a tone in it; silence is below 10
DESK = """version: 1
agents:
  desk:
    greeting: This is the desk.
    instructions: Answer.
    tools: [hang_up]
    script: {intents: [{name: bye, phrases: that is all goodbye, say: Goodbye., hang_up: yes}]}
"""


# ---------------------------------------------------------------- calls


@asynccontextmanager
async def serving(folder: Path, plan: str, *, workers_die: bool = False) -> AsyncIterator[Server]:
    """A server with DESK and this plan."""
    path = folder / "plan.yaml"
    path.write_text(DESK + plan)
    async with running_server(folder, workers_die=workers_die, dialplan=path, workers=1) as server:
        yield server


async def dial(phone: PjsipPhone, server: Server, number: str) -> CallFolder:
    """Call; the call's record, once sound flows."""
    before = len(server.calls())
    await phone.call(server.uri(number))
    await phone.event("confirmed", timeout=20)
    await phone.event("media")
    await server.until(lambda: len(server.calls()) > before, "record", 10)
    return await server.last_call()


async def over(phone: PjsipPhone, server: Server, call: CallFolder, timeout: float = 60) -> str:
    """Wait until the server hangs up. Returns the story, for messages."""
    await phone.event("disconnected", timeout=timeout)
    await server.finished(call)
    return call.story()


def entered(call: CallFolder) -> list[str]:
    return [event["agent"] for event in call.of("AgentEntered")]


def said(call: CallFolder) -> list[str]:
    return [event["text"] for event in call.of("AgentSpoke")]


async def until_entered(server: Server, call: CallFolder, name: str, timeout: float = 30) -> None:
    await server.until(lambda: name in entered(call), f"{name} in the call", timeout)


async def until_said(server: Server, call: CallFolder, count: int, timeout: float = 30) -> None:
    await server.until(lambda: len(call.of("AgentSpoke")) >= count, f"speech number {count}", timeout)


# ---------------------------------------------------------------- sound


def tone(path: Path, *, hz: int, seconds: float, rate_hz: int) -> None:
    """A tone that stands for somebody's recorded voice."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.sin(2 * np.pi * hz * at) * 8000).astype("<i2").tobytes())


def frames(path: Path, channel: int = 0) -> NDArray[np.float64]:
    """A recording in rows of 20 ms."""
    with wave.open(str(path)) as file:
        assert (file.getsampwidth(), file.getframerate()) == (2, 8000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
        sound = sound.reshape(-1, file.getnchannels())[:, channel]
    return sound[: len(sound) // 160 * 160].reshape(-1, 160)


def voiced_s(path: Path, channel: int = 0) -> float:
    """How much of it is audible, in s."""
    return float((np.sqrt((frames(path, channel) ** 2).mean(axis=1)) > VOICE_RMS).sum() * 0.02)


def tone_s(path: Path, hz: int, channel: int = 0) -> float:
    """How much of it is this tone and hardly anything else, in s."""
    power = np.abs(np.fft.rfft(frames(path, channel), axis=1)) ** 2
    near = round(hz * 160 / 8000)
    share = power[:, near - 1 : near + 2].sum(axis=1) / np.maximum(power.sum(axis=1), 1.0)
    loud = power.sum(axis=1) > (VOICE_RMS**2) * 160 * 40
    return float(((share > 0.9) & loud).sum() * 0.02)


# ---------------------------------------------------------------- targets


async def test_a_caller_waits_in_the_queue_with_announcement_and_music_until_the_agent_is_free(
    tmp_path: Path,
) -> None:
    """One place: the second caller hears the recorded announcement, and the desk as soon as the first has gone."""
    tone(tmp_path / "wait.wav", hz=500, seconds=2.0, rate_hz=16000)
    plan = """
defaults: {recording: "off"}
targets:
  line: {queue: {say: {sound: wait.wav, text: All our people are talking.}, agent: desk, places: 1, every: 60s}}
numbers: [{number: "100", target: line}]
"""
    heard = tmp_path / "heard.wav"
    async with serving(tmp_path, plan) as server, PjsipPhone() as first, PjsipPhone(record=heard) as second:
        served = await dial(first, server, "100")
        await until_said(server, served, 1)
        assert (entered(served), said(served)) == (["line", "desk"], ["This is the desk."])
        waiting = await dial(second, server, "100")
        await server.until(lambda: bool(waiting.of("CallHeld")), "music", 20)
        assert (entered(waiting), said(waiting)) == (["line"], ["All our people are talking."])
        await first.hang_up()
        await until_entered(server, waiting, "desk")
        await until_said(server, waiting, 2)
        assert waiting.of("CallResumed"), waiting.story()
        assert said(waiting)[1] == "This is the desk."
        await second.hang_up()
        await server.finished(waiting)
    assert tone_s(heard, 500) == pytest.approx(2.0, abs=0.3)


async def test_who_waits_for_too_long_leaves_the_queue_for_whom_the_plan_names(tmp_path: Path) -> None:
    plan = """
targets:
  line: {queue: {say: Please wait., agent: desk, places: 1, every: 2s, longest: 6s, then: box}}
  box: {voicemail: {say: Speak., max: 5s}}
numbers: [{number: "100", target: line, recording: "off"}]
"""
    async with serving(tmp_path, plan) as server, PjsipPhone() as first, PjsipPhone() as second:
        await until_entered(server, await dial(first, server, "100"), "desk")
        waiting = await dial(second, server, "100")
        story = await over(second, server, waiting)
    assert entered(waiting) == ["line", "box"], story
    assert said(waiting).count("Please wait.") >= 2, story


CONSENT = """
defaults: {recording: ask, consent: May we record this call?, if_refused: %s}
numbers: [{number: "100", agent: desk}]
"""
ASKED = ["(consent)", "AskConsent", "(consent)"]


async def test_a_caller_who_says_yes_is_recorded_from_then_on(tmp_path: Path, recordings: Path) -> None:
    async with serving(tmp_path, CONSENT % "hang_up") as server, PjsipPhone() as phone:
        call = await dial(phone, server, "100")
        await phone.listen()
        await phone.say(recordings / "yes.wav")
        await until_said(server, call, 2)
        await phone.say(recordings / "goodbye.wav")
        story = await over(phone, server, call)
    assert entered(call) == [*ASKED, "desk"], story
    assert len(call.of("RecordingResumed")) == 1, story
    sound = np.sqrt((frames(call.audio, 1) ** 2).mean(axis=1))
    speech = call.of("AgentSpoke")
    assert speech[0]["text"] == "May we record this call?", story
    begins = call.of("RecordingResumed")[0]["at"] - call.of("CallAnswered")[0]["at"]
    assert not sound[: round((begins - 0.3) / 0.02)].any(), "the question is not in the recording"
    assert (sound > VOICE_RMS).sum() * 0.02 > 0.8, "but the desk is"


@pytest.mark.parametrize(
    ("answer", "refused", "agents", "last"),
    [
        ("no.wav", "continue", [*ASKED, "desk"], "Goodbye."),
        ("no.wav", "hang_up", ASKED, "All right. We cannot go on without it. Goodbye."),
        ("", "hang_up", ASKED, "All right. We cannot go on without it. Goodbye."),
    ],
)
async def test_a_caller_who_says_no_or_nothing_is_not_recorded(
    tmp_path: Path, recordings: Path, answer: str, refused: str, agents: list[str], last: str
) -> None:
    """Not a sample of either side; with `hang_up` there is no call without consent."""
    async with serving(tmp_path, CONSENT % refused) as server, PjsipPhone() as phone:
        call = await dial(phone, server, "100")
        await phone.listen()
        if answer:
            await phone.say(recordings / answer)
        if refused == "continue":
            await until_entered(server, call, "desk")
            await until_said(server, call, 2)
            await phone.say(recordings / "goodbye.wav")
        story = await over(phone, server, call, 120)
    assert (entered(call), said(call)[-1]) == (agents, last), story
    assert not call.of("RecordingResumed"), story
    assert not frames(call.audio, 0).any() and not frames(call.audio, 1).any()


async def test_a_message_after_the_beep_is_recorded_whole_and_loud(tmp_path: Path, recordings: Path) -> None:
    plan = """
targets: {box: {voicemail: {say: Please speak., max: 20s, silence: 2s, thanks: Thank you.}}}
numbers: [{number: "100", target: box, recording: "off"}]
"""
    heard = tmp_path / "heard.wav"
    async with serving(tmp_path, plan) as server, PjsipPhone(record=heard, quiet_s=0.6) as phone:
        call = await dial(phone, server, "100")
        await phone.listen()  # the greeting, and the beep or not
        await phone.say(recordings / "appointment.wav")
        story = await over(phone, server, call)
    (taken,) = call.of("MessageTaken")
    assert (taken["spoken"], taken["ended_by"]) == (True, "silence"), story
    assert call.facts["messages"] == [{"file": "message-1.wav", "seconds": taken["seconds"], "spoken": True}]
    message = call.path / "message-1.wav"
    with wave.open(str(message)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(taken["seconds"], abs=0.2)
    clip_s = voiced_s(recordings / "appointment.wav")
    assert voiced_s(message) == pytest.approx(clip_s, rel=0.25)
    assert np.abs(frames(message)).max() > 0.5 * np.abs(frames(recordings / "appointment.wav")).max()
    assert tone_s(heard, 1000) == pytest.approx(0.4, abs=0.1), "one beep"
    assert said(call) == ["Please speak.", "Thank you."], story


async def test_a_menu_takes_the_right_key_asks_again_after_a_wrong_one_and_goes_on_without_any(
    tmp_path: Path,
) -> None:
    plan = """
targets:
  menu: {menu: {say: "Press one, or two.", keys: {"1": desk, "2": box}, tries: 2, wait: 3s, then: night}}
  box: {voicemail: {say: Speak., max: 4s}}
  night: {play: Nobody pressed a key.}
numbers: [{number: "100", target: menu, recording: "off"}]
"""
    async with (
        serving(tmp_path, plan) as server,
        PjsipPhone() as right,
        PjsipPhone() as wrong,
        PjsipPhone() as none,
    ):
        one = await dial(right, server, "100")
        await right.event("voice", seconds=0, timeout=20)
        await right.dtmf("2")  # over the menu's words
        two = await dial(wrong, server, "100")
        await wrong.listen()
        await wrong.dtmf("7")
        three = await dial(none, server, "100")
        await until_said(server, two, 2)
        await wrong.dtmf("1")
        await until_entered(server, two, "desk")
        await wrong.hang_up()
        stories = await asyncio.gather(over(right, server, one), over(none, server, three))
        await server.finished(two)
    assert entered(one) == ["menu", "box"], stories[0]
    assert entered(two) == ["menu", "desk"], two.story()
    assert said(two)[:2] == ["Press one, or two."] * 2, two.story()
    assert entered(three) == ["menu", "night"], stories[1]
    assert said(three) == ["Press one, or two."] * 2 + ["Nobody pressed a key."], stories[1]


@pytest.mark.parametrize("rate_hz", [8000, 48000])
async def test_an_announcement_out_of_a_file_is_heard_as_recorded_and_then_the_line_is_closed(
    tmp_path: Path, rate_hz: int
) -> None:
    tone(tmp_path / "closed.wav", hz=600, seconds=3.0, rate_hz=rate_hz)
    tone(tmp_path / "note.wav", hz=800, seconds=1.0, rate_hz=rate_hz)
    plan = """
defaults: {announcement: {sound: note.wav, text: This call is recorded.}}
targets: {closed: {play: {say: {sound: closed.wav, text: We are closed.}}}}
numbers: [{number: "100", target: closed, recording: announce}]
"""
    heard = tmp_path / "heard.wav"
    async with serving(tmp_path, plan) as server, PjsipPhone(record=heard) as phone:
        call = await dial(phone, server, "100")
        story = await over(phone, server, call)
    assert said(call) == ["This call is recorded.", "We are closed."], story
    assert call.facts["cause"] == "agent_hung_up", story
    assert tone_s(heard, 600) == pytest.approx(3.0, abs=0.5), "PJSIP stretches what comes late"
    assert tone_s(heard, 800) == pytest.approx(1.0, abs=0.2)
    assert tone_s(call.audio, 600, 1) == pytest.approx(3.0, abs=0.2)
    assert tone_s(call.audio, 800, 1) < 0.2, "the recording begins after the announcement"


async def test_when_the_model_fails_for_good_the_plan_s_number_gets_the_caller(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens on that port: apologies, then REFER to `provider_outage`, which the caller's phone follows."""
    async with PjsipPhone(answer_with=200) as human, PjsipPhone() as phone:
        plan = f"""
  lost:
    greeting: Hello.
    instructions: Answer.
    llm: {{provider: openai, base_url: "http://127.0.0.1:9/v1", model: none}}
numbers: [{{number: "100", agent: lost, on_failure: {{provider_outage: "{human.uri}"}}}}]
"""
        monkeypatch.setenv("OPENAI_API_KEY", "nobody asks for it")
        async with serving(tmp_path, plan) as server:
            call = await dial(phone, server, "100")
            await phone.listen()
            for _ in range(2):  # apologies; the third time is one too many
                await phone.say(recordings / "bill.wav")
                await phone.listen()
            await phone.say(recordings / "bill.wav")
            await human.event("confirmed", timeout=30)
            await server.finished(call)
            story = call.story()
    assert call.facts["cause"] == "transferred", story
    assert call.facts["transferred_to"] == human.uri, story


async def test_a_menu_whose_worker_died_begins_again(tmp_path: Path) -> None:
    plan = """
targets:
  menu: {menu: {say: "For the desk press one, for a message press two.", keys: {"1": desk}, wait: 20s}}
numbers: [{number: "100", target: menu}]
"""
    async with serving(tmp_path, plan, workers_die=True) as server, PjsipPhone() as phone:
        await server.warm(2)
        call = await dial(phone, server, "100")
        await phone.listen()
        os.kill(server.worker_of(call), 9)
        await server.taken_over(call)
        await until_said(server, call, 2)
        await phone.dtmf("1")
        await until_entered(server, call, "desk")
        await until_said(server, call, 3)
        await phone.hang_up()
        await server.finished(call)
    assert said(call)[:2] == ["For the desk press one, for a message press two."] * 2, call.story()
