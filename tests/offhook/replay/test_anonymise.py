"""Copies of calls in which nobody can be recognised, and which still replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from offhook.bundle import Record
from offhook.commands.calls import app
from offhook.replay.anonymise import Voice, anonymise
from offhook.replay.personal import masked, masked_number
from offhook.replay.recording import read
from offhook.replay.speech import stretches
from tests.offhook.replay.makers import CALLER_AT_S, INTERRUPTS_AT_S, Pcm, level_db, sides
from tests.offhook.replay.vcons import bundle


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("my number is 0151 / 234 56 78", "my number is [number]"),
        ("it is four two seven one thank you", "it is [number] thank you"),
        ("oh one five one double two and thirty", "[number]"),
        ("vierundzwanzig siebzehn bitte", "[number] bitte"),
        ("cero seis uno dos", "[number]"),
        ("write to jo.doe@mail.example please", "write to [e-mail] please"),
        ("jo dot doe at mail dot example", "[e-mail]"),
        ("my name is anna schmidt and i need help", "my name is [name] and i need help"),
        ("Mein Name ist Müller, guten Tag", "Mein Name ist [name], guten Tag"),
        ("that is s m i t h", "that is [name]"),
        ("this is Doe speaking", "this is [name] speaking"),
        ("we are open from eight until six", "we are open from eight until six"),
        ("on the third of may at half past ten", "on the third of may at half past ten"),
        ("room 12, two beds", "room 12, two beds"),
        ("i need an appointment", "i need an appointment"),
    ],
)
def test_what_tells_who_somebody_is_is_masked_and_nothing_else(text: str, wanted: str) -> None:
    assert masked(text, ["Jo Doe"]) == wanted


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("+493012345678", "+490000000000"),
        ("100", "100"),
        ("sip:+4930123456@carrier.example", "sip:+4900000000@carrier.example"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_phone_numbers_keep_their_country_and_length(number: str, wanted: str) -> None:
    assert masked_number(number) == wanted


SECRETS = ("four", "two", "seven", "4271", "493012345678", "Doe", "203.0.113.9", "0301234567", "4711")


def text_of(path: Path) -> str:
    return (path / "journal.jsonl").read_text() + (path / "call.json").read_text()


@pytest.mark.parametrize("voice", ["keep", "replace"])
def test_a_number_is_gone_from_journal_facts_and_sound(tmp_path: Path, voice: Voice) -> None:
    source = bundle(tmp_path, asked="it is four two seven one", answer="Is 4271 right?", keys="1")
    done = anonymise(source, tmp_path / "out", voice)
    text = text_of(done.path)
    assert all(secret in text_of(source) for secret in SECRETS)
    assert not [secret for secret in SECRETS if secret in text]
    before, after = read(source), read(done.path)
    assert [one.text for one in after.utterances] == ["it is [number]", "goodbye"]
    assert [(one.start_s, one.end_s, one.follows) for one in after.utterances] == [
        (one.start_s, one.end_s, one.follows) for one in before.utterances
    ]
    assert after.keys == before.keys and after.duration_s == before.duration_s
    first, second = (slice(round(one.start_s * 8000), round(one.end_s * 8000)) for one in before.utterances)
    assert unlike(after.caller[first], before.caller[first])
    assert after.agent is not None and not after.agent[first].any()
    answer = slice(round(7.1 * 8000), round(7.9 * 8000))
    assert unlike(after.agent[answer], sides()[1][answer]) and not after.caller[answer].any()
    same_voice = np.array_equal(after.caller[second][8000 // 2 :], before.caller[second][8000 // 2 :])
    assert same_voice == (voice == "keep")
    assert after.facts["anonymised"] == {"voice": voice, "silenced": done.silenced}


def unlike(one: Pcm, other: Pcm) -> bool:
    """Nothing of the one is left in the other, wherever it may have moved to."""
    first, second = one.astype(np.float64), other.astype(np.float64)
    size = 2 * len(first)
    both = np.fft.irfft(np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size)), size)
    return bool(np.abs(both).max() / (np.linalg.norm(first) * np.linalg.norm(second) + 1.0) < 0.2)


def test_a_replaced_voice_speaks_the_masked_words_at_the_same_times(tmp_path: Path) -> None:
    source = bundle(tmp_path)
    found = read(anonymise(source, tmp_path / "out", "replace").path)
    spoken = stretches(found.caller, found.rate_hz)
    assert abs(spoken[0].start_s - CALLER_AT_S) < 0.15
    assert any(abs(part.start_s - INTERRUPTS_AT_S) < 0.15 for part in spoken)
    assert level_db(found.caller) > 20


def test_what_nobody_understood_is_silenced_too(tmp_path: Path) -> None:
    """Nobody can tell what is in it; the journal's NothingHeard and speech that it does not know are alike."""
    source = bundle(tmp_path)
    journal = source / "journal.jsonl"
    journal.write_text(
        "".join(line for line in journal.read_text().splitlines(True) if "appointment" not in line)
    )
    found = read(anonymise(source, tmp_path / "out").path)
    before = sides()[0][round(4.2 * 8000) : round(5.0 * 8000)]
    assert unlike(found.caller[round(4.2 * 8000) : round(5.0 * 8000)], before)


def test_digits_pressed_in_a_row_become_zeros_and_a_choice_stays(tmp_path: Path) -> None:
    pin = read(anonymise(bundle(tmp_path / "a", keys="4271"), tmp_path / "out").path)
    choice = read(anonymise(bundle(tmp_path / "b", keys="2"), tmp_path / "out").path)
    assert ["".join(key.digit for key in one.keys) for one in (pin, choice)] == ["0000", "2"]


def test_a_folder_of_calls_is_anonymised_and_one_without_sound_is_skipped(tmp_path: Path) -> None:
    bundle(tmp_path / "calls" / "a")
    (bundle(tmp_path / "calls" / "b") / "audio.wav").unlink()
    done = CliRunner().invoke(app, ["anonymise", str(tmp_path / "calls"), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    (made,) = (tmp_path / "out").glob("*/*")
    assert Record.read(made).ended and read(made).utterances
    assert made.name != "c0ffee"
