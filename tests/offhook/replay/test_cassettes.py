"""Providers on tape: what they answered on one call is what they answer on its replay, and nothing else is made up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from offhook.bundle import Record
from offhook.errors import RecordingError
from pipeline.events import UserTurnCommitted
from pipeline.masking import never_show
from pipeline.ports import Final, Hints
from pipeline.providers import registry
from pipeline.providers.cassette.keys import masked
from pipeline.providers.cassette.recording import RecordingDeck
from pipeline.providers.cassette.tape import ROWS, SOUND, Tape, TapeWriter
from pipeline.providers.fake import FakeStt
from pipeline.providers.keys import MissingKey
from pipeline.virtual_clock import run
from tests.offhook.replay.recorded import DEMO, caller_wav, digest, kinds, replayed, turns

CALL: Sequence[tuple[float, str]] = (
    (6.5, "opening_hours"),
    (11.8, "bill"),
    (19.6, "invoice_number"),
    (29.0, "goodbye"),
)


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A call with its tape."""
    folder = tmp_path_factory.mktemp("taped")
    return replayed(caller_wav(folder / "call.wav", CALL), folder / "out", cassette="record")


def _plan(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = DEMO.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    plan = tmp_path / "plan.yaml"
    plan.write_text(text, encoding="utf-8")
    return plan


def _missed(record: Record) -> list[tuple[str, list[str]]]:
    return [(event["kind"], event["changed"].split(", ")) for event in kinds(record, "CassetteMissed")]


def test_a_tape_plays_what_it_recorded_to_the_byte(taped: Record, tmp_path: Path) -> None:
    again = replayed(taped.path, tmp_path, to="")
    for name in ("journal.jsonl", "audio.wav"):
        assert (again.path / name).read_bytes() == (taped.path / name).read_bytes()
    assert again.facts["replay"]["tape"]["missed"] == {}
    assert set(again.facts["replay"]["tape"]["played"]) == {"stt", "llm", "tts"}


def test_a_tape_needs_no_provider_and_no_key(
    taped: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a CI that has no secrets: whoever makes a provider finds its key missing."""

    def locked(kind: Any, name: str, options: Any = None) -> object:
        if kind == "vad":
            return original(kind, name, options)
        raise MissingKey(name, "A_KEY")

    original = registry.create
    monkeypatch.setattr(registry, "create", locked)
    assert turns(replayed(taped.path, tmp_path, to="")) == turns(taped)


def test_a_reactive_caller_gets_the_same_answers_from_the_tape(taped: Record, tmp_path: Path) -> None:
    record = replayed(taped.path, tmp_path, to="", caller="reactive")
    assert turns(record) == turns(taped)
    assert record.facts["replay"]["tape"]["missed"] == {}


def test_a_changed_prompt_costs_the_model_only_and_says_so(taped: Record, tmp_path: Path) -> None:
    """Its instructions are another request; what it then answers sounds as before, so no voice is asked."""
    plan = _plan(tmp_path, ("Be short and friendly.", "Be brief and friendly."))
    record = replayed(taped.path, tmp_path / "out", to="", plan=plan, cassette="replay-or-live")
    assert turns(record) == turns(taped)
    missed = _missed(record)
    assert {kind for kind, _ in missed} == {"llm"}
    assert missed[0] == ("llm", ["instructions"])
    assert record.facts["replay"]["tape"]["missed"] == {"llm": len(missed)}
    agents = [event["agent"] for event in kinds(record, "AgentEntered")]
    assert agents == ["reception", "billing"]
    assert len(missed) < record.facts["replay"]["tape"]["played"]["llm"] + len(missed), (
        "billing's prompt is the old one"
    )


def test_changed_words_cost_the_voice_of_these_words(taped: Record, tmp_path: Path) -> None:
    plan = _plan(tmp_path, ("greeting: Riverside Clinic, hello.", "greeting: Riverside Clinic, good day."))
    record = replayed(taped.path, tmp_path / "out", to="", plan=plan, cassette="replay-or-live")
    assert ("tts", ["words"]) in _missed(record)
    assert [change for kind, change in _missed(record) if kind == "tts"] == [["words"]], (
        "the rest of it is on tape"
    )


def test_without_leave_to_ask_a_missing_answer_fails_as_a_provider_does(
    taped: Record, tmp_path: Path
) -> None:
    plan = _plan(tmp_path, ("Be short and friendly.", "Be brief and friendly."))
    record = replayed(taped.path, tmp_path / "out", to="", plan=plan, cassette="replay")
    missed = kinds(record, "CassetteMissed")
    assert missed
    assert not any(event["live"] for event in missed)
    assert "no answer to this llm request on tape" in kinds(record, "ProviderFailed")[0]["message"]


def test_what_was_asked_anew_is_on_the_new_tape(taped: Record, tmp_path: Path) -> None:
    plan = _plan(tmp_path, ("Be short and friendly.", "Be brief and friendly."))
    anew = replayed(taped.path, tmp_path / "one", to="", plan=plan, cassette="replay-or-live")
    record = replayed(anew.path, tmp_path / "two", to="", plan=plan, cassette="replay")
    assert _missed(record) == []
    assert turns(record) == turns(taped)


def test_a_tape_keeps_its_timing_and_a_slower_provider_adds_to_it(tmp_path: Path) -> None:
    call = caller_wav(tmp_path / "call.wav", CALL[:1])
    slow = replayed(call, tmp_path / "slow", cassette="record", delays_s={"tts": 0.5})
    again = replayed(slow.path, tmp_path / "again", to="")
    slower = replayed(slow.path, tmp_path / "slower", to="", delays_s={"tts": 0.5})
    first, second, third = (kinds(one, "AgentStartedSpeaking")[0]["at"] for one in (slow, again, slower))
    assert first == second
    assert third == pytest.approx(first + 0.5, abs=0.021)


def test_a_recording_without_a_tape_cannot_be_played_from_one(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="has no tape"):
        replayed(caller_wav(tmp_path / "call.wav", CALL[:1]), tmp_path / "out", cassette="replay")


def test_a_tape_that_was_torn_plays_what_is_left_of_it(taped: Record, tmp_path: Path) -> None:
    """The process died while it wrote a line."""
    torn = tmp_path / "torn"
    torn.mkdir()
    whole = (taped.path / ROWS).read_bytes()
    (torn / ROWS).write_bytes(whole[: len(whole) - 30])
    (torn / SOUND).write_bytes((taped.path / SOUND).read_bytes())
    tape = Tape.read(torn)
    assert tape is not None
    assert len(tape.providers) == 4, "two scripts, one recogniser, one voice"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("four two seven one", "#"),
        ("my number is 4271", "my number is ####"),
        ("one moment please", "one moment please"),
        ("double five six, seven", "#"),
        ("two or three days", "two or three days"),
    ],
)
def test_masking_takes_figures_and_leaves_words(said: str, kept: str) -> None:
    assert masked(said) == kept


def test_a_masked_tape_shows_no_figures_and_plays_what_has_none(tmp_path: Path) -> None:
    """The invoice's number is gone, so its look-up is another one from there on."""
    plan = _plan(tmp_path, ('recording: "on"', 'recording: "on"\n  cassette: masked'))
    call = caller_wav(tmp_path / "call.wav", CALL)
    first = replayed(call, tmp_path / "one", plan=plan, cassette="record")
    rows = [json.loads(line) for line in (first.path / ROWS).read_text(encoding="utf-8").splitlines()]
    told = json.dumps([row for row in rows if row["type"] in ("stt", "llm", "tts")])
    spoken = [row["pii_text"] for row in rows if row["type"] == "tts"]
    assert rows[0]["masked"]
    assert "four two seven one" not in told
    assert "4271" not in told
    assert any("#" in text for text in spoken)
    again = replayed(first.path, tmp_path / "two", to="", plan=plan)
    assert turns(again)[:6] == turns(first)[:6]
    assert turns(again)[6] == ("caller", "#", False)


def test_what_is_secret_on_the_call_is_not_on_its_tape(tmp_path: Path) -> None:
    """A card number: the journal has a dot for it, and so has the tape."""

    async def hear() -> None:
        events: list[object] = []
        deck = RecordingDeck(TapeWriter(tmp_path), lambda: 0)
        stt = deck.stt("fake", lambda: FakeStt(["four one one one", "no thank you"]))
        stream = await stt.open(rate_hz=8000, hints=Hints())
        heard = stream.__aiter__()
        for shown in ("•", "no thank you"):
            stream.start_turn()
            stream.end_turn()
            events.append(await anext(heard))
            deck.noticed(UserTurnCommitted(0.0, shown, True, 1.0, 0.0, 0.0, 0.0))
        await stream.aclose()
        deck.close()
        assert [event.text for event in events if isinstance(event, Final)] == [
            "four one one one",
            "no thank you",
        ]

    run(hear)
    tape = Tape.read(tmp_path)
    assert tape is not None
    assert [row["heard"][0]["text"] for row in tape.heard] == ["•", "no thank you"]


def test_a_call_on_the_tape_has_no_api_key_of_ours(tmp_path: Path) -> None:
    never_show("gsk_0123456789abcdef")
    tape = TapeWriter(tmp_path)
    tape.write(
        {
            "type": "llm",
            "key": "1",
            "parts": {},
            "deltas": [],
            "error": ["auth", "gsk_0123456789abcdef is wrong"],
        }
    )
    tape.close()
    assert "gsk_0123456789" not in (tmp_path / ROWS).read_text(encoding="utf-8")


def test_the_journal_of_a_replay_is_not_the_tapes(taped: Record, tmp_path: Path) -> None:
    """Two replays of one tape are equal, whatever the tape's own call.json says."""
    assert digest(replayed(taped.path, tmp_path / "a", to="")) == digest(
        replayed(taped.path, tmp_path / "b", to="")
    )
