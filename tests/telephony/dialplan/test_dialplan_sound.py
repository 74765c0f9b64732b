"""What a plan says about music and recording: defaults, exceptions for a number, and files that will not do."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import match
from telephony.dialplan.model import CONSENT, Consent, Desk, TargetSpec
from telephony.dialplan.music import THINKING as NAMED
from telephony.media.thinking import BUILT_IN as PLAYED

PLAN = """\
version: 1
defaults:
  hold_music: {default}
agents:
  desk:
    instructions: Be nice.
numbers:
  - number: "100"
    agent: desk
  - number: "200"
    agent: desk
    hold_music: {own}
    tones: de
    before_answer: ringback
    recording: announce
    announcement: Das Gespräch wird aufgezeichnet.
"""


def write(
    path: Path, *, seconds: float = 2.0, channels: int = 1, width: int = 2, rate_hz: int = 16000
) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(bytes(round(seconds * rate_hz) * channels * width))


def test_a_number_has_its_own_sound_or_the_plans(tmp_path: Path) -> None:
    """Files are found beside the plan, wherever the server was started."""
    write(tmp_path / "waltz.wav", channels=2)
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(default="waltz.wav", own="none"), encoding="utf-8")
    plan = load_plan(path)
    general, own = match(plan, "100"), match(plan, "200")
    assert (general.hold_music, general.tones, general.recording) == (str(tmp_path / "waltz.wav"), "us", "on")
    assert (own.hold_music, own.tones, own.recording) == ("none", "de", "announce")
    assert (general.before_answer, own.before_answer) == ("ringing", "ringback")
    assert own.announcement.text == "Das Gespräch wird aufgezeichnet."
    assert type(own).load(own.dump()) == own


def test_without_a_word_there_is_our_own_music_and_a_recording() -> None:
    plan = parse_plan(b"version: 1\nagents: {a: {instructions: x}}\nnumbers: [{number: any, agent: a}]\n")
    route = match(plan, "1")
    assert (route.hold_music, route.recording) == ("default", "on")


@pytest.mark.parametrize(
    ("sound", "said"),
    [
        ({"width": 1}, "1 channels of 8 bits"),
        ({"channels": 6}, "6 channels of 16 bits"),
        ({"rate_hz": 4000}, "4000 Hz. Give 8000 to 96000 Hz."),
        ({"seconds": 0.5}, "lasts 0.5 s. Give 1 s to 15 minutes."),
    ],
)
def test_a_file_that_will_not_do_is_an_error_at_its_line(
    tmp_path: Path, sound: dict[str, int], said: str
) -> None:
    """The admin hears of it, not the first caller on hold; one file is complained about once."""
    write(tmp_path / "hold.wav", **sound)
    text = PLAN.format(default="default", own="hold.wav")
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), str(tmp_path / "plan.yaml"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (12, 17)
    assert said in problem.text


def test_a_file_that_is_not_there_or_no_wav_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3\x04 and so on, which is no RIFF")
    text = PLAN.format(default="song.mp3", own="nowhere.wav")
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), str(tmp_path / "plan.yaml"))
    first, second = caught.value.problems
    assert first.line == 3 and "is no WAV file" in first.text
    assert second.line == 12 and "No such file or directory. Check the path" in second.text


SAID = """\
version: 1
defaults:
  consent: {sound: ask.wav, text: May we record you?}
  announcement: {sound: note.wav}
agents: {a: {instructions: x}}
targets:
  box: {voicemail: {say: {sound: ask.wav, text: Speak.}, thanks: Bye.}}
  closed: {play: {say: {sound: sounds/closed.wav}, then: box}}
  menu: {menu: {say: {sound: ask.wav}, keys: {"1": box}}}
  wait: {queue: {say: {sound: ask.wav}, agent: a, places: 1}}
numbers:
  - {number: "100", target: closed, recording: announce}
  - {number: "200", agent: a, recording: ask}
  - {number: "300", target: menu, announcement: Note.}
  - {number: "400", target: wait}
"""


def test_whatever_callers_are_told_may_lie_beside_the_plan_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "sounds").mkdir()
    for name in ("ask.wav", "note.wav", "sounds/closed.wav"):
        write(tmp_path / name, seconds=0.2, rate_hz=48000)
    path = tmp_path / "plan.yaml"
    path.write_text(SAID, encoding="utf-8")
    route = match(plan := load_plan(path), "100")
    assert route.announcement.sound == str(tmp_path / "note.wav")
    closed, box = route.agents["closed"], route.agents["box"]
    assert isinstance(closed, Desk) and isinstance(closed.does, TargetSpec) and closed.does.play is not None
    assert isinstance(box, Desk) and isinstance(box.does, TargetSpec) and box.does.voicemail is not None
    assert closed.does.play.say.sound == str(tmp_path / "sounds" / "closed.wav")
    message = box.does.voicemail
    assert (message.say.sound, message.say.text) == (str(tmp_path / "ask.wav"), "Speak.")
    assert (message.thanks.sound, message.thanks.text) == ("", "Bye.")
    assert type(route).load(route.dump()) == route
    consent = match(plan, "200").agents[CONSENT]
    assert isinstance(consent, Desk) and isinstance(consent.does, Consent)
    assert consent.does.question.sound == str(tmp_path / "ask.wav")
    assert match(plan, "300").announcement.text == "Note."


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("note.wav", (4, 25), "note.wav: No such file or directory. Check the path."),
        ("sounds/closed.wav", (8, 32), "closed.wav: lasts 0.0 s. Give 0.1 s to 15 minutes."),
        ("ask.wav", (3, 20), "ask.wav: is no WAV file"),
    ],
)
def test_a_file_that_cannot_be_said_is_an_error_where_it_is_named(
    tmp_path: Path, name: str, place: tuple[int, int], said: str
) -> None:
    (tmp_path / "sounds").mkdir()
    for one in ("ask.wav", "note.wav", "sounds/closed.wav"):
        write(tmp_path / one)
    spoilt = tmp_path / name
    spoilt.unlink()
    if "closed" in name:
        write(spoilt, seconds=0.02)
    elif "ask" in name:
        spoilt.write_bytes(b"ID3 an MP3")
    with pytest.raises(FileProblems) as caught:
        parse_plan(SAID.encode(), str(tmp_path / "plan.yaml"))
    first = caught.value.problems[0]
    assert (first.line, first.column) == place
    assert said in first.text and first.text.startswith("sound ")


def test_something_to_say_is_needed() -> None:
    text = SAID.replace("{say: {sound: sounds/closed.wav}", "{say: {text: ''}")
    with pytest.raises(
        FileProblems, match=r"plan.yaml:8:24: 'say' is empty. Write a text, or \{sound: FILE.wav"
    ):
        parse_plan(text.encode(), "plan.yaml")


THINKING = """\
version: 1
defaults: {thinking_sound: DEFAULT}
agents:
  a: {instructions: x}
  b: {instructions: x, thinking_sound: {sound: OWN, after_ms: 500}}
numbers:
  - {number: "100", agent: a}
  - {number: "200", agent: b}
"""


def test_the_sound_of_an_agent_that_thinks_lies_beside_the_plan_too(tmp_path: Path) -> None:
    """Wherever the server was started; names of ours stay names."""
    write(tmp_path / "pen.wav")
    path = tmp_path / "plan.yaml"
    path.write_text(THINKING.replace("DEFAULT", "tick").replace("OWN", "pen.wav"), encoding="utf-8")
    plan = load_plan(path)
    assert plan.teams["a"]["a"].thinking_sound == "tick"
    assert plan.teams["b"]["b"].thinking_sound == {"sound": str(tmp_path / "pen.wav"), "after_ms": 500}


def test_sounds_of_thinking_that_will_not_do_are_each_told_at_their_place(tmp_path: Path) -> None:
    write(tmp_path / "thin.wav", width=1)
    text = THINKING.replace("DEFAULT", "thin.wav").replace("OWN", "tpying")
    with pytest.raises(FileProblems) as caught:
        parse_plan(text.encode(), str(tmp_path / "plan.yaml"))
    first, second = caught.value.problems
    assert (first.line, first.column) == (2, 28)
    assert "thinking_sound" in first.text and "1 channels of 8 bits. Give a 16-bit PCM WAV" in first.text
    assert (second.line, second.column) == (5, 48)
    assert "No such file or directory. Did you mean 'typing'? Check the path" in second.text


def test_the_names_that_a_plan_may_write_are_those_that_can_be_played() -> None:
    """The plan's checks load no arrays, so they have the names a second time."""
    assert (*PLAYED, "off") == NAMED
