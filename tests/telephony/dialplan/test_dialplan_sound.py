"""What a plan says about music and recording: defaults, exceptions for a number, and files that will not do."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from telephony.dialplan.document import FileProblems
from telephony.dialplan.load import load_plan, parse_plan
from telephony.dialplan.match import match
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
    assert own.announcement == "Das Gespräch wird aufgezeichnet."
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
        ({"seconds": 0.5}, "lasts 0.5 s. Give one second to 15 minutes."),
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
